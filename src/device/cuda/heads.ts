/**
 * Lowering of the language-model head, whose logits exist for a chunk of rows at a time, and of the sampler.
 *
 * @since 0.1.0
 */
import { type Launch, Precision } from "../kernel.ts"
import {
  at,
  f32,
  f64,
  type Given,
  i32,
  kernel,
  type Lowering,
  offset,
  optional,
  orNull,
  product,
  roundToBf16,
  status
} from "./lowering.ts"
import type { Step } from "./step.ts"

/** Logits of a chunk: 256 MB of them at most, unless that is less than 128 rows. */
const chunkLogits = 2 ** 26
const chunkRows = (rows: number, vocabulary: number) =>
  Math.min(rows, Math.max(128, Math.floor(chunkLogits / vocabulary / 128) * 128))

/** What a pass over the head writes, and what it is given of one before. */
interface Head {
  readonly logProbability?: Given
  readonly entropy?: Given
  readonly logSumExp?: Given
  readonly savedLogSumExp?: Given
  readonly savedEntropy?: Given
  readonly dLogProbability?: Given
  readonly dEntropy?: Given
  readonly dx?: Given
  readonly dTable?: Given
}

/** Per chunk: the logits, their statistics and derivatives in one kernel, and the products of the derivatives. */
const lower = (
  { buffers, integers, reals }: Launch<"lmHead"> | Launch<"lmHeadGradient"> | Launch<"lmHeadLoss">,
  h: Head,
  { index, take }: Lowering
): ReadonlyArray<Step> => {
  const [hidden, weights] = [at(buffers.x), at(buffers.table)]
  const { rows, width, vocabulary } = integers
  const bf16 = integers.precision === Precision.bf16
  const factors = bf16 ? "bf16" : "f32"
  const chunk = chunkRows(rows, vocabulary)
  const logits = take(chunk * vocabulary * 4)
  const rounded = bf16 && h.dx !== undefined ? take(chunk * vocabulary * 2) : undefined
  const [x, table] = bf16 ? [take(rows * width * 2), take(vocabulary * width * 2)] : [hidden, weights]
  const steps: Array<Step> = bf16
    ? [roundToBf16(hidden, x, rows * width), roundToBf16(weights, table, vocabulary * width)]
    : []
  const bytes = bf16 ? 2 : 4
  for (let from = 0; from < rows; from += chunk) {
    const count = Math.min(chunk, rows - from)
    const ofRows = (place: Given) => orNull(offset(place, from * 4))
    const xs = offset(x, from * width * bytes)
    steps.push(product([count, vocabulary, width], factors, { a: xs, b: table, out: logits }, { transposeB: true }))
    steps.push(
      kernel("lmhead.cu", "headRows", count + 1, 512, [
        logits,
        offset(at(buffers.targets), from * 4),
        i32(count),
        i32(vocabulary),
        f32(reals.inverseTemperature),
        ofRows(h.logProbability),
        ofRows(h.entropy),
        ofRows(h.logSumExp),
        ofRows(h.savedLogSumExp),
        ofRows(h.savedEntropy),
        ofRows(h.dLogProbability),
        ofRows(h.dEntropy),
        orNull(h.dx === undefined || bf16 ? undefined : logits),
        orNull(rounded),
        i32(from),
        i32(index),
        status
      ])
    )
    if (h.dx === undefined) continue
    const derivatives = rounded ?? logits
    const dx = offset(h.dx, from * width * 4)
    steps.push(product([count, width, vocabulary], factors, { a: derivatives, b: table, out: dx }))
    if (h.dTable === undefined) continue
    const summed = { transposeA: true, accumulate: true }
    steps.push(product([vocabulary, width, count], factors, { a: derivatives, b: xs, out: h.dTable }, summed))
  }
  return steps
}

export const lmHead = (launch: Launch<"lmHead">, lowering: Lowering): ReadonlyArray<Step> => {
  const { entropy, logProbability, logSumExp } = launch.buffers
  const head = { logProbability: at(logProbability), entropy: optional(entropy), logSumExp: at(logSumExp) }
  return lower(launch, head, lowering)
}

export const lmHeadGradient = (launch: Launch<"lmHeadGradient">, lowering: Lowering): ReadonlyArray<Step> => {
  const { dEntropy, dLogProbability, dTable, dx, entropy, logSumExp } = launch.buffers
  const head = {
    savedLogSumExp: at(logSumExp),
    savedEntropy: optional(entropy),
    dLogProbability: at(dLogProbability),
    dEntropy: optional(dEntropy),
    dx: at(dx),
    dTable: optional(dTable)
  }
  return lower(launch, head, lowering)
}

export const lmHeadLoss = (launch: Launch<"lmHeadLoss">, lowering: Lowering): ReadonlyArray<Step> => {
  const { dLogProbability, dTable, dx, logProbability } = launch.buffers
  const head = {
    logProbability: at(logProbability),
    dLogProbability: at(dLogProbability),
    dx: at(dx),
    dTable: optional(dTable)
  }
  return lower(launch, head, lowering)
}

export const sample = (
  { buffers, integers, reals }: Launch<"sample">,
  { index, take }: Lowering
): ReadonlyArray<Step> => {
  const { batch, width, vocabulary, capacity, topK, endToken } = integers
  const logits = take(batch * vocabulary * 4)
  const outside = take(batch * 4)
  return [
    product(
      [batch, vocabulary, width],
      "f32",
      { a: at(buffers.x), b: at(buffers.table), out: logits },
      { transposeB: true }
    ),
    kernel("sample.cu", "drawTokens", batch, 1024, [
      logits,
      at(buffers.keys),
      at(buffers.limits),
      at(buffers.ids),
      at(buffers.positions),
      at(buffers.done),
      at(buffers.tokens),
      at(buffers.logProbability),
      outside,
      i32(vocabulary),
      i32(capacity),
      i32(topK < vocabulary ? topK : 0),
      i32(endToken),
      f64(reals.temperature),
      f64(reals.topP)
    ]),
    kernel("sample.cu", "endDraw", 1, 256, [
      at(buffers.done),
      at(buffers.positions),
      outside,
      i32(batch),
      i32(capacity),
      i32(index),
      status
    ])
  ]
}
