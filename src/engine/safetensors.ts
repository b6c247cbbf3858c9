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

/** So many bytes of a file are given at a time. */
const PIECE = 1024 * 1024

/**
 * A file of tensors in the order given, piece by piece: pieces of at most 1 MiB that view the values. The header is padded with spaces to a
 * multiple of 8 bytes.
 */
export function* encode(
  tensors: ReadonlyArray<NamedTensor>,
  metadata: Readonly<Record<string, string>> = {}
): Generator<Uint8Array> {
  let offset = 0
  const header: Record<string, unknown> = Object.keys(metadata).length === 0 ? {} : { __metadata__: metadata }
  for (const { name, shape, values } of tensors) {
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + values.byteLength] }
    offset += values.byteLength
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const text = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(0x20)
  text.set(json)
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true)
  yield length
  yield text
  for (const { values } of tensors) {
    for (let at = 0; at < values.byteLength; at += PIECE) {
      yield new Uint8Array(values.buffer, values.byteOffset + at, Math.min(PIECE, values.byteLength - at))
    }
  }
}

/**
 * Reads all tensors, by name; their values view the bytes where they are aligned, and else are copies. Throws SafetensorsError naming the
 * header or the tensor.
 */
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
    const start = bytes.byteOffset + 8 + length + from
    const values =
      start % 4 === 0
        ? new Float32Array(bytes.buffer, start, count)
        : new Float32Array(bytes.buffer.slice(start, start + 4 * count))
    tensors.set(name, { name, shape, values })
  }
  return tensors
}
