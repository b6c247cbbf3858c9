/**
 * The pace of a training loop: what it reports while it runs, and when it saves a resume point.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { Device, type DeviceError } from "../src/device/device.ts"
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
 * Starts a pace at step `from` of `steps`, each of which is worth `tokensPerStep` tokens; `use` as `useOf` gives it, where it is to be reported.
 * ptmflow-allow time: when to report and when to save, and the speed that is reported
 */
export const make = Effect.fnUntraced(function* (from: number, steps: number, tokensPerStep: number, use = 0) {
  const stage = yield* Stage
  const saveEvery = yield* SaveInterval
  const started = yield* Clock.currentTimeMillis
  let saved = started
  let reported = 0
  return {
    /** After step `step` (the number done): reports at most ten times a second, and at the end. */
    done: Effect.fnUntraced(function* (step: number, metrics: { readonly [name: string]: number }) {
      const now = yield* Clock.currentTimeMillis
      if (now - reported < reportEvery && step < steps) return
      reported = now
      const seconds = Math.max(now - started, 1) / 1000
      const tokensPerSecond = ((step - from) * tokensPerStep) / seconds
      const utilisation = use > 0 ? { mfu: tokensPerSecond * use } : {}
      yield* stage.report({ step, steps, metrics: { ...metrics, tokensPerSecond, ...utilisation } })
    }),
    /** Whether it is time to save. */
    due: Effect.map(Clock.currentTimeMillis, (now) => {
      if (now - saved < saveEvery) return false
      saved = now
      return true
    })
  }
})
