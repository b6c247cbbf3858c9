/**
 * The ids that a word begins with, before neighbours are merged: those of its bytes or of its characters.
 *
 * @since 0.1.0
 */
import { characterOfByte, inByteCharacters } from "./byte-characters.ts"
import { refuse } from "./tokenizer-error.ts"
import type { TokenizerJson } from "./tokenizer-json.ts"

/** A word, as the model has it, to its first ids. */
export type Symbols = (word: string) => Int32Array

/**
 * A character that is no token is those of its bytes (`byte_fallback`), or else the unknown token, one for several in a row with `fuse_unk`; without an
 * unknown token it is left out.
 */
export const symbolsOf = (
  model: TokenizerJson["model"],
  ids: ReadonlyMap<string, number>,
  byteLevel: boolean
): Symbols => {
  const prefix = model.continuing_subword_prefix ?? ""
  const suffix = model.end_of_word_suffix ?? ""
  const byteIds = characterOfByte.map((character) => ids.get(character))
  if (byteLevel && prefix === "" && suffix === "" && byteIds.every((id) => id !== undefined)) {
    return (word) => Int32Array.from(Buffer.from(word), (byte) => byteIds[byte]!)
  }
  const { unk_token: unknownToken } = model
  const unknown = unknownToken === undefined || unknownToken === null ? undefined : ids.get(unknownToken)
  if (unknown === undefined && unknownToken !== undefined && unknownToken !== null) {
    throw refuse("model.unk_token", `the unknown token ${JSON.stringify(unknownToken)} is not in model.vocab`)
  }
  const fallback = model.byte_fallback === true ? bytesFallback(ids) : undefined
  return (word) => {
    const characters = Array.from(byteLevel ? inByteCharacters(word) : word)
    const result: Array<number> = []
    let pending = false
    const flush = () => {
      if (pending) result.push(unknown!)
      pending = false
    }
    characters.forEach((character, i) => {
      const symbol = (i > 0 ? prefix : "") + character + (i === characters.length - 1 ? suffix : "")
      const id = ids.get(symbol)
      if (id !== undefined) {
        flush()
        result.push(id)
        return
      }
      const bytes = fallback?.(symbol)
      if (bytes !== undefined) {
        result.push(...bytes)
        return
      }
      if (unknown === undefined) return
      if (model.fuse_unk !== true) flush()
      pending = true
    })
    flush()
    return Int32Array.from(result)
  }
}

/** How a byte is written as a token of its own. */
export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`

const bytesFallback = (ids: ReadonlyMap<string, number>) => {
  const byteIds = Array.from({ length: 256 }, (_, byte) => ids.get(byteToken(byte)))
  return (symbol: string): ReadonlyArray<number> | undefined => {
    const bytes = Array.from(Buffer.from(symbol), (byte) => byteIds[byte])
    return bytes.every((id) => id !== undefined) ? bytes : undefined
  }
}
