/**
 * The pace of a training loop: what it reports while it runs, and when it saves a resume point.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { Device, type DeviceError } from "../src/device/device.ts"
import type { Sequence } from "../src/engine/batch.ts"
import { flopsPerToken, type ModelConfig } from "../src/engine/model.ts"
import { OperatorError } from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"

/** Milliseconds between resume points: by the clock, saving costs the same share of time whatever a step costs, and changes no result. */
export const SaveInterval = Context.Reference<number>("ptmflow/operators/SaveInterval", { defaultValue: () => 5_000 })

const reportEvery = 100

/** Fails, naming the step, if a loss is no finite number: no checkpoint is made of weights that have diverged. */
export const refuseDivergence = (stage: string, step: number, loss: number) =>
  Number.isFinite(loss)
    ? Effect.void
    : Effect.fail(
        new OperatorError({
          operator: stage,
          place: `step ${step}`,
          message: `the loss at step ${step} is ${loss}: lower the learning rate or raise the warm-up`
        })
      )

/**
 * Model FLOPs utilisation (Chowdhery et al. 2022, appendix B) of one token a second: the share of the device's peak that training at this pace
 * uses. 0 where the peak is not known.
 */
export const useOf = Effect.fnUntraced(function* (config: ModelConfig): Effect.fn.Return<number, DeviceError, Device> {
  const { peak } = yield* Device
  return peak === undefined ? 0 : flopsPerToken(config) / (yield* peak)
})

/**
 * Starts a pace of `steps` steps; `use` as `useOf` gives it, where it is to be reported. Speeds are of the steps since the last report, without what was done `aside`:
 * `tokensPerSecond`, `secondsPerStep`, and `mfu`.
 * ptmflow-allow time: when to report and when to save, and the speed that is reported
 */
export const make = Effect.fnUntraced(function* (steps: number, use = 0) {
  const stage = yield* Stage
  const saveEvery = yield* SaveInterval
  let saved = yield* Clock.currentTimeMillis
  let since = yield* Clock.currentTimeNanos
  let reported = 0
  let counted = { steps: 0, tokens: 0 }
  const speed = Effect.map(Clock.currentTimeNanos, (now): { readonly [name: string]: number } => {
    const seconds = Math.max(Number(now - since), 1) / 1e9
    const tokensPerSecond = counted.tokens / seconds
    const secondsPerStep = seconds / counted.steps
    since = now
    counted = { steps: 0, tokens: 0 }
    return { tokensPerSecond, secondsPerStep, ...(use > 0 ? { mfu: tokensPerSecond * use } : {}) }
  })
  const due = Effect.map(Clock.currentTimeMillis, (now) => {
    if (now - saved < saveEvery) return false
    saved = now
    return true
  })
  const aside = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Clock.currentTimeNanos, (before) =>
      Effect.tap(effect, () =>
        Effect.map(Clock.currentTimeNanos, (now) => {
          since += now - before
        })
      )
    )
  return {
    /** After step `step` (the number done), which took `tokens` tokens without padding: reports at most ten times a second, or `always`, and at the end. */
    done: Effect.fnUntraced(function* (
      step: number,
      tokens: number,
      metrics: { readonly [name: string]: number },
      always = false
    ) {
      counted = { steps: counted.steps + 1, tokens: counted.tokens + tokens }
      const now = yield* Clock.currentTimeMillis
      if (now - reported < reportEvery && step < steps && !always) return
      reported = now
      yield* stage.report({ step, steps, metrics: { ...metrics, ...(yield* speed) } })
    }),
    /** Does what is no step: a measurement. */
    aside,
    /** Saves, if it is time to. */
    save: <E, R>(effect: Effect.Effect<void, E, R>) =>
      Effect.flatMap(due, (isDue) => (isDue ? aside(effect) : Effect.void))
  }
})

/** Tokens of sequences. */
export const tokensOf = (sequences: ReadonlyArray<Sequence>): number =>
  sequences.reduce((sum, { tokens }) => sum + tokens.length, 0)
