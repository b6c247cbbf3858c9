/**
 * What pretraining and fine-tuning have in common: the settings of updates, and one update of a language model from micro-batches.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Batch, split, targetCount } from "../src/engine/batch.ts"
import { adamW } from "../src/engine/optimizer.ts"
import { learningRate, type Schedule } from "../src/engine/schedule.ts"
import type { Session } from "../src/engine/session.ts"
import { NonNegative, Positive, Precision, parameter, Share } from "./parameter.ts"
import { makeGuard } from "./spike-guard.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** Parameters of updates; what differs from operator to operator is given. */
export const trainingParams = (defaults: {
  readonly learningRate: number
  readonly warmup: number
  readonly final: number
}) => ({
  microBatch: parameter(Count, 0, "rows computed at once, an update adds up as many as it needs; 0: all of its rows"),
  learningRate: parameter(Positive, defaults.learningRate, "peak learning rate"),
  schedule: parameter(
    Schema.Literals(["cosine", "linear", "constant", "wsd"]),
    "cosine",
    "how the rate falls after the warm-up; wsd: it stays, and falls in the last updates"
  ),
  warmup: parameter(Count, defaults.warmup, "updates of linear warm-up"),
  warmupForm: parameter(
    Schema.Literals(["nanogpt", "llm.c"]),
    "nanogpt",
    "the rate of update i of w: (i + 1) / (w + 1) of the peak (nanogpt), or (i + 1) / w"
  ),
  finalLearningRate: parameter(Share, defaults.final, "share of the peak rate that the schedule ends at"),
  decayShare: parameter(Share, 0.2, "wsd: share of all updates over which the rate falls"),
  weightDecay: parameter(NonNegative, 0.1, "AdamW's decay, on matrices only"),
  beta2: parameter(Share, adamW.beta2, "AdamW's decay of the second moment"),
  maxNorm: parameter(NonNegative, 1, "global norm that gradients are scaled down to; 0: never"),
  skipLossZ: parameter(
    NonNegative,
    0,
    "an update whose loss is so many standard deviations above the mean of 128 is left out; 0: never"
  ),
  skipNormZ: parameter(NonNegative, 0, "the same of the gradients' norm"),
  recompute: parameter(
    Schema.Literals(["auto", "always", "never"]),
    "auto",
    "whether cheap activations are made again in the backward pass, to the same bits; auto: where state and activations take over 2 GiB"
  ),
  precision: Precision
})
type Training = Schema.Struct<ReturnType<typeof trainingParams>>["Type"]

/** A session's option of the parameter. */
export const recomputing = ({ recompute }: Pick<Training, "recompute">): boolean | undefined =>
  recompute === "auto" ? undefined : recompute === "always"

/** Makes updates of a language model; `state` is what `state()` gave where a stage was cut off. */
export const makeTrainer = (
  session: Session,
  params: Training,
  steps: number,
  state: Readonly<Record<string, number>> = {}
) => {
  const optimizer = { ...adamW, beta2: params.beta2, weightDecay: params.weightDecay, maxNorm: params.maxNorm }
  const schedule: Schedule = {
    shape: params.schedule,
    rate: params.learningRate,
    steps,
    warmup: params.warmup,
    final: params.finalLearningRate,
    decayShare: params.decayShare,
    warmupForm: params.warmupForm
  }
  const guarded = params.skipLossZ > 0 || params.skipNormZ > 0
  const guard = makeGuard({ loss: params.skipLossZ, norm: params.skipNormZ }, state)
  let skipped = state["skipped"] ?? 0
  return {
    /**
     * One update on a batch: each micro-batch's loss is divided by the targets of the whole batch. The norm is that of the gradients before
     * they are clipped.
     */
    update: Effect.fnUntraced(function* (batch: Batch, step: number) {
      const count = targetCount(batch)
      let loss = 0
      for (const part of split(batch, params.microBatch || batch.batch)) {
        loss += yield* session.languageModelLoss(part, count)
      }
      const rate = learningRate(schedule, step)
      const common = { loss, learningRate: rate }
      if (!guarded) return { ...common, gradientNorm: yield* session.update(optimizer, rate) }
      const gradientNorm = yield* session.gradientNorm
      if (guard.isSpike(loss, gradientNorm)) {
        skipped++
        yield* session.clearGradients
      } else yield* session.update(optimizer, rate)
      return { ...common, gradientNorm, skipped }
    }),
    state: (): Readonly<Record<string, number>> => (guarded ? { ...guard.state(), skipped } : {})
  }
}

/** Stops a training whose validation loss has not fallen for `patience` measurements; 0: never. Its state goes into checkpoints. */
export const makeStopper = (patience: number, state: Readonly<Record<string, number>> = {}) => {
  let best = state["bestValidationLoss"] ?? Number.POSITIVE_INFINITY
  let without = state["validationsWithoutBest"] ?? 0
  return {
    /** Whether to stop, after a measurement. */
    isOver: (loss: number): boolean => {
      without = loss < best ? 0 : without + 1
      best = Math.min(best, loss)
      return patience > 0 && without >= patience
    },
    state: (): Readonly<Record<string, number>> =>
      Number.isFinite(best) ? { bestValidationLoss: best, validationsWithoutBest: without } : {}
  }
}
