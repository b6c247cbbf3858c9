/**
 * Text to token ids and back, over the parts of a tokenizer.
 *
 * @since 0.1.0
 */
import type { SplitAdded } from "./added-tokens.ts"
import type { DecodeTokens } from "./decoder.ts"
import type { Split } from "./split.ts"
import type { Tokenizer } from "./tokenizer.ts"

/** Words that are kept with their ids; when there are more, all are forgotten. */
const CACHE_WORDS = 200_000

/** Longer words (in UTF-16 units) are encoded anew each time. */
const CACHE_WORD_LENGTH = 64

/** The encoding of texts: added tokens are split out of a text, and again of what it is normalized to; the rest is split into words. */
export const makeEncode = (parts: {
  readonly splitAdded: SplitAdded
  readonly normalize: ((text: string) => string) | undefined
  readonly splitAddedNormalized: SplitAdded
  readonly split: Split
  readonly encodeWord: (word: string) => Int32Array
}): Tokenizer["encode"] => {
  const { encodeWord, normalize, split, splitAdded, splitAddedNormalized } = parts
  const cache = new Map<string, Int32Array>()
  let ids = new Int32Array(1024)
  let length = 0
  const append = (more: Int32Array) => {
    if (length + more.length > ids.length) {
      const larger = new Int32Array(Math.max(ids.length * 2, length + more.length))
      larger.set(ids.subarray(0, length))
      ids = larger
    }
    for (let i = 0; i < more.length; i++) ids[length++] = more[i]!
  }
  const appendWord = (word: string) => {
    const known = cache.get(word)
    if (known !== undefined) return append(known)
    const fresh = encodeWord(word)
    append(fresh)
    if (word.length > CACHE_WORD_LENGTH) return
    if (cache.size >= CACHE_WORDS) cache.clear()
    // A copy, since a slice would keep the whole text in memory.
    cache.set(Buffer.from(word, "utf16le").toString("utf16le"), fresh)
  }
  const appendNormalized = (piece: string, id: number | undefined, atStart: boolean) => {
    if (id !== undefined) append(Int32Array.of(id))
    else if (piece !== "") split(piece, appendWord, atStart)
  }
  const appendPiece = (piece: string, id: number | undefined, atStart: boolean) => {
    if (id !== undefined) append(Int32Array.of(id))
    else splitAddedNormalized(normalize === undefined ? piece : normalize(piece), appendNormalized, atStart)
  }
  return (text) => {
    length = 0
    splitAdded(text, appendPiece, true)
    return ids.slice(0, length)
  }
}

/** The decoding of ids of tokens that are bytes; `special` ids are left out unless asked for. */
export const makeDecodeBytes = (
  bytes: ReadonlyArray<Uint8Array | undefined>,
  special: ReadonlySet<number>
): Tokenizer["decode"] => {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  return (ids, options) => {
    const parts: Array<Uint8Array> = []
    for (const id of ids) {
      const token = tokenOf(bytes, id)
      if (options?.keepSpecial === true || !special.has(id)) parts.push(token)
    }
    return decoder.decode(Buffer.concat(parts))
  }
}

/** The decoding of ids of tokens that are characters. */
export const makeDecodeTokens = (
  tokens: ReadonlyArray<string | undefined>,
  special: ReadonlySet<number>,
  decode: DecodeTokens
): Tokenizer["decode"] => {
  return (ids, options) => {
    const parts: Array<string> = []
    for (const id of ids) {
      const token = tokenOf(tokens, id)
      if (options?.keepSpecial === true || !special.has(id)) parts.push(token)
    }
    return decode(parts).join("")
  }
}

const tokenOf = <A>(tokens: ReadonlyArray<A | undefined>, id: number): A => {
  const token = tokens[id]
  if (token !== undefined) return token
  throw new RangeError(`token id ${id} is not one of this tokenizer (0 to ${tokens.length - 1})`)
}
