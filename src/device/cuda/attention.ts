/**
 * Lowering of attention. The tiles are those of attention.cu: multiples of 16 rows, narrower for wider heads, so that they fit in shared memory.
 *
 * @since 0.1.0
 */

import { DeviceError } from "../device.ts"
import { cacheBlock, type Launch, Precision } from "../kernel.ts"
import { at, ceilDivide, f32, fits, i32, i64, kernel, type Lowering, optional, orNull, status } from "./lowering.ts"
import type { Argument, Extent, Place, Step } from "./step.ts"

/** Widths that kernels are compiled for, and rows of their tiles; heads in between are padded. */
const inF32 = [
  { padded: 32, forward: [64, 64], byKeys: [64, 32], byQueries: [64, 32] },
  { padded: 64, forward: [64, 64], byKeys: [64, 32], byQueries: [64, 32] },
  { padded: 96, forward: [64, 64], byKeys: [32, 32], byQueries: [32, 32] },
  { padded: 128, forward: [64, 64], byKeys: [32, 32], byQueries: [32, 32] },
  { padded: 256, forward: [32, 32], byKeys: [16, 16], byQueries: [16, 16] }
] as const
/** On tensor cores: rows of tiles of what a block goes through; its own are 128 queries, or 64 for gradients. */
const inBf16 = [
  { padded: 32, others: 64 },
  { padded: 64, others: 64 },
  { padded: 96, others: 32 },
  { padded: 128, others: 32 }
] as const
const ownQueries = 128
const ownRows = 64

const tilesOf = (headWidth: number) => {
  const found = inF32.find(({ padded }) => headWidth <= padded)
  if (found !== undefined) return found
  const message = `heads of ${headWidth} are wider than 256, the most that this device's attention takes`
  throw new DeviceError({ device: "cuda", operation: "attention", message })
}
/** Heads too wide for the tensor cores' kernels stay in f32. */
const tensorTilesOf = ({ headWidth, precision }: Sizes) =>
  precision === Precision.bf16 ? inBf16.find(({ padded }) => headWidth <= padded) : undefined

type Sizes = Launch<"attention">["integers"]
const sizes = ({ length, heads, keyHeads, headWidth }: Sizes): ReadonlyArray<Argument> => [
  i32(length),
  i32(heads),
  i32(keyHeads),
  i32(headWidth),
  f32(1 / Math.sqrt(headWidth))
]
/** Floats between rows of a tile: four more than its width, which keeps banks apart. */
const stride = (width: number) => width + 4

/** The heads of x[rows, heads * headWidth] in bfloat16, each by itself and padded: [batch, heads, length, padded] in scratch. */
const roundHeads = (
  x: Place,
  { batch, length, headWidth }: Sizes,
  heads: number,
  padded: number,
  { take }: Lowering
) => {
  const rounded = take(batch * length * heads * padded * 2)
  const threads = (batch * length * heads * padded) / 8
  const values = [x, rounded, i64(batch * length), i32(length), i32(heads), i32(headWidth), i32(padded)]
  return { rounded, step: kernel("attention-bf16.cu", "roundHeads", ceilDivide(threads, 256), 256, values) }
}
const allHeads = ({ heads, keyHeads }: Sizes) => heads + 2 * keyHeads

export const attention = ({ buffers, integers }: Launch<"attention">, lowering: Lowering): ReadonlyArray<Step> => {
  const { card, index } = lowering
  const { batch, length, heads, headWidth } = integers
  const qkv = at(buffers.qkv)
  const results = [orNull(optional(buffers.starts)), at(buffers.out), at(buffers.logSumExp)]
  const rest = [...results, ...sizes(integers), i32(index), status]
  const tensor = tensorTilesOf(integers)
  if (tensor !== undefined) {
    const { padded, others } = tensor
    const { rounded, step } = roundHeads(qkv, integers, allHeads(integers), padded, lowering)
    const shared = fits(card, "attention", 2 * (ownQueries + 4 * others) * (padded + 8))
    const grid: Extent = [ceilDivide(length, ownQueries), heads, batch]
    return [step, kernel("attention-bf16.cu", `attentionBf16x${padded}`, grid, 128, [rounded, ...rest], shared)]
  }
  const { padded, forward } = tilesOf(headWidth)
  const [queries, keys] = forward
  const shared = fits(card, "attention", 4 * ((queries + keys) * stride(padded) + queries * stride(keys)))
  const grid: Extent = [ceilDivide(length, queries), heads, batch]
  return [kernel("attention.cu", `attention${padded}`, grid, 256, [qkv, ...rest], shared)]
}

export const attentionGradient = (
  { buffers, integers }: Launch<"attentionGradient">,
  lowering: Lowering
): ReadonlyArray<Step> => {
  const { card, index, take } = lowering
  const { batch, length, heads, keyHeads, headWidth } = integers
  const along = take(batch * heads * length * 4)
  const starts = orNull(optional(buffers.starts))
  const [dOut, qkv] = [at(buffers.dOut), at(buffers.qkv)]
  const rest = [starts, at(buffers.logSumExp), along, at(buffers.dQkv), ...sizes(integers)]
  const blocks = (rows: number, of: number): Extent => [ceilDivide(length, rows), of, batch]
  const before = kernel("attention.cu", "attentionAlong", ceilDivide(batch * length * heads, 8), 256, [
    dOut,
    at(buffers.out),
    starts,
    along,
    ...[batch, length, heads, headWidth, index].map(i32),
    status
  ])
  const tensor = tensorTilesOf(integers)
  if (tensor !== undefined) {
    const { padded, others } = tensor
    const ofQkv = roundHeads(qkv, integers, allHeads(integers), padded, lowering)
    const ofOut = roundHeads(dOut, integers, heads, padded, lowering)
    const values = [ofOut.rounded, ofQkv.rounded, ...rest]
    const tile = (rows: number) => 2 * rows * (padded + 8)
    const keysShared = fits(card, "attentionGradient", 2 * tile(ownRows) + 2 * tile(others) + 12 * others)
    const queriesShared = fits(card, "attentionGradient", 2 * tile(ownRows) + 4 * tile(others))
    const step = (by: string, grid: Extent, shared: number) =>
      kernel("attention-bf16.cu", `attentionBf16By${by}${padded}`, grid, 128, values, shared)
    return [
      before,
      ofQkv.step,
      ofOut.step,
      step("Keys", blocks(ownRows, keyHeads), keysShared),
      step("Queries", blocks(ownRows, heads), queriesShared)
    ]
  }
  const { padded, byKeys, byQueries } = tilesOf(headWidth)
  const tile = (rows: number) => rows * stride(padded)
  const keysShared = 4 * (2 * tile(byKeys[0]) + 2 * tile(byKeys[1]) + 2 * byKeys[0] * stride(byKeys[1]) + 3 * byKeys[1])
  const queriesShared = 4 * (2 * tile(byQueries[0]) + 2 * tile(byQueries[1]) + byQueries[0] * stride(byQueries[1]))
  const step = (by: string, grid: Extent, shared: number) => {
    const needed = fits(card, "attentionGradient", shared)
    return kernel("attention.cu", `attentionBy${by}${padded}`, grid, 256, [dOut, qkv, ...rest], needed)
  }
  return [
    before,
    step("Keys", blocks(byKeys[0], keyHeads), keysShared),
    step("Queries", blocks(byQueries[0], heads), queriesShared)
  ]
}

export const cacheWrite = (
  { buffers, integers }: Launch<"cacheWrite">,
  { card, index }: Lowering
): ReadonlyArray<Step> => {
  const { batch, length, slots, capacity, heads, keyHeads, headWidth } = integers
  return [
    kernel(
      "decode.cu",
      "cacheWrite",
      [ceilDivide(length, cacheBlock), keyHeads, batch],
      128,
      [
        at(buffers.qkv),
        orNull(optional(buffers.places)),
        at(buffers.keys),
        at(buffers.values),
        ...[batch, length, slots, capacity, heads, keyHeads, headWidth, index].map(i32),
        status
      ],
      fits(card, "cacheWrite", 4 * cacheBlock * (headWidth + 1))
    )
  ]
}

/** Keys that one block of decodeAttention looks at. */
const splitKeys = 256

export const decodeAttention = (
  { buffers, integers }: Launch<"decodeAttention">,
  { card, index, take }: Lowering
): ReadonlyArray<Step> => {
  const { batch, capacity, heads, keyHeads, headWidth } = integers
  const splits = ceilDivide(capacity, splitKeys)
  const partial = splits === 1 ? undefined : take(batch * heads * splits * (headWidth + 2) * 4)
  const [positions, out] = [at(buffers.positions), at(buffers.out)]
  const steps: Array<Step> = [
    kernel(
      "decode.cu",
      "decodeAttention",
      [splits, keyHeads, batch],
      128,
      [
        at(buffers.qkv),
        positions,
        at(buffers.keys),
        at(buffers.values),
        out,
        orNull(partial),
        ...[batch, capacity, heads, keyHeads, headWidth].map(i32),
        f32(1 / Math.sqrt(headWidth)),
        i32(index),
        status
      ],
      fits(card, "decodeAttention", 4 * (splitKeys + 5 * headWidth))
    )
  ]
  if (partial !== undefined) {
    steps.push(
      kernel("decode.cu", "combineSplits", [heads, batch, 1], 128, [
        partial,
        positions,
        out,
        i32(capacity),
        i32(heads),
        i32(headWidth),
        i32(splits)
      ])
    )
  }
  return steps
}
