/**
 * What a launch of the kernel table becomes on a CUDA device: a list of steps, all on one stream, each after the one before.
 *
 * @since 0.1.0
 */
import type { BufferRef } from "../kernel.ts"

/** A place in device memory: in one of the program's memories, or at an offset in bytes (a multiple of 256 at a step's own start) of its scratch. */
export type Place = { readonly buffer: BufferRef } | { readonly scratch: number }

/** A parameter of a kernel. `null` is a null pointer; `status` the address of the program's status words (see `Status`). */
export type Argument =
  | Place
  | { readonly null: true }
  | { readonly status: true }
  | { readonly i32: number }
  | { readonly u32: number }
  | { readonly i64: number }
  | { readonly f32: number }
  | { readonly f64: number }

/** Sizes of a grid, in blocks, or of a block, in threads. */
export type Extent = readonly [x: number, y: number, z: number]

/** A launch of `entry` of `kernels/<file>`; `shared` is the dynamic shared memory of a block, in bytes. */
export interface KernelStep {
  readonly kind: "kernel"
  readonly file: string
  readonly entry: string
  readonly grid: Extent
  readonly block: Extent
  readonly shared: number
  readonly arguments: ReadonlyArray<Argument>
}

/**
 * out[m,n] = op(a)[m,k] . op(b)[k,n] (+ bias[n]) (+ out if `accumulate`), row-major and contiguous: a is [k,m] if `transposeA`, b is [n,k] if `transposeB`. The factors are
 * f32 or bfloat16 numbers; sums, bias and out are f32 (f32 factors are not rounded to tf32).
 */
export interface ProductStep {
  readonly kind: "product"
  readonly m: number
  readonly n: number
  readonly k: number
  readonly transposeA: boolean
  readonly transposeB: boolean
  readonly accumulate: boolean
  readonly factors: "f32" | "bf16"
  readonly a: Place
  readonly b: Place
  readonly bias: Place | null
  readonly out: Place
}

/** One thing on the stream. */
export type Step = KernelStep | ProductStep

/** What the lowering of launches may depend on. `capability` is major * 10 + minor. */
export interface Card {
  readonly capability: number
  readonly multiprocessors: number
  /** Dynamic shared memory that a block may ask for at most, in bytes. */
  readonly sharedBytesPerBlock: number
}

/**
 * Indices of the status words (i32 each, all 0 before a run). A kernel that meets an id or position out of range writes
 * launch, row, value and limit of the first it finds, then 1 to `fault`, unless `fault` is set; a sampler sets `finished` once every sequence is done.
 */
export const Status = { fault: 0, launch: 1, row: 2, value: 3, limit: 4, finished: 7 } as const

/** How many status words there are. */
export const statusWords = 8
