/**
 * What the lowering of a launch is written with: arguments, grids, and scratch taken in order.
 *
 * @since 0.1.0
 */
import { DeviceError } from "../device.ts"
import type { AnyLaunch, BufferRef } from "../kernel.ts"
import type { Argument, Card, Extent, KernelStep, Place, ProductStep } from "./step.ts"

/** A place, or none. */
export type Given = Place | undefined

/**
 * What lowering one launch may use. `take` gives scratch of the launch, at a multiple of 256 bytes. `before`: the launch before it in the program, which
 * left its scratch as it was.
 */
export interface Lowering {
  readonly index: number
  readonly before: AnyLaunch | undefined
  readonly card: Card
  readonly take: (bytes: number) => Place
}

export const ceilDivide = (a: number, b: number): number => Math.ceil(a / b)

const alignment = 256

/** A lowering, and how much scratch was taken through it. */
export const makeLowering = (
  index: number,
  card: Card,
  before: AnyLaunch | undefined
): { readonly lowering: Lowering; readonly taken: () => number } => {
  let end = 0
  const take = (bytes: number): Place => {
    const scratch = end
    end += ceilDivide(bytes, alignment) * alignment
    return { scratch }
  }
  return { lowering: { index, before, card, take }, taken: () => end }
}

const refuse = (what: string, message: string): never => {
  throw new DeviceError({ device: "cuda", operation: what, message })
}

/** Sizes that kernels count in 32 bits. */
export const i32 = (value: number): Argument =>
  Number.isInteger(value) && Math.abs(value) < 2 ** 31
    ? { i32: value }
    : refuse("lower", `a size of ${value} does not fit in 32 bits: make the batch smaller`)
export const i64 = (value: number): Argument => ({ i64: value })
export const f32 = (value: number): Argument => ({ f32: value })
export const f64 = (value: number): Argument => ({ f64: value })
export const status: Argument = { status: true }
export const at = (buffer: BufferRef): Place => ({ buffer })
export const optional = (buffer: BufferRef | undefined): Given => (buffer === undefined ? undefined : { buffer })
export const orNull = (place: Given): Argument => place ?? { null: true }

/** A place so many bytes on. */
export const offset = <P extends Given>(place: P, bytes: number): P => {
  if (place === undefined) return place
  if ("scratch" in place) return { scratch: place.scratch + bytes } as P
  const { memory, offset } = place.buffer
  return { buffer: { memory, offset: offset + bytes } } as P
}

/** The most blocks that CUDA takes along x, and along y and z. */
const gridLimits = [2 ** 31 - 1, 65_535, 65_535] as const

/** A launch of a kernel with blocks of so many threads. */
export const kernel = (
  file: string,
  entry: string,
  grid: number | Extent,
  threads: number | Extent,
  values: ReadonlyArray<Argument>,
  shared = 0
): KernelStep => {
  const extent: Extent = typeof grid === "number" ? [grid, 1, 1] : grid
  extent.forEach((blocks, axis) => {
    if (blocks < 1 || blocks > gridLimits[axis]!)
      refuse(entry, `needs a grid of ${extent.join(" x ")} blocks: make the batch smaller`)
  })
  const block: Extent = typeof threads === "number" ? [threads, 1, 1] : threads
  return { kind: "kernel", file, entry, grid: extent, block, shared, arguments: values }
}

/** Refuses a kernel that needs more shared memory than a block of this card may have. */
export const fits = (card: Card, what: string, shared: number): number =>
  shared <= card.sharedBytesPerBlock
    ? shared
    : refuse(
        what,
        `needs ${shared} bytes of shared memory, and a block of this card may have ${card.sharedBytesPerBlock}`
      )

/** A product; what is not said is false or absent. */
export const product = (
  sizes: readonly [m: number, n: number, k: number],
  factors: ProductStep["factors"],
  operands: { readonly a: Place; readonly b: Place; readonly bias?: Given; readonly out: Place },
  flags: { readonly transposeA?: boolean; readonly transposeB?: boolean; readonly accumulate?: boolean } = {}
): ProductStep => {
  const [m, n, k] = sizes
  const { a, b, bias, out } = operands
  const { transposeA = false, transposeB = false, accumulate = false } = flags
  return { kind: "product", m, n, k, transposeA, transposeB, accumulate, factors, a, b, bias: bias ?? null, out }
}

/** Rounds `count` f32 numbers to bfloat16. */
export const roundToBf16 = (from: Place, into: Place, count: number): KernelStep =>
  kernel("elementwise.cu", "roundToBf16", ceilDivide(count, 256 * 8), 256, [from, into, i64(count)])
