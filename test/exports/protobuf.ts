/** Protocol buffers without their schema: fields by number, each with its values in order. */

export type Value = number | bigint | Buffer

/** A varint is a number, 8 and 4 bytes are as they stand, the rest are bytes. */
export const fieldsOf = (message: Buffer): Map<number, Array<Value>> => {
  const fields = new Map<number, Array<Value>>()
  let at = 0
  const varint = (): number => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return Number(value)
    }
  }
  while (at < message.length) {
    const key = varint()
    const wire = key & 7
    let value: Value
    if (wire === 0) value = varint()
    else {
      const length = wire === 1 ? 8 : wire === 5 ? 4 : varint()
      value = message.subarray(at, at + length)
      at += length
    }
    fields.set(key >>> 3, [...(fields.get(key >>> 3) ?? []), value])
  }
  return fields
}

/** The messages in a field. */
export const messages = (fields: Map<number, Array<Value>>, number: number): ReadonlyArray<Map<number, Array<Value>>> =>
  (fields.get(number) ?? []).map((value) => fieldsOf(value as Buffer))

/** The text in a field, empty if it is not there. */
export const textIn = (fields: Map<number, Array<Value>>, number: number): string =>
  ((fields.get(number)?.[0] ?? Buffer.alloc(0)) as Buffer).toString()
