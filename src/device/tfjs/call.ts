/**
 * A launch as a kernel sees it: its operands by name, as tensors or as numbers on the host.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor1D, Tensor2D, Tensor3D, Tensor4D, Tensor5D } from "@tensorflow/tfjs-core"
import { type AnyLaunch, type BufferRef, type KernelName, type kernels, type Launch, Precision } from "../kernel.ts"
import { operandBytes } from "../operands.ts"
import type { Backend } from "./backend.ts"
import type { TensorMemory, Tf } from "./memory.ts"

type Plain<Name extends string> = Name extends `${infer N}?` ? N : Name
type BufferName<K extends KernelName> = Plain<(typeof kernels)[K]["buffers"][number]>

interface Shaped {
  (shape: readonly [number]): Tensor1D
  (shape: readonly [number, number]): Tensor2D
  (shape: readonly [number, number, number]): Tensor3D
  (shape: readonly [number, number, number, number]): Tensor4D
  (shape: readonly [number, number, number, number, number]): Tensor5D
}

/** A value that is not from 0 to limit - 1. */
export class OutOfRange extends Error {
  readonly row: number
  readonly value: number
  readonly limit: number
  constructor(row: number, value: number, limit: number) {
    super(`row ${row} has ${value}, which is not from 0 to ${limit - 1}`)
    this.row = row
    this.value = value
    this.limit = limit
  }
}

/** Throws for the first of the values that is not from 0 to limit - 1. */
export const checkRange = (values: Int32Array, limit: number): void => {
  for (let row = 0; row < values.length; row++) {
    if (values[row]! < 0 || values[row]! >= limit) throw new OutOfRange(row, values[row]!, limit)
  }
}

/** A factor of a product, and whether it lies transposed. */
export interface Factor {
  readonly matrix: Tensor2D
  readonly transposed: boolean
}

/** One launch, bound to its memories. Kernels read and make tensors inside a tidy; what they set stays. */
export interface Call<K extends KernelName> {
  readonly backend: Backend
  readonly tf: Tf
  readonly integers: Launch<K>["integers"]
  readonly reals: Launch<K>["reals"]
  readonly has: (name: BufferName<K>) => boolean
  /** The reals of a buffer. */
  readonly get: (name: BufferName<K>) => Shaped
  /** A part of a flat buffer, from an element on. */
  readonly part: (name: BufferName<K>, from: number, count: number) => Tensor1D
  /** op(matrix) in the precision asked for; `lasting`: what is made of it is kept until it changes, as of weights. */
  readonly factor: (
    name: BufferName<K>,
    shape: readonly [number, number],
    options: { readonly transposed: boolean; readonly precision: number; readonly lasting: boolean }
  ) => Factor
  /** Whether all of a buffer is known to be 0. */
  readonly isZero: (name: BufferName<K>) => boolean
  readonly set: (name: BufferName<K>, value: Tensor, from?: number) => void
  readonly setZero: (name: BufferName<K>) => void
  /** buffer += value */
  readonly add: (name: BufferName<K>, value: Tensor) => void
  /** Integers, and reals that the host knows; only to be read. */
  readonly integersOf: (name: BufferName<K>) => Int32Array
  readonly realsOf: (name: BufferName<K>) => Float32Array
  readonly integersToChange: (name: BufferName<K>) => Int32Array
  readonly realsToChange: (name: BufferName<K>) => Float32Array
}

/** Rounds to bfloat16's 8 bits of mantissa, to nearest (Dekker 1971, the splitting of a factor; 2^16 + 1 leaves 24 - 16 bits). */
export const rounded = <T extends Tensor>(tf: Tf, x: T): T => {
  const spread = tf.mul(x, 65537)
  return tf.sub(spread, tf.sub(spread, x)) as T
}

/** A launch with its memories, bound once. */
export const bind = (backend: Backend, launch: AnyLaunch, memories: ReadonlyArray<TensorMemory>): Call<KernelName> => {
  const { tf } = backend
  const places = new Map(
    operandBytes(launch, "f32").map(({ buffer, bytes, name }) => [
      name,
      { memory: memories[buffer.memory]!, offset: buffer.offset, bytes }
    ])
  )
  const place = (name: string) => places.get(name)!
  const view = <A extends Int32Array | Float32Array>(
    View: new (buffer: ArrayBuffer, offset: number, count: number) => A,
    { buffer, byteLength, byteOffset }: Uint8Array
  ) => new View(buffer as ArrayBuffer, byteOffset, byteLength / 4)
  const hostOf = (name: string, change: boolean) => {
    const { bytes, memory, offset } = place(name)
    return change ? memory.hostToChange(offset, bytes) : memory.host(offset, bytes)
  }
  const set = (name: string, value: Tensor, from = 0) => {
    const { memory, offset } = place(name)
    memory.set(offset + 4 * from, tf.keep(tf.reshape(value, [value.size]) as Tensor1D))
  }
  const call: Call<"matmul"> = {
    backend,
    tf,
    integers: launch.integers as Launch<"matmul">["integers"],
    reals: launch.reals as Launch<"matmul">["reals"],
    has: (name) => places.has(name),
    get: (name) => {
      const { bytes, memory, offset } = place(name)
      return ((shape: ReadonlyArray<number>) => tf.reshape(memory.reals(offset, bytes), [...shape])) as Shaped
    },
    part: (name, from, count) => {
      const { memory, offset } = place(name)
      return memory.passing(offset + 4 * from, 4 * count)
    },
    factor: (name, shape, { lasting, precision, transposed }) => {
      const { bytes, memory, offset } = place(name)
      // Where products of transposed factors are slow, the factor itself is transposed.
      const turn = transposed && backend.plainProducts
      const made = (reals: Tensor1D): Tensor2D => {
        const matrix = tf.reshape(reals, [...shape]) as Tensor2D
        const exact = precision === Precision.bf16 ? rounded(tf, matrix) : matrix
        return turn ? backend.moves.transpose(exact) : exact
      }
      const variant = `${shape.join("x")}${turn ? " turned" : ""}${precision === Precision.bf16 ? " bf16" : ""}`
      const matrix =
        lasting && (turn || precision === Precision.bf16)
          ? (memory.derived(offset, bytes, variant, made) as Tensor2D)
          : made(memory.reals(offset, bytes))
      return { matrix, transposed: transposed && !turn }
    },
    isZero: (name) => {
      const { bytes, memory, offset } = place(name)
      return memory.isZero(offset, bytes)
    },
    set,
    setZero: (name) => {
      const { bytes, memory, offset } = place(name)
      memory.setZero(offset, bytes)
    },
    add: (name, value) => {
      const { bytes, memory, offset } = place(name)
      const flat = tf.reshape(value, [value.size])
      set(name, memory.isZero(offset, bytes) ? flat : tf.add(memory.reals(offset, bytes), flat))
    },
    integersOf: (name) => view(Int32Array, hostOf(name, false)),
    realsOf: (name) => view(Float32Array, hostOf(name, false)),
    integersToChange: (name) => view(Int32Array, hostOf(name, true)),
    realsToChange: (name) => view(Float32Array, hostOf(name, true))
  }
  return call as unknown as Call<KernelName>
}

/** Buffers that kernels look at on the host: all integers, and the few reals that decide something there. */
const onHost: { readonly [K in KernelName]?: ReadonlyArray<BufferName<K>> } = {
  embedding: ["ids", "positions"],
  embeddingGradient: ["ids", "positions"],
  rotaryTable: ["positions"],
  attention: ["starts"],
  attentionGradient: ["starts"],
  lmHead: ["targets"],
  lmHeadGradient: ["targets"],
  lmHeadLoss: ["targets"],
  adamw: ["control"],
  cacheWrite: ["places"],
  decodeAttention: ["positions"],
  sample: ["keys", "limits", "ids", "positions", "done", "tokens", "logProbability"]
}

/** The host buffers of a launch, with their memories. */
export const hostPlaces = (launch: AnyLaunch, memories: ReadonlyArray<TensorMemory>) => {
  const names: ReadonlyArray<string> = onHost[launch.kernel] ?? []
  return operandBytes(launch, "f32").flatMap(({ buffer, bytes, name }) => {
    const { memory, offset }: BufferRef = buffer
    return names.includes(name) ? [{ memory: memories[memory]!, offset, bytes }] : []
  })
}
