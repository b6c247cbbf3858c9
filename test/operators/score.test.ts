import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Completion, Prompt } from "../../operators/answers.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { rollout } from "../../operators/rollout.ts"
import { logProbabilities, rewards, score } from "../../operators/score.ts"
import { characterOfByte } from "../../operators/tokenizer/byte-characters.ts"
import { load } from "../../operators/tokenizer/load.ts"
import { write } from "../../operators/tokenizer/tokenizer-json.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { initialize } from "../../src/engine/model.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { makeStage, paramsOf } from "./stage.ts"

const model = (scalarHead: boolean) =>
  Effect.gen(function* () {
    const tokenizer = yield* load(
      write({ tokens: characterOfByte.toSorted(), merges: [], special: ["<|endoftext|>", "<|pad|>"] })
    )
    const weights = initialize(
      { family: "gpt2", layers: 1, heads: 2, width: 16, vocabulary: 258, context: 256, scalarHead },
      3
    )
    return { weights, tokenizer } satisfies Checkpoint
  })

/** Answers of a model that has learnt nothing: of 258 tokens few are one that ends. */
const sample = Effect.fnUntraced(function* (policy: Checkpoint, stop: ReadonlyArray<string>) {
  const prompts = Table.fromRows(
    Prompt,
    Array.from({ length: 64 }, (_, i) => ({ id: `p${i}`, prompt: `number ${i}` }))
  )
  const params = paramsOf(rollout, { maximumTokens: 32, stop })
  const { completions } = yield* rollout.run({ inputs: { policy, prompts }, params, sources: [] })
  return yield* Table.collect(completions)
})

const services = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))

describe("scores of answers", () => {
  it.effect("are in the order of the answers, whatever their lengths", () =>
    Effect.gen(function* () {
      const [policy, rewardModel] = [yield* model(false), yield* model(true)]
      const rows = yield* sample(policy, ["e", " "])
      const lengths = rows.map(({ answerTokens }) => answerTokens.length)
      assert.notDeepEqual(
        lengths,
        lengths.toSorted((a, b) => a - b)
      )
      for (const [i, found] of (yield* logProbabilities(policy, rows)).entries()) {
        const { logProbabilities } = rows[i]!
        assert.strictEqual(found.length, logProbabilities.length)
        found.forEach((value, t) => {
          assert.closeTo(value, logProbabilities[t]!, 1e-4)
        })
      }
      const few = rows.slice(0, 5)
      const together = yield* rewards(rewardModel, few)
      for (const [i, row] of few.entries()) {
        const [alone] = yield* rewards(rewardModel, [row])
        assert.closeTo(together[i]!, alone!, 1e-5)
      }
    }).pipe(services)
  )
})

describe("an answer that did not end by itself", () => {
  it.effect("loses the penalty, or has the score that is given in the place of its own; others keep theirs", () =>
    Effect.gen(function* () {
      const [policy, rewardModel] = [yield* model(false), yield* model(true)]
      const rows = yield* sample(policy, ["e", " "])
      const scores = Effect.fnUntraced(function* (given: object) {
        const { scored } = yield* score.run({
          inputs: { completions: Table.fromRows(Completion, rows), rewardModel, reference: policy },
          params: paramsOf(score, given),
          sources: []
        })
        return (yield* Table.collect(scored)).map(({ reward }) => reward)
      })
      const plain = yield* scores({ missingEndPenalty: 0 })
      const less = yield* scores({ missingEndPenalty: 2.5 })
      const fixed = yield* scores({ missingEndScore: -1 })
      const ends = (row: Completion) => row.ended
      assert.isTrue(rows.some(ends) && !rows.every(ends))
      rows.forEach((row, i) => {
        assert.strictEqual(less[i], row.ended ? plain[i] : plain[i]! - 2.5)
        assert.strictEqual(fixed[i], row.ended ? plain[i] : -1)
      })
    }).pipe(services)
  )
})

describe("a stop text", () => {
  it.effect("ends an answer where it first comes, and it has ended by itself", () =>
    Effect.gen(function* () {
      const policy = yield* model(false)
      const [free, stopped] = [yield* sample(policy, []), yield* sample(policy, ["e", " "])]
      const stops = ["e", " "].map((text) => policy.tokenizer.encode(text)[0]!)
      stopped.forEach((row, i) => {
        const whole = free[i]!
        const first = whole.answerTokens.findIndex((token) => stops.includes(token))
        const length = first < 0 ? whole.answerTokens.length : first + 1
        assert.deepStrictEqual(row.answerTokens, whole.answerTokens.slice(0, length))
        assert.strictEqual(row.ended, first >= 0 || whole.ended)
      })
      assert.isTrue(stopped.some(({ answerTokens }, i) => answerTokens.length < free[i]!.answerTokens.length))
    }).pipe(services)
  )

  it.effect("of several tokens is refused by its place", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(sample(yield* model(false), ["the end"]))
      assert.deepInclude(error, { _tag: "OperatorError", operator: "rollout", place: "stop" })
    }).pipe(services)
  )
})
