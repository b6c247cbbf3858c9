/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header, then the tensors' bytes. f32 only.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** A named tensor; `values` may be a view. */
export interface NamedTensor {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly values: Float32Array
}

/** Bytes that are not a safetensors file, or not one of the expected kind. */
export class SafetensorsError extends Schema.TaggedError<SafetensorsError>()("SafetensorsError", {
  place: Schema.String,
  message: Schema.String
}) {}

const Entry = Schema.Struct({
  dtype: Schema.String,
  shape: Schema.Array(Schema.Int),
  data_offsets: Schema.Tuple([Schema.Int, Schema.Int])
})
const Header = Schema.fromJsonString(
  Schema.Record(Schema.String, Schema.Union([Entry, Schema.Record(Schema.String, Schema.String)]))
)
const decodeHeader = Schema.decodeUnknownSync(Header)

/** Writes tensors in the order given; the header is padded with spaces to a multiple of 8 bytes. */
export const encode = (
  tensors: ReadonlyArray<NamedTensor>,
  metadata: Readonly<Record<string, string>> = {}
): Uint8Array<ArrayBuffer> => {
  let offset = 0
  const header: Record<string, unknown> = Object.keys(metadata).length === 0 ? {} : { __metadata__: metadata }
  for (const { name, shape, values } of tensors) {
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + values.byteLength] }
    offset += values.byteLength
  }
  const json = JSON.stringify(header)
  const text = new TextEncoder().encode(
    json.padEnd(json.length + ((8 - (new TextEncoder().encode(json).length % 8)) % 8))
  )
  const bytes = new Uint8Array(8 + text.length + offset)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
  bytes.set(text, 8)
  let at = 8 + text.length
  for (const { values } of tensors) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at)
    at += values.byteLength
  }
  return bytes
}

/** Reads all tensors, by name. Throws SafetensorsError naming the header or the tensor. */
export const decode = (bytes: Uint8Array): ReadonlyMap<string, NamedTensor> => {
  const fail = (place: string, message: string) => new SafetensorsError({ place, message })
  if (bytes.byteLength < 8) throw fail("header", `${bytes.byteLength} bytes are too few for a safetensors file`)
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true))
  if (length > bytes.byteLength - 8) {
    throw fail("header", `the header claims ${length} bytes, the file has ${bytes.byteLength - 8} more`)
  }
  let header: typeof Header.Type
  try {
    header = decodeHeader(new TextDecoder().decode(bytes.subarray(8, 8 + length)))
  } catch (cause) {
    throw fail("header", `not a safetensors header: ${String(cause)}`)
  }
  const tensors = new Map<string, NamedTensor>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue
    const { data_offsets, dtype, shape } = entry as typeof Entry.Type
    const [from, to] = data_offsets
    if (dtype !== "F32") throw fail(name, `dtype ${dtype} is not supported, only F32`)
    const count = shape.reduce((product, n) => product * n, 1)
    if (to - from !== 4 * count || from < 0 || 8 + length + to > bytes.byteLength) {
      throw fail(name, `bytes ${from}..${to} do not hold shape [${shape.join(", ")}] inside the file`)
    }
    const start = 8 + length + from
    // A copy, as the tensor may not be aligned in the file; slice of a Buffer would be a view.
    const copy = new Uint8Array(bytes.subarray(start, start + 4 * count))
    tensors.set(name, { name, shape, values: new Float32Array(copy.buffer) })
  }
  return tensors
}
