/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header, then the tensors' bytes. Written as f32; read from f32, f16
 * and bf16.
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

/** A tensor whose values are made when they are written. */
export interface LazyTensor {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly values: () => Float32Array
}

/** Bytes that are not a safetensors file, or not one of the expected kind. */
export class SafetensorsError extends Schema.TaggedError<SafetensorsError>()("SafetensorsError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** Bytes of one element of the types that are read. */
export const bytesOf = { F32: 4, F16: 2, BF16: 2 } as const
type Dtype = keyof typeof bytesOf

/** A tensor of a file: its first byte, counted from the file's start. */
export interface Entry {
  readonly dtype: Dtype
  readonly shape: ReadonlyArray<number>
  readonly from: number
}

const HeaderEntry = Schema.Struct({
  dtype: Schema.String,
  shape: Schema.Array(Schema.Int),
  data_offsets: Schema.Tuple([Schema.Int, Schema.Int])
})
const Header = Schema.fromJsonString(
  Schema.Record(Schema.String, Schema.Union([HeaderEntry, Schema.Record(Schema.String, Schema.String)]))
)
const decodeJson = Schema.decodeUnknownSync(Header)

/** So many bytes of a file are given at a time. */
const PIECE = 1024 * 1024

const elements = (shape: ReadonlyArray<number>) => shape.reduce((product, n) => product * n, 1)

/**
 * A file of tensors in the order given, piece by piece: pieces of at most 1 MiB that view the values. The header is padded with spaces to a
 * multiple of 8 bytes.
 */
export function* encode(
  tensors: ReadonlyArray<NamedTensor | LazyTensor>,
  metadata: Readonly<Record<string, string>> = {}
): Generator<Uint8Array> {
  let offset = 0
  const header: Record<string, unknown> = Object.keys(metadata).length === 0 ? {} : { __metadata__: metadata }
  for (const { name, shape } of tensors) {
    const bytes = 4 * elements(shape)
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + bytes] }
    offset += bytes
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const text = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(0x20)
  text.set(json)
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true)
  yield length
  yield text
  for (const tensor of tensors) {
    const values = typeof tensor.values === "function" ? tensor.values() : tensor.values
    for (let at = 0; at < values.byteLength; at += PIECE) {
      yield new Uint8Array(values.buffer, values.byteOffset + at, Math.min(PIECE, values.byteLength - at))
    }
  }
}

const fail = (place: string, message: string) => new SafetensorsError({ place, message })

/** How long the header is, from the first 8 bytes of a file of `size` bytes. Throws SafetensorsError. */
export const headerLength = (start: Uint8Array, size: number): number => {
  if (start.byteLength < 8) throw fail("header", `${size} bytes are too few for a safetensors file`)
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true))
  if (length > size - 8) throw fail("header", `the header claims ${length} bytes, the file has ${size - 8} more`)
  return length
}

/** The tensors of a file of `size` bytes, from its header. Throws SafetensorsError naming the header or the tensor. */
export const decodeHeader = (text: Uint8Array, size: number): { readonly entries: ReadonlyMap<string, Entry> } => {
  let header: typeof Header.Type
  try {
    header = decodeJson(new TextDecoder().decode(text))
  } catch (cause) {
    throw fail("header", `not a safetensors header: ${String(cause)}`)
  }
  const start = 8 + text.byteLength
  const entries = new Map<string, Entry>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue
    const { data_offsets, dtype, shape } = entry as typeof HeaderEntry.Type
    const [from, to] = data_offsets
    if (!(dtype in bytesOf)) throw fail(name, `dtype ${dtype} is not supported, only F32, F16 and BF16`)
    const bytes = bytesOf[dtype as Dtype] * elements(shape)
    if (to - from !== bytes || from < 0 || start + to > size) {
      throw fail(name, `bytes ${from}..${to} do not hold shape [${shape.join(", ")}] inside the file`)
    }
    entries.set(name, { dtype: dtype as Dtype, shape, from: start + from })
  }
  return { entries }
}

/** Elements of a file as f32, exactly: a view where they are f32 already and aligned, else a copy. */
export const toSingle = (bytes: Uint8Array, dtype: Dtype): Float32Array => {
  const count = bytes.byteLength / bytesOf[dtype]
  if (dtype === "F32") {
    return bytes.byteOffset % 4 === 0
      ? new Float32Array(bytes.buffer, bytes.byteOffset, count)
      : new Float32Array(new Uint8Array(bytes).buffer)
  }
  const halves =
    bytes.byteOffset % 2 === 0
      ? new Uint16Array(bytes.buffer, bytes.byteOffset, count)
      : new Uint16Array(new Uint8Array(bytes).buffer)
  const words = new Uint32Array(count)
  if (dtype === "BF16") for (let i = 0; i < count; i++) words[i] = halves[i]! << 16
  else for (let i = 0; i < count; i++) words[i] = fromHalf(halves[i]!)
  return new Float32Array(words.buffer)
}

/** The bits of a float32 with the value of a float16 (IEEE 754): infinities, NaNs and subnormal numbers too. */
const fromHalf = (half: number): number => {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13)
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13)
  if (fraction === 0) return sign
  const shift = Math.clz32(fraction) - 21
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
}

/**
 * Reads all tensors, by name; their values view the bytes where they are f32 and aligned, and else are copies. Throws SafetensorsError naming
 * the header or the tensor.
 */
export const decode = (bytes: Uint8Array): ReadonlyMap<string, NamedTensor> => {
  const length = headerLength(bytes.subarray(0, 8), bytes.byteLength)
  const { entries } = decodeHeader(bytes.subarray(8, 8 + length), bytes.byteLength)
  const tensors = new Map<string, NamedTensor>()
  for (const [name, { dtype, from, shape }] of entries) {
    const part = bytes.subarray(from, from + bytesOf[dtype] * elements(shape))
    tensors.set(name, { name, shape, values: toSingle(part, dtype) })
  }
  return tensors
}
