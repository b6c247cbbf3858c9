/**
 * The text of a file, in chunks, with the check that it is UTF-8.
 *
 * @since 0.1.0
 */
import { isUtf8 } from "node:buffer"
import { open } from "node:fs/promises"
import { OperatorError, type SourceFile } from "../../src/operator/operator.ts"

/** How files are read: for which operator, and what becomes of bytes that are not UTF-8. */
export interface Reading {
  readonly operator: string
  readonly invalidUtf8: "refuse" | "replace"
}

const CHUNK = 1024 * 1024

/** Chunks of text of about a MiB that together are the file's text, without a byte order mark. Throws `OperatorError` with the byte offset. */
export async function* textChunks({ name, path }: SourceFile, reading: Reading): AsyncGenerator<string> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const chunk = Buffer.allocUnsafe(Math.min(Math.max(size, 4096), CHUNK))
    let before = 0
    let rest = Buffer.alloc(0)
    for (;;) {
      const { bytesRead } = await file.read(chunk)
      const read = chunk.subarray(0, bytesRead)
      const bytes = rest.length === 0 ? read : Buffer.concat([rest, read])
      const end = bytesRead === 0 ? bytes.length : bytes.length - unfinished(bytes)
      const whole = bytes.subarray(0, end)
      if (reading.invalidUtf8 === "refuse" && !isUtf8(whole)) throw invalid(name, reading, before, whole)
      const text = whole.toString("utf8")
      if (text !== "") yield before === 0 && text.startsWith("\ufeff") ? text.slice(1) : text
      if (bytesRead === 0) return
      before += end
      rest = Buffer.from(bytes.subarray(end))
    }
  } finally {
    await file.close()
  }
}

const invalid = (name: string, { operator }: Reading, before: number, bytes: Buffer): OperatorError => {
  const offset = before + firstInvalid(bytes)
  const utf16 = before === 0 && (bytes.readUInt16LE() === 0xfeff || bytes.readUInt16LE() === 0xfffe)
  const hint = utf16
    ? "it begins as UTF-16 does: convert it to UTF-8"
    : 'convert it to UTF-8, or set invalidUtf8 to "replace"'
  return new OperatorError({
    operator,
    place: `${name}, byte ${offset}`,
    message: `${name} is not UTF-8 at byte ${offset} (0x${bytes[offset - before]!.toString(16)}); ${hint}`
  })
}

/** The bytes of a character of UTF-8, by its first byte; 0 where none begins so. */
const lengthOf = (byte: number): number =>
  byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0

/** How many bytes at the end are the beginning of a character whose rest is not there. */
const unfinished = (bytes: Buffer): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte >= 0xc0) return lengthOf(byte) > back ? back : 0
    if (byte < 0x80) return 0
  }
  return 0
}

/** Where the first character begins that is not UTF-8. */
const firstInvalid = (bytes: Buffer): number => {
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOf(bytes[at]!)
    if (length === 0 || !isUtf8(bytes.subarray(at, at + length))) return at
    at += length
  }
  return bytes.length
}
