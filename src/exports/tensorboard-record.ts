/**
 * TensorBoard's event files: records of TFRecord framing, each a protocol buffer of type `Event`, as scalars need them.
 *
 * A record is its length (8 bytes), the masked CRC-32C of these, its bytes, and the masked CRC-32C of those; numbers are little-endian.
 *
 * @since 0.1.0
 */

/** Of the CRC with Castagnoli's polynomial, reflected. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** CRC-32C of bytes (RFC 3720, B.4), as an unsigned number. */
export const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** A CRC as TFRecord keeps it: rotated right by 15 bits, plus a constant. */
const masked = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

const framed = (data: Buffer): Buffer => {
  const record = Buffer.alloc(16 + data.length)
  record.writeBigUInt64LE(BigInt(data.length), 0)
  record.writeUInt32LE(masked(record.subarray(0, 8)), 8)
  data.copy(record, 12)
  record.writeUInt32LE(masked(data), 12 + data.length)
  return record
}

/** Protocol buffers' wire types. */
const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const varint = (value: number): Buffer => {
  const bytes: Array<number> = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}
const key = (field: number, wire: number): Buffer => varint(field * 8 + wire)
const integer = (field: number, value: number) => Buffer.concat([key(field, VARINT), varint(value)])
const bytes = (field: number, value: Buffer) => Buffer.concat([key(field, BYTES), varint(value.length), value])
const double = (field: number, value: number) => {
  const data = Buffer.alloc(8)
  data.writeDoubleLE(value)
  return Buffer.concat([key(field, FIXED64), data])
}
const float = (field: number, value: number) => {
  const data = Buffer.alloc(4)
  data.writeFloatLE(value)
  return Buffer.concat([key(field, FIXED32), data])
}

/** The first record of an event file; `time` is milliseconds since 1970. */
export const versionRecord = (time: number): Buffer =>
  framed(Buffer.concat([double(1, time / 1000), bytes(3, Buffer.from("brain.Event:2"))]))

/** Scalars by their tag at a step (a whole number from 0), at a time in milliseconds since 1970: kept as 32-bit floats. */
export const scalarsRecord = (time: number, step: number, scalars: { readonly [tag: string]: number }): Buffer => {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)]))
  )
  return framed(Buffer.concat([double(1, time / 1000), integer(2, step), bytes(5, Buffer.concat(values))]))
}
