/**
 * Lowering of attention. The tiles are those of attention.cu: multiples of 16 rows, narrower for wider heads, so that they fit in shared memory.
 *
 * @since 0.1.0
 */

import { DeviceError } from "../device.ts"
import { cacheBlock, type Launch } from "../kernel.ts"
import { at, ceilDivide, f32, fits, i32, kernel, type Lowering, optional, orNull, status } from "./lowering.ts"
import type { Argument, Step } from "./step.ts"

/** Widths that kernels are compiled for, and rows of their tiles; heads in between are padded. */
const widths = [
  { padded: 32, forward: [64, 64], byKeys: [64, 32], byQueries: [64, 32] },
  { padded: 64, forward: [64, 64], byKeys: [64, 32], byQueries: [64, 32] },
  { padded: 96, forward: [64, 64], byKeys: [32, 32], byQueries: [32, 32] },
  { padded: 128, forward: [64, 64], byKeys: [32, 32], byQueries: [32, 32] },
  { padded: 256, forward: [32, 32], byKeys: [16, 16], byQueries: [16, 16] }
] as const

const tilesOf = (headWidth: number) => {
  const found = widths.find(({ padded }) => headWidth <= padded)
  if (found !== undefined) return found
  const message = `heads of ${headWidth} are wider than 256, the most that this device's attention takes`
  throw new DeviceError({ device: "cuda", operation: "attention", message })
}

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

export const attention = (
  { buffers, integers }: Launch<"attention">,
  { card, index }: Lowering
): ReadonlyArray<Step> => {
  const { batch, length, heads, headWidth } = integers
  const { padded, forward } = tilesOf(headWidth)
  const [queries, keys] = forward
  const entry = `attention${padded}`
  const shared = 4 * ((queries + keys) * stride(padded) + queries * stride(keys))
  return [
    kernel(
      "attention.cu",
      entry,
      [ceilDivide(length, queries), heads, batch],
      256,
      [
        at(buffers.qkv),
        orNull(optional(buffers.starts)),
        at(buffers.out),
        at(buffers.logSumExp),
        ...sizes(integers),
        i32(index),
        status
      ],
      fits(card, entry, shared)
    )
  ]
}

export const attentionGradient = (
  { buffers, integers }: Launch<"attentionGradient">,
  { card, index, take }: Lowering
): ReadonlyArray<Step> => {
  const { batch, length, heads, keyHeads, headWidth } = integers
  const { padded, byKeys, byQueries } = tilesOf(headWidth)
  const along = take(batch * heads * length * 4)
  const starts = orNull(optional(buffers.starts))
  const [dOut, qkv, logSumExp, dQkv] = [at(buffers.dOut), at(buffers.qkv), at(buffers.logSumExp), at(buffers.dQkv)]
  const operands = [dOut, qkv, starts, logSumExp, along, dQkv, ...sizes(integers)]
  const tile = (rows: number) => rows * stride(padded)
  const keysShared = 4 * (2 * tile(byKeys[0]) + 2 * tile(byKeys[1]) + 2 * byKeys[0] * stride(byKeys[1]) + 3 * byKeys[1])
  const queriesShared = 4 * (2 * tile(byQueries[0]) + 2 * tile(byQueries[1]) + byQueries[0] * stride(byQueries[1]))
  return [
    kernel("attention.cu", "attentionAlong", ceilDivide(batch * length * heads, 8), 256, [
      dOut,
      at(buffers.out),
      starts,
      along,
      i32(batch),
      i32(length),
      i32(heads),
      i32(headWidth),
      i32(index),
      status
    ]),
    kernel(
      "attention.cu",
      `attentionByKeys${padded}`,
      [ceilDivide(length, byKeys[0]), keyHeads, batch],
      256,
      operands,
      fits(card, "attentionGradient", keysShared)
    ),
    kernel(
      "attention.cu",
      `attentionByQueries${padded}`,
      [ceilDivide(length, byQueries[0]), heads, batch],
      256,
      operands,
      fits(card, "attentionGradient", queriesShared)
    )
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
