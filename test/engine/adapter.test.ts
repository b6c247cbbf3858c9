import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { merge, withAdapter } from "../../src/engine/adapter.ts"
import { pad, targetCount } from "../../src/engine/batch.ts"
import { generate } from "../../src/engine/generate.ts"
import {
  initialize,
  layout,
  type ModelConfig,
  parameter,
  type Weights,
  withScalarHead
} from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import { normal, philox } from "../../src/engine/random.ts"
import * as Session from "../../src/engine/session.ts"
import { families } from "./families.ts"

const models = families({ context: 48, tied: false })
const adapter = { rank: 3, alpha: 6, layers: "all" } as const
const language = { language: true, scalar: false, temperature: 1 }
const batch = pad(
  [33, 5, 20].map((n, i) => ({
    tokens: Int32Array.from({ length: n }, (_, t) => philox([i, 3], [t, 0, 0, 0])[0]! % 37),
    from: 1 + i
  })),
  { multiple: 1 }
)

/** Adapters that add something. */
const busy = (config: ModelConfig, of: "attention" | "all" = "all"): Weights => {
  const weights = withAdapter(initialize(config, 1), { ...adapter, layers: of }, 2)
  for (const { name } of layout(weights.config).parameters) {
    if (name.endsWith(".lora_b")) normal([9, name.length], parameter(weights, name), 0.05)
  }
  return weights
}
const logProbability = (weights: Weights) =>
  Session.make(weights).pipe(
    Effect.flatMap((session) => session.statistics(batch, language)),
    Effect.map((statistics) => statistics.logProbability),
    Effect.scoped
  )

describe.each(Object.entries(models))("adapters of %s", (_, config) => {
  it.effect("change nothing while they are fresh, bit for bit; merged, they add what they added", () =>
    Effect.gen(function* () {
      const plain = initialize(config, 1)
      const expected = yield* logProbability(plain)
      const fresh = withAdapter(plain, adapter, 2)
      assert.deepStrictEqual(yield* logProbability(fresh), expected)
      assert.deepStrictEqual(merge(fresh), plain)
      const weights = busy(config)
      const [apart, merged] = [yield* logProbability(weights), yield* logProbability(merge(weights))]
      assert.isUndefined(merge(weights).config.adapter)
      apart.forEach((value, i) => {
        assert.closeTo(merged[i]!, value, 1e-5)
      })
      assert.isAbove(Math.max(...apart.map((value, i) => Math.abs(value - expected[i]!))), 0.01)
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("have the gradients of central differences, and nothing else has one but the scalar head", () =>
    Effect.gen(function* () {
      const weights = withScalarHead(busy(config), "reward", 4)
      const { parameters, trainable } = layout(weights.config)
      const heads = { language: true, scalar: true, temperature: 0.8 }
      const loss = (s: Session.Statistics) => ({
        loss: Array.from(s.logProbability).reduce((sum, p, i) => sum + Math.sin(i) * p + 0.5 * s.value[i]! ** 2, 0),
        dLogProbability: Array.from(s.logProbability, (_, i) => Math.sin(i)),
        dValue: s.value
      })
      const at = (values: Float32Array) =>
        Session.make({ ...weights, values }).pipe(
          Effect.flatMap((session) => session.statistics(batch, heads)),
          Effect.map((statistics) => loss(statistics).loss),
          Effect.scoped
        )
      const session = yield* Session.make(weights)
      yield* session.customLoss(batch, heads, loss)
      const gradients = yield* session.gradients
      assert.strictEqual(gradients.length, trainable)
      for (const { name, offset, shape } of parameters) {
        const isTrained = /lora|score/.test(name)
        assert.strictEqual(offset < trainable, isTrained, name)
        if (!isTrained) continue
        const i = Math.floor(shape.reduce((a, b) => a * b, 1) / 2)
        const moved = (sign: number) => {
          const values = weights.values.slice()
          values[offset + i] = values[offset + i]! + sign * 2 ** -14
          return values
        }
        const [up, down] = [moved(1), moved(-1)]
        const difference = ((yield* at(up)) - (yield* at(down))) / (up[offset + i]! - down[offset + i]!)
        assert.closeTo(gradients[offset + i]!, difference, 2e-6 * Math.max(1, Math.abs(difference)), `${name}[${i}]`)
      }
    }).pipe(Effect.scoped, Effect.provide(cpu({ real: "f64" })))
  )

  it.effect("learn while the weights stay as they are; the same bits with 1 and 4 threads, kept or made again", () =>
    Effect.gen(function* () {
      const train = (threads: number, recompute: boolean) =>
        Effect.gen(function* () {
          const session = yield* Session.make(withAdapter(initialize(config, 1), adapter, 2), { recompute })
          const losses: Array<number> = []
          for (let step = 0; step < 40; step++) {
            losses.push(yield* session.languageModelLoss(batch, targetCount(batch)))
            yield* session.update({ ...adamW, weightDecay: 0.1 }, 1e-2)
          }
          return { losses, weights: yield* session.weights, state: yield* session.optimizerState }
        }).pipe(Effect.scoped, Effect.provide(cpu({ threads })))
      const { losses, state, weights } = yield* train(1, false)
      assert.isBelow(losses.at(-1)!, losses[0]! - 0.3)
      const { parameters, trainable } = layout(weights.config)
      assert.isBelow(trainable, weights.values.length / 3)
      assert.strictEqual(state.firstMoment.length, trainable)
      const before = initialize(config, 1)
      for (const { name, offset } of parameters) {
        if (offset >= trainable) assert.deepStrictEqual(parameter(weights, name), parameter(before, name), name)
      }
      const others = [yield* train(4, false), yield* train(1, true)]
      for (const other of others) assert.deepStrictEqual(other.weights, weights)
    })
  )

  it.effect("are sampled with: captured log-probabilities are those of a full forward pass, bit for bit", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(busy(config, "attention"))
      const requests = [4, 9].map((n) => ({ prompt: batch.tokens.slice(0, n), key: [n, 1] as const, limit: 12 }))
      const sampling = { temperature: 1, topK: 0, topP: 1, endToken: -1 }
      for (const [i, made] of (yield* generate(session, requests, sampling)).entries()) {
        const { prompt } = requests[i]!
        const whole = pad([{ tokens: Int32Array.from([...prompt, ...made.tokens]), from: prompt.length }])
        const { logProbability } = yield* session.statistics(whole, language)
        made.logProbabilities.forEach((value, t) => {
          assert.strictEqual(value, logProbability[prompt.length - 1 + t])
        })
      }
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("do not take an optimizer's state that is of all weights", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(config, 1))
      const state = yield* session.optimizerState
      const error = yield* Effect.flip(Session.make(busy(config), { state }))
      assert.match(error.message, /belongs to another configuration/)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )
})
