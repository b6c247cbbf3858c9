/**
 * Text to token ids and back, over the parts of a tokenizer.
 *
 * @since 0.1.0
 */
import type { EncodeWord } from "./bpe.ts"
import { characterOfByte } from "./byte-characters.ts"
import type { addedSplitter } from "./components.ts"
import type { Split } from "./split.ts"
import type { Tokenizer } from "./tokenizer.ts"

/** Words that are kept with their ids; when there are more, all are forgotten. */
const CACHE_WORDS = 200_000

/** Longer words (in UTF-16 units) are encoded anew each time. */
const CACHE_WORD_LENGTH = 64

/** The encoding of texts. `whole` are tokens that a word which is one becomes without merging. */
export const makeEncode = (parts: {
  readonly normalize: ((text: string) => string) | undefined
  readonly split: Split
  readonly splitAdded: ReturnType<typeof addedSplitter>
  readonly encodeWord: EncodeWord
  readonly whole: ReadonlyMap<string, number> | undefined
}): Tokenizer["encode"] => {
  const { encodeWord, normalize, split, splitAdded, whole } = parts
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
  const encode = (word: string): Int32Array => {
    const bytes = Buffer.from(word)
    const id = whole?.get(Array.from(bytes, (byte) => characterOfByte[byte]).join(""))
    return id === undefined ? encodeWord(bytes) : Int32Array.of(id)
  }
  const appendWord = (word: string) => {
    const known = cache.get(word)
    if (known !== undefined) return append(known)
    const fresh = encode(word)
    append(fresh)
    if (word.length > CACHE_WORD_LENGTH) return
    if (cache.size >= CACHE_WORDS) cache.clear()
    // A copy, since a slice would keep the whole text in memory.
    cache.set(Buffer.from(word, "utf16le").toString("utf16le"), fresh)
  }
  return (text) => {
    length = 0
    splitAdded(text, (piece, id) => {
      if (id !== undefined) append(Int32Array.of(id))
      else split(normalize === undefined ? piece : normalize(piece), appendWord)
    })
    return ids.slice(0, length)
  }
}

/** The decoding of token ids; `special` ids are left out unless asked for. */
export const makeDecode = (
  bytes: ReadonlyArray<Uint8Array | undefined>,
  special: ReadonlySet<number>
): Tokenizer["decode"] => {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  return (ids, options) => {
    const parts: Array<Uint8Array> = []
    for (const id of ids) {
      const token = bytes[id]
      if (token === undefined)
        throw new RangeError(`token id ${id} is not one of this tokenizer (0 to ${bytes.length - 1})`)
      if (options?.keepSpecial === true || !special.has(id)) parts.push(token)
    }
    return decoder.decode(Buffer.concat(parts))
  }
}
