/**
 * Decompression of LZ4 frames, which Arrow files compressed with `lz4` hold (format: LZ4 Frame Format Description 1.6). Checksums are not
 * looked at.
 *
 * @since 0.1.0
 */

const MAGIC = 0x184d2204

/** The content of one LZ4 frame. Throws if it is not one or is cut off. */
export const decompressFrame = (frame: Uint8Array): Uint8Array => {
  const input = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (input.getUint32(0, true) !== MAGIC) throw new Error("not an LZ4 frame")
  const flags = input.getUint8(4)
  const blockChecksums = (flags & 0x10) !== 0
  const contentSize = (flags & 0x08) !== 0
  if ((flags & 0x01) !== 0) throw new Error("an LZ4 frame with a dictionary")
  let output: Uint8Array = new Uint8Array(contentSize ? Number(input.getBigUint64(6, true)) : frame.length * 4)
  let length = 0
  const reserve = (count: number) => {
    if (length + count <= output.length) return
    const larger = new Uint8Array(Math.max(output.length * 2, length + count))
    larger.set(output.subarray(0, length))
    output = larger
  }
  /** One block; matches may reach back into the blocks before it. */
  const block = (bytes: Uint8Array): void => {
    let at = 0
    const extended = (nibble: number): number => {
      let total = nibble
      if (nibble === 15) {
        let byte: number
        do {
          byte = bytes[at++]!
          total += byte
        } while (byte === 255)
      }
      return total
    }
    while (at < bytes.length) {
      const token = bytes[at++]!
      const literals = extended(token >> 4)
      reserve(literals)
      output.set(bytes.subarray(at, at + literals), length)
      at += literals
      length += literals
      if (at >= bytes.length) return
      const offset = bytes[at]! | (bytes[at + 1]! << 8)
      at += 2
      const count = extended(token & 15) + 4
      if (offset === 0 || offset > length) throw new Error("a damaged LZ4 block")
      reserve(count)
      // A match may overlap what it makes, so it is copied byte by byte.
      for (let i = 0; i < count; i++, length++) output[length] = output[length - offset]!
    }
  }
  for (let at = contentSize ? 15 : 7; ; ) {
    const header = input.getUint32(at, true)
    at += 4
    if (header === 0) return output.subarray(0, length)
    const size = header & 0x7fffffff
    if (at + size > frame.length) throw new Error("an LZ4 frame that is cut off")
    const bytes = frame.subarray(at, at + size)
    if (header >>> 31 === 0) block(bytes)
    else {
      reserve(size)
      output.set(bytes, length)
      length += size
    }
    at += size + (blockChecksums ? 4 : 0)
  }
}
