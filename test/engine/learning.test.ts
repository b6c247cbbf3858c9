import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { pad, targetCount } from "../../src/engine/batch.ts"
import { initialize, type ModelConfig } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import { philox, uniform } from "../../src/engine/random.ts"
import * as Session from "../../src/engine/session.ts"

/** Sequences of `next(previous, u)`, u uniform, a function of `seed` alone. */
const sequences = (count: number, length: number, seed: number, next: (previous: number, u: number) => number) =>
  Array.from({ length: count }, (_, b) => {
    const tokens = new Int32Array(length)
    tokens[0] = next(0, uniform(philox([seed, b], [0, 1, 0, 0])[0]))
    for (let t = 1; t < length; t++) tokens[t] = next(tokens[t - 1]!, uniform(philox([seed, b], [t, 0, 0, 0])[0]))
    return { tokens, from: 1 }
  })

/** Trains on fresh sequences each step; the loss on 512 sequences never trained on. */
const lossAfterTraining = (vocabulary: number, steps: number, next: (previous: number, u: number) => number) =>
  Effect.gen(function* () {
    const config: ModelConfig = {
      family: "gpt2",
      layers: 1,
      heads: 1,
      width: 16,
      vocabulary,
      context: 32,
      scalarHead: false
    }
    const session = yield* Session.make(initialize(config, 1))
    for (let step = 0; step < steps; step++) {
      const batch = pad(sequences(32, 32, 1000 + step, next))
      yield* session.languageModelLoss(batch, targetCount(batch))
      yield* session.update({ ...adamW, weightDecay: 0 }, 3e-3 * (1 - step / steps))
    }
    const fresh = pad(sequences(512, 32, 7, next))
    const { logProbability } = yield* session.statistics(fresh, { language: true, scalar: false, temperature: 1 })
    return -Array.from(logProbability).reduce((sum, x) => sum + x, 0) / targetCount(fresh)
  }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))

describe("learning", () => {
  it.effect("a two-state Markov chain (stay 0.9) down to its entropy rate, and not below", () =>
    Effect.gen(function* () {
      const loss = yield* lossAfterTraining(2, 300, (previous, u) => (u < 0.9 ? previous : 1 - previous))
      // The rate is 0.3251 nats; the mean over 15,872 targets has a standard error of 0.0052.
      assert.closeTo(loss, 0.3251, 4 * 0.0052)
    })
  )

  it.effect("uniform noise stays at ln V", () =>
    Effect.gen(function* () {
      const loss = yield* lossAfterTraining(16, 100, (_, u) => Math.floor(16 * u))
      assert.isAtLeast(loss, Math.log(16))
      assert.isBelow(loss, Math.log(16) + 0.02)
    })
  )
})
