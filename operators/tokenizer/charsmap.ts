/**
 * Sentencepiece's compiled normalization rules (`precompiled_charsmap`): a trie from texts to where their replacements begin.
 *
 * @since 0.1.0
 */
import { refuse } from "./tokenizer-error.ts"

/** Graphemes of fewer UTF-8 bytes are looked up whole. */
const WHOLE = 6

/** Where the replacement of the shortest prefix of a key that is in the trie begins; undefined if none is. */
type Find = (key: Uint8Array) => number | undefined

/**
 * A double array of Yata's, as darts-clone packs it: of a node's 32 bits, bits 0 to 7 and 31 are its label, bit 8 says that a key ends here, bit 9 that the
 * offset of its children (bits 10 up) is in units of 256. The value of a key is the node at the offset, less its highest bit.
 */
const makeFind = (nodes: Uint32Array): Find => {
  const offset = (node: number) => (node >>> 10) << ((node & 0x200) >>> 6)
  return (key) => {
    let at = offset(nodes[0]!)
    for (const byte of key) {
      if (byte === 0) return undefined
      at ^= byte
      const node = nodes[at] ?? 0
      if ((node & 0x8000_00ff) >>> 0 !== byte) return undefined
      at ^= offset(node)
      if ((node & 0x100) !== 0) return nodes[at]! & 0x7fff_ffff
    }
    return undefined
  }
}

/**
 * The normalization that a charsmap describes, as Hugging Face's `spm_precompiled` does it: a short grapheme that begins with a key becomes the key's
 * replacement, of others each character. The file is the trie's bytes (u32), the trie, and the replacements, each ended by a zero byte.
 */
export const charsmap = (file: Buffer, place: string): ((text: string) => string) => {
  const trie = file.length < 4 ? 0 : file.readUInt32LE(0)
  if (trie === 0 || trie % 4 !== 0 || 4 + trie > file.length) {
    throw refuse(place, `${place} Precompiled has a precompiled_charsmap that is cut off: ${file.length} bytes`)
  }
  const find = makeFind(Uint32Array.from({ length: trie / 4 }, (_, i) => file.readUInt32LE(4 + 4 * i)))
  const replacements = file.subarray(4 + trie)
  const replacementOf = (text: string): string | undefined => {
    const from = find(Buffer.from(text))
    if (from === undefined) return undefined
    const end = replacements.indexOf(0, from)
    return replacements.subarray(from, end < 0 ? replacements.length : end).toString("utf8")
  }
  const graphemes = new Intl.Segmenter("und", { granularity: "grapheme" })
  return (text) => {
    let result = ""
    for (const { segment } of graphemes.segment(text)) {
      const whole = Buffer.byteLength(segment) < WHOLE ? replacementOf(segment) : undefined
      if (whole !== undefined) result += whole
      else for (const character of segment) result += replacementOf(character) ?? character
    }
    return result
  }
}
