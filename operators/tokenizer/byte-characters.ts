/**
 * The 256 characters that stand for bytes in a byte-level vocabulary, as GPT-2 assigns them: printable characters of Latin-1 stand for
 * themselves, the others for the characters from U+0100 on.
 *
 * @since 0.1.0
 */

const printable = (byte: number) =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)

const bytes = Array.from({ length: 256 }, (_, byte) => byte)

/** The character of each byte. */
export const characterOfByte: ReadonlyArray<string> = (() => {
  let others = 0
  return bytes.map((byte) => String.fromCharCode(printable(byte) ? byte : 0x100 + others++))
})()

/** A text in the characters of its bytes. */
export const inByteCharacters = (text: string): string =>
  Array.from(Buffer.from(text), (byte) => characterOfByte[byte]).join("")

/** Bytes by the code of their characters: the order of a vocabulary's first 256 tokens. */
export const bytesInOrder: ReadonlyArray<number> = bytes.toSorted((a, b) =>
  characterOfByte[a]! < characterOfByte[b]! ? -1 : 1
)

const byteOfCharacter = new Map(characterOfByte.map((character, byte) => [character, byte]))

/** The bytes of a token written in these characters; undefined if one of its characters stands for no byte. */
export const bytesOfToken = (token: string): Uint8Array | undefined => {
  const result = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i]!)
    if (byte === undefined) return undefined
    result[i] = byte
  }
  return result
}
