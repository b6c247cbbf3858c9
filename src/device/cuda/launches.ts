/**
 * How each row of the kernel table becomes steps on a CUDA device. Sums over rows are cut into slices whose number depends on the rows alone, so that
 * a result does not depend on the card's size.
 *
 * @since 0.1.0
 */
import { Activation, type AnyLaunch, type KernelName, type Launch, Precision } from "../kernel.ts"
import { attention, attentionGradient, cacheWrite, decodeAttention } from "./attention.ts"
import { lmHead, lmHeadGradient, lmHeadLoss, sample } from "./heads.ts"
import {
  at,
  ceilDivide,
  f32,
  f64,
  fits,
  i32,
  i64,
  kernel,
  type Lowering,
  makeLowering,
  offset,
  optional,
  orNull,
  product,
  roundToBf16,
  status
} from "./lowering.ts"
import type { Card, KernelStep, Place, ProductStep, Step } from "./step.ts"

type Lower<K extends KernelName> = (launch: Launch<K>, lowering: Lowering) => ReadonlyArray<Step>

const threads = 256
const rowsPerBlock = threads / 32
/** Blocks for so many elements, four a thread. */
const byFours = (count: number) => ceilDivide(count, threads * 4)
const elementwise = (entry: string, blocks: number, values: KernelStep["arguments"]) =>
  kernel("elementwise.cu", entry, blocks, threads, values)

/** Adds the slices' sums of `width` columns to `out`. */
const addSlices = (partial: Place, stride: number, slices: number, width: number, out: Place) =>
  kernel("norm.cu", "addSlices", ceilDivide(width, 32), 1024, [partial, i64(stride), i32(slices), i32(width), out])

/** The gradient of a norm whose block sums `kinds` rows of `width` a warp in shared memory. */
const normGradient = (
  entry: string,
  { rows, width }: { readonly rows: number; readonly width: number },
  { card, take }: Lowering,
  before: KernelStep["arguments"],
  sums: ReadonlyArray<Place>
): ReadonlyArray<Step> => {
  const bytesPerWarp = sums.length * ceilDivide(width, 4) * 16
  const slices = Math.min(ceilDivide(rows, 8), 512)
  let warps = 8
  while (warps > 1 && warps * bytesPerWarp > card.sharedBytesPerBlock) warps /= 2
  const shared = fits(card, entry, warps * bytesPerWarp)
  const partial = take(slices * sums.length * width * 4)
  const stride = sums.length * width
  const values = [...before, partial, i64(rows), i32(width)]
  return [
    kernel("norm.cu", entry, slices, warps * 32, values, shared),
    ...sums.map((sum, kind) => addSlices(offset(partial, kind * width * 4), stride, slices, width, sum))
  ]
}

/** Slices of the rows for sums of columns by blocks of 8 warps. */
const columnSlices = (rows: number) => Math.min(ceilDivide(rows, 64), 128)

/** Adds dOut's rows to those of `table` that they read. */
const embeddingSums = (
  { index, take }: Lowering,
  [values, dOut, table]: readonly [Place, Place, Place],
  rows: number,
  width: number,
  limit: number
): ReadonlyArray<Step> => {
  const order = take(rows * 4)
  return [
    kernel("embedding.cu", "orderRows", ceilDivide(rows, threads) + 1, threads, [
      values,
      order,
      i32(rows),
      i32(limit),
      i32(index),
      status
    ]),
    kernel("embedding.cu", "addOrdered", [rows, ceilDivide(width, 512), 1], 128, [
      values,
      order,
      dOut,
      table,
      i32(rows),
      i32(width),
      i32(limit)
    ])
  ]
}

type Matmul = Launch<"matmul">
type Rounded = { readonly place: Place; readonly steps: ReadonlyArray<Step> }

/** The factor whose rounded copy lies first in the scratch of a product in bf16. What gradients of a layer's weight and of its input share: its output's. */
const firstFactor = ({ buffers, integers: { m, n, k, transposeA } }: Matmul) =>
  transposeA === 1 ? { buffer: buffers.b, count: k * n } : { buffer: buffers.a, count: m * k }

/** Whether the launch before was a product that left our first factor's rounded copy where we have it, and did not change the factor after. */
const isRounded = (launch: Matmul, before: AnyLaunch | undefined): boolean => {
  if (before?.kernel !== "matmul" || before.integers.precision !== Precision.bf16) return false
  const [ours, theirs] = [firstFactor(launch), firstFactor(before)]
  const { memory, offset } = ours.buffer
  if (theirs.buffer.memory !== memory || theirs.buffer.offset !== offset || theirs.count !== ours.count) return false
  const { out, pre, slope } = before.buffers
  const bytes = before.integers.m * before.integers.n * 4
  return [out, pre, slope].every(
    (to) => to?.memory !== memory || to.offset + bytes <= offset || offset + ours.count * 4 <= to.offset
  )
}

const matmul: Lower<"matmul"> = (launch, { before, take }) => {
  const { buffers, integers } = launch
  const { m, n, k, activation } = integers
  const [out, residual, slope] = [at(buffers.out), optional(buffers.residual), optional(buffers.slope)]
  const factors = integers.precision === Precision.bf16 ? "bf16" : "f32"
  const rounded = (place: Place, count: number, made: boolean): Rounded => {
    if (factors === "f32") return { place, steps: [] }
    const into = take(count * 2)
    return { place: into, steps: made ? [] : [roundToBf16(place, into, count)] }
  }
  const made = factors === "bf16" && isRounded(launch, before)
  const ofA = (first: boolean) => rounded(at(buffers.a), m * k, first && made)
  const ofB = (first: boolean) => rounded(at(buffers.b), k * n, first && made)
  const first = integers.transposeA === 1 ? { b: ofB(true) } : { a: ofA(true) }
  const { a = ofA(false), b = ofB(false) }: { a?: Rounded; b?: Rounded } = first
  const steps: Array<Step> = [
    ...a.steps,
    ...b.steps,
    product(
      [m, n, k],
      factors,
      { a: a.place, b: b.place, bias: optional(buffers.bias), out },
      {
        transposeA: integers.transposeA === 1,
        transposeB: integers.transposeB === 1,
        accumulate: integers.accumulate === 1
      }
    )
  ]
  const count = m * n
  if (activation === Activation.gelu) {
    const pre = optional(buffers.pre)
    steps.push(elementwise("geluForward", byFours(count), [out, orNull(pre), out, orNull(slope), i64(count)]))
  } else if (activation === Activation.geluGradient) {
    steps.push(elementwise("multiply", byFours(count), [out, slope!, out, i64(count)]))
  } else if (residual !== undefined) {
    steps.push(elementwise("add", byFours(count), [out, residual, out, i64(count)]))
  }
  return steps
}

const table: { readonly [K in KernelName]: Lower<K> } = {
  fill: ({ buffers, integers: { count }, reals }) => [
    elementwise("fill", byFours(count), [at(buffers.out), i64(count), f32(reals.value)])
  ],
  add: ({ buffers, integers: { count } }) => [
    elementwise("add", byFours(count), [at(buffers.a), at(buffers.b), at(buffers.out), i64(count)])
  ],
  scale: ({ buffers, integers: { count }, reals }) => [
    elementwise("scale", byFours(count), [at(buffers.x), at(buffers.out), i64(count), f32(reals.factor)])
  ],
  gelu: ({ buffers, integers: { count } }) => [
    elementwise("geluForward", byFours(count), [
      at(buffers.x),
      { null: true },
      at(buffers.out),
      at(buffers.slope),
      i64(count)
    ])
  ],
  embedding: ({ buffers, integers: { rows, width, vocabulary, context } }, { index }) => [
    kernel("embedding.cu", "embedding", ceilDivide(rows, rowsPerBlock) + 1, threads, [
      at(buffers.ids),
      orNull(optional(buffers.positions)),
      at(buffers.tokenTable),
      orNull(optional(buffers.positionTable)),
      at(buffers.out),
      ...[rows, width, vocabulary, context, index].map(i32),
      status
    ])
  ],
  embeddingGradient: ({ buffers, integers: { rows, width, vocabulary, context } }, lowering) => {
    const [ids, dOut, dTokenTable] = [at(buffers.ids), at(buffers.dOut), at(buffers.dTokenTable)]
    const [positions, dPositionTable] = [optional(buffers.positions), optional(buffers.dPositionTable)]
    const tokens = embeddingSums(lowering, [ids, dOut, dTokenTable], rows, width, vocabulary)
    if (positions === undefined || dPositionTable === undefined) return tokens
    return [...tokens, ...embeddingSums(lowering, [positions, dOut, dPositionTable], rows, width, context)]
  },
  layernorm: ({ buffers, integers: { rows, width }, reals }) => [
    kernel("norm.cu", "layernorm", ceilDivide(rows, rowsPerBlock), threads, [
      at(buffers.x),
      at(buffers.gamma),
      at(buffers.beta),
      at(buffers.out),
      at(buffers.mean),
      at(buffers.rstd),
      i64(rows),
      i32(width),
      f32(reals.epsilon)
    ])
  ],
  layernormGradient: ({ buffers, integers }, lowering) => {
    const { dOut, x, gamma, mean, rstd, dResidual, dx, dGamma, dBeta } = buffers
    const before = [at(dOut), at(x), at(gamma), at(mean), at(rstd), orNull(optional(dResidual)), at(dx)]
    return normGradient("layernormGradient", integers, lowering, before, [at(dGamma), at(dBeta)])
  },
  rmsnorm: ({ buffers, integers: { rows, width }, reals }) => [
    kernel("norm.cu", "rmsnorm", ceilDivide(rows, rowsPerBlock), threads, [
      at(buffers.x),
      at(buffers.gamma),
      at(buffers.out),
      at(buffers.rstd),
      i64(rows),
      i32(width),
      f32(reals.epsilon)
    ])
  ],
  rmsnormGradient: ({ buffers, integers }, lowering) => {
    const { dOut, x, gamma, rstd, dResidual, dx, dGamma } = buffers
    const before = [at(dOut), at(x), at(gamma), at(rstd), orNull(optional(dResidual)), at(dx)]
    return normGradient("rmsnormGradient", integers, lowering, before, [at(dGamma)])
  },
  swiglu: ({ buffers, integers: { rows, width } }) => [
    elementwise("swiglu", ceilDivide(rows * ceilDivide(width, 4), threads), [
      at(buffers.x),
      at(buffers.out),
      i64(rows),
      i64(width)
    ])
  ],
  swigluGradient: ({ buffers, integers: { rows, width } }) => [
    elementwise("swigluGradient", ceilDivide(rows * ceilDivide(width, 4), threads), [
      at(buffers.dOut),
      at(buffers.x),
      at(buffers.dx),
      i64(rows),
      i64(width)
    ])
  ],
  rotaryTable: ({ buffers, integers: { rows, headWidth }, reals }) => [
    elementwise("rotaryTable", ceilDivide((rows * headWidth) / 2, threads), [
      at(buffers.positions),
      at(buffers.table),
      i64(rows),
      i32(headWidth),
      f64(reals.theta)
    ])
  ],
  rotary: ({ buffers, integers: { rows, heads, headWidth, rowWidth, inverse } }) => [
    elementwise("rotary", rows, [
      at(buffers.table),
      at(buffers.x),
      i32(heads),
      i32(headWidth),
      i64(rowWidth),
      f32(inverse === 1 ? -1 : 1)
    ])
  ],
  matmul,
  biasGradient: ({ buffers, integers: { rows, width } }, { take }) => {
    const slices = columnSlices(rows)
    const partial = take(slices * width * 4)
    return [
      kernel("norm.cu", "biasGradient", [ceilDivide(width, 128), slices, 1], threads, [
        at(buffers.dOut),
        partial,
        i64(rows),
        i32(width)
      ]),
      addSlices(partial, width, slices, width, at(buffers.dBias))
    ]
  },
  attention,
  attentionGradient,
  lmHead,
  lmHeadGradient,
  lmHeadLoss,
  scalarHead: ({ buffers, integers: { rows, width } }) => [
    kernel("norm.cu", "scalarHead", ceilDivide(rows, rowsPerBlock), threads, [
      at(buffers.x),
      at(buffers.weight),
      at(buffers.bias),
      at(buffers.out),
      i64(rows),
      i32(width)
    ])
  ],
  scalarHeadGradient: ({ buffers, integers: { rows, width, accumulate } }, { take }) => {
    const slices = columnSlices(rows)
    const stride = width + 1
    const sums = take(slices * stride * 4)
    return [
      kernel("norm.cu", "scalarHeadGradient", [ceilDivide(width, 128), slices, 1], threads, [
        at(buffers.x),
        at(buffers.weight),
        at(buffers.dOut),
        at(buffers.dx),
        sums,
        i64(rows),
        i32(width),
        i32(accumulate)
      ]),
      addSlices(sums, stride, slices, width, at(buffers.dWeight)),
      addSlices(offset(sums, width * 4), stride, slices, 1, at(buffers.dBias))
    ]
  },
  gradientNorm: ({ buffers, integers: { count } }, { take }) => {
    const blocks = Math.min(ceilDivide(count, 512 * 4), 1024)
    const partial = take(blocks * 8)
    return [
      kernel("optimizer.cu", "squares", blocks, 512, [at(buffers.gradients), partial, i64(count)]),
      kernel("optimizer.cu", "rootOfSum", 1, 1024, [partial, i32(blocks), at(buffers.norm)])
    ]
  },
  adamw: ({ buffers, integers: { count, decayCount, form }, reals }) => [
    kernel("optimizer.cu", "adamw", byFours(count), threads, [
      at(buffers.weights),
      at(buffers.gradients),
      at(buffers.m),
      at(buffers.v),
      at(buffers.norm),
      at(buffers.control),
      i64(count),
      i64(decayCount),
      i32(form),
      f32(reals.beta1),
      f32(reals.beta2),
      f32(reals.epsilon),
      f32(reals.maxNorm),
      status
    ])
  ],
  cacheWrite,
  decodeAttention,
  sample
}

const lowered = (launch: AnyLaunch, index: number, card: Card, before: AnyLaunch | undefined) => {
  const { lowering, taken } = makeLowering(index, card, before)
  const steps = (table[launch.kernel] as Lower<KernelName>)(launch as Launch, lowering)
  return { steps, scratch: taken() }
}

/**
 * The steps of the program's launch `index`, which `before` comes right before (none: it is the first), in the same scratch. Throws a DeviceError for sizes
 * that this card cannot do.
 */
export const lower = (launch: AnyLaunch, index: number, card: Card, before?: AnyLaunch): ReadonlyArray<Step> =>
  lowered(launch, index, card, before).steps

/** Bytes of scratch that the steps of a launch use; launches may use the same. */
export const scratchBytes = (launch: AnyLaunch, card: Card): number => lowered(launch, 0, card, undefined).scratch

/** A product by our own kernel, where cuBLASLt is not. */
export const productKernel = ({ m, n, k, a, b, bias, out, ...flags }: ProductStep): KernelStep => {
  const bf16 = flags.factors === "bf16"
  const letters = `${flags.transposeA ? "t" : "n"}${flags.transposeB ? "t" : "n"}`
  return kernel(
    "matmul.cu",
    `product${bf16 ? "Bf16" : "F32"}${letters}`,
    [ceilDivide(n, productTile), ceilDivide(m, productTile), 1],
    threads,
    [a, b, orNull(bias ?? undefined), out, i32(m), i32(n), i32(k), i32(flags.accumulate ? 1 : 0)],
    bf16 ? bf16Shared : 0
  )
}
/** As in matmul.cu: three stages of two tiles of 128 rows, each with 32 + 8 numbers of 2 bytes. */
const productTile = 128
const bf16Shared = 3 * 2 * productTile * 40 * 2
