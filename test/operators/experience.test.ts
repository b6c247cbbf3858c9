/** What a PPO round says that it learned from, against the equations written out token by token. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Experience, ScoredCompletion } from "../../operators/answers.ts"
import { PpoParams } from "../../operators/ppo/params.ts"
import { ppo, ppoCritic } from "../../operators/ppo.ts"
import { sample } from "../../operators/rollout.ts"
import { logProbabilities } from "../../operators/score.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Device } from "../../src/device/device.ts"
import { parameter, withScalarHead } from "../../src/engine/model.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { digitModel } from "./binary.ts"
import { makeStage } from "./stage.ts"

const given = Effect.gen(function* () {
  const policy = digitModel(4)
  const prompts = Array.from({ length: 32 }, (_, i) => ({ prompt: { id: `p${i}`, prompt: "0" }, sample: 0 }))
  const sampling = { maximumTokens: 5, temperature: 1, topK: 0, topP: 1, stop: [], seed: 1 }
  const completions = yield* sample(policy, prompts, sampling, 0)
  const references = yield* logProbabilities(digitModel(4, 8), completions)
  const rows = completions.map(
    (row, i): ScoredCompletion => ({ ...row, reward: Math.sin(i), referenceLogProbabilities: references[i]! })
  )
  return { policy, rows, scored: Table.fromRows(ScoredCompletion, rows) }
})

const onDevice = <A, E>(effect: Effect.Effect<A, E, Stage | Device>) =>
  effect.pipe(Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))

const paramsOf = Schema.decodeSync(PpoParams)
const plain = { epochs: 1, whitenRewards: false, whitenAdvantages: false, gamma: 0.9, lambda: 0.8, klCoefficient: 0.3 }

describe("the experience of a PPO round", () => {
  it.effect("is each answer with its token rewards, values, advantages and returns", () =>
    Effect.gen(function* () {
      const { policy, rows, scored } = yield* given
      const call = { inputs: { policy, scored }, params: paramsOf(plain), sources: [] }
      const learned = yield* Table.collect((yield* ppo.run(call)).experience)
      assert.strictEqual(learned.length, rows.length)
      for (const [i, row] of learned.entries()) {
        const { answerTokens, logProbabilities, referenceLogProbabilities, reward } = rows[i]!
        assert.deepStrictEqual([row.id, row.reward, row.answerTokens], [rows[i]!.id, reward, answerTokens])
        const last = answerTokens.length - 1
        const r = Array.from(
          logProbabilities,
          (value, t) => -0.3 * (value - referenceLogProbabilities[t]!) + (t === last ? reward : 0)
        )
        const delta = r.map((each, t) => each + (t < last ? 0.9 * row.values[t + 1]! : 0) - row.values[t]!)
        for (let t = 0; t <= last; t++) {
          assert.closeTo(row.tokenRewards[t]!, r[t]!, 1e-6)
          const advantage = delta.slice(t).reduce((sum, each, k) => sum + (0.9 * 0.8) ** k * each, 0)
          assert.closeTo(row.advantages[t]!, advantage, 1e-5)
          assert.closeTo(row.returns[t]!, advantage + row.values[t]!, 1e-5)
        }
      }
    }).pipe(onDevice)
  )

  it.effect("has the values of the critic, and advantages of mean 0 and deviation 1 where they are whitened", () =>
    Effect.gen(function* () {
      const { policy, scored } = yield* given
      const weights = withScalarHead(policy.weights, "value", 1)
      parameter(weights, "score.bias")[0] = 3
      const critic = { ...policy, weights }
      const inputs = { policy, critic, scored }
      const params = paramsOf({ ...plain, whitenAdvantages: true })
      const learned = yield* Table.collect((yield* ppoCritic.run({ inputs, params, sources: [] })).experience)
      const all = learned.flatMap(({ advantages }) => Array.from(advantages))
      const mean = all.reduce((sum, each) => sum + each, 0) / all.length
      assert.closeTo(mean, 0, 1e-6)
      assert.closeTo(all.reduce((sum, each) => sum + (each - mean) ** 2, 0) / all.length, 1, 1e-4)
      for (const { values } of learned) for (const value of values) assert.closeTo(value, 3, 1)
      assert.deepStrictEqual(Object.keys(learned[0]!), Object.keys(Experience.fields))
    }).pipe(onDevice)
  )
})
