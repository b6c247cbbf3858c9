import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Completion, Ranking } from "../../operators/answers.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { normaliseReward, trainReward } from "../../operators/reward.ts"
import { rewards } from "../../operators/score.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Device } from "../../src/device/device.ts"
import { parameter, withScalarHead } from "../../src/engine/model.ts"
import type { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { digitModel } from "./binary.ts"
import { runReporting } from "./stage.ts"

const run = <A, E>(effect: Effect.Effect<A, E, Stage | Device>) =>
  Effect.provide(runReporting(effect), cpu({ threads: 1 }))

/** Digits 0 to 8; 9 is the end token. */
const model = (): Checkpoint => {
  const { tokenizer, weights } = digitModel(10)
  return { weights, tokenizer: { ...tokenizer, special: { endOfText: 9, pad: 9 } } }
}

/** Answers of two digits, ranked by how many 1s they have. */
const rankings = (count: number): ReadonlyArray<Ranking> =>
  Array.from({ length: count }, (_, n) => {
    const answers = Array.from({ length: 4 }, (_, k) => `${(n * 3 + k) % 3}${(n * 5 + k * k) % 3}`)
    const ones = answers.map((answer) => answer.split("1").length)
    return { id: `r${n}`, prompt: `${n % 7}`, answers, ranks: ones.map((o) => 1 + ones.filter((p) => p > o).length) }
  })

const train = (overrides: object, rows = rankings(160)) =>
  run(
    trainReward.run({
      inputs: { checkpoint: model(), rankings: Table.fromRows(Ranking, rows) },
      params: Schema.decodeSync(
        trainReward.params as Schema.Codec<Parameters<typeof trainReward.run>[0]["params"], object>
      )(overrides),
      sources: []
    })
  )

const texts = rankings(64).flatMap(({ answers, prompt }) => answers.map((answer) => ({ prompt, answer })))
const moments = (values: ReadonlyArray<number>) => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  return { mean, deviation: Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length) }
}

describe("reward model", () => {
  it.effect("learns the order of held-out answers, and its figures are there", () =>
    Effect.gen(function* () {
      const { metrics, value } = yield* train({
        epochs: 12,
        batch: 16,
        learningRate: 1e-2,
        margin: 0.1,
        centering: 0.01
      })
      assert.isAbove(metrics["heldOutAccuracy"]!, 0.95)
      assert.isBelow(metrics["calibrationError"]!, 0.2)
      assert.isBelow(metrics["rewardMinimum"]!, metrics["rewardMean"]!)
      assert.isBelow(metrics["rewardMean"]!, metrics["rewardMaximum"]!)
      // Mean 0 and deviation 1 on answers it was trained on; gain and bias are kept.
      const { deviation, mean } = moments((yield* run(rewards(value.checkpoint, texts))).value)
      assert.closeTo(mean, 0, 0.3)
      assert.closeTo(deviation, 1, 0.2)
      assert.strictEqual(value.checkpoint.state!["rewardGain"], metrics["gain"])
      const { value: judged } = yield* run(
        rewards(value.checkpoint, [
          { prompt: "3", answer: "11" },
          { prompt: "3", answer: "12" },
          { prompt: "3", answer: "02" }
        ])
      )
      assert.isAbove(judged[0]!, judged[1]!)
      assert.isAbove(judged[1]!, judged[2]!)
    })
  )

  it.effect("a fresh head is normalised before the first update, if asked to", () =>
    Effect.gen(function* () {
      // A rate that changes nothing: what normalises after training is what it was before.
      const still = { batch: 16, learningRate: 1e-12, weightDecay: 0 }
      const plain = (yield* train(still)).metrics
      assert.isAbove(Math.abs(plain["gain"]! - 1), 0.01)
      const normalised = (yield* train({ ...still, normaliseBefore: true })).metrics
      assert.closeTo(normalised["gain"]!, 1, 1e-3)
      assert.closeTo(normalised["bias"]!, 0, 1e-3)
      assert.closeTo(normalised["heldOutAccuracy"]!, plain["heldOutAccuracy"]!, 1e-12)
    })
  )

  it.effect("an update computed in parts is that of the whole", () =>
    Effect.gen(function* () {
      const whole = yield* train({ epochs: 1, batch: 16 })
      const parts = yield* train({ epochs: 1, batch: 16, microBatch: 5 })
      for (const name of ["loss", "accuracy", "margin", "gradientNorm"]) {
        assert.closeTo(parts.metrics[name]!, whole.metrics[name]!, 1e-4, name)
      }
      assert.closeTo(parts.metrics["heldOutLoss"]!, whole.metrics["heldOutLoss"]!, 1e-5)
    })
  )

  it.effect("normalising on reference samples gives mean 0 and deviation 1, or mean 0 only, and no other order", () =>
    Effect.gen(function* () {
      const start = model()
      const weights = withScalarHead(start.weights, "reward", 1)
      parameter(weights, "score.bias")[0] = 3
      const rewardModel = { ...start, weights }
      const completions = Table.fromRows(
        Completion,
        texts.map(({ answer, prompt }, n) => ({
          id: `${n}`,
          sample: 0,
          prompt,
          answer,
          promptTokens: Int32Array.of(Number(prompt)),
          answerTokens: Int32Array.from(answer, Number),
          logProbabilities: new Float32Array(2),
          temperature: 1,
          ended: true
        }))
      )
      const before = (yield* run(rewards(rewardModel, texts))).value
      for (const scale of [true, false]) {
        const { value } = yield* run(
          normaliseReward.run({ inputs: { rewardModel, completions }, params: { scale }, sources: [] })
        )
        const after = (yield* run(rewards(value.rewardModel, texts))).value
        const { deviation, mean } = moments(after)
        assert.closeTo(mean, 0, 1e-4)
        assert.closeTo(deviation, scale ? 1 : moments(before).deviation, 1e-4)
        const { rewardBias, rewardGain } = value.rewardModel.state!
        before.forEach((reward, i) => {
          assert.closeTo(reward * rewardGain! + rewardBias!, after[i]!, 1e-3)
        })
      }
      const few = Table.fromRows(Completion, [])
      const error = yield* Effect.flip(
        run(normaliseReward.run({ inputs: { rewardModel, completions: few }, params: { scale: true }, sources: [] }))
      )
      assert.match(String(error), /0 answers have no standard deviation/)
    })
  )
})
