import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Demonstration, Prompt } from "../../operators/answers.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { inContext } from "../../operators/in-context.ts"
import { proportion } from "../../operators/interval.ts"
import { perplexity } from "../../operators/perplexity.ts"
import type { Report } from "../../operators/report.ts"
import { TokenSequence } from "../../operators/rows.ts"
import { winRate } from "../../operators/win-rate.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Device } from "../../src/device/device.ts"
import { pad, targetCount } from "../../src/engine/batch.ts"
import { initialize, withScalarHead } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import { philox } from "../../src/engine/random.ts"
import * as Session from "../../src/engine/session.ts"
import type { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { digitModel } from "./binary.ts"
import { paramsOf, runReporting } from "./stage.ts"

const run = <A, E>(effect: Effect.Effect<A, E, Stage | Device>) =>
  Effect.provide(runReporting(effect), cpu({ threads: 1 }))
const figure = ({ figures }: Report, name: string) => figures.find((each) => each.name === name)!.value

describe("interval", () => {
  it("is Wilson's, and holds the true rate 95 times of 100", () => {
    // Newcombe 1998, table I: 81 of 263, and 0 of 20.
    const some = proportion(Array.from({ length: 263 }, (_, i) => (i < 81 ? 1 : 0)))
    assert.closeTo(some.low, 0.2553, 1e-4)
    assert.closeTo(some.high, 0.3662, 1e-4)
    const none = proportion(new Array(20).fill(0))
    assert.strictEqual(none.low, 0)
    assert.closeTo(none.high, 0.1611, 1e-4)
    let held = 0
    for (let trial = 0; trial < 2000; trial++) {
      const { high, low } = proportion(
        Array.from({ length: 60 }, (_, i) => (philox([5, 6], [trial, i, 0, 0])[0]! / 2 ** 32 < 0.7 ? 1 : 0))
      )
      if (low <= 0.7 && 0.7 <= high) held++
    }
    assert.closeTo(held / 2000, 0.95, 0.015)
  })
})

describe("perplexity", () => {
  it.effect("of uniform predictions is the vocabulary, and bits a byte follow from the tokens a byte", () =>
    Effect.gen(function* () {
      const checkpoint = digitModel(8)
      checkpoint.weights.values.fill(0)
      const tokens = Int32Array.from({ length: 200 }, (_, i) => (i * 5) % 8)
      const table = Table.fromRows(TokenSequence, [{ id: "a", tokens, bytes: 800 }])
      const { metrics, value } = yield* run(
        perplexity.run({ inputs: { checkpoint, tokens: table }, params: paramsOf(perplexity, {}), sources: [] })
      )
      assert.closeTo(metrics["perplexity"]!, 8, 1e-4)
      assert.closeTo(metrics["bitsPerByte"]!, 3 / 4, 1e-5)
      assert.closeTo(figure(value.report, "loss"), Math.log(8), 1e-5)
      const short = Table.fromRows(TokenSequence, [{ id: "a", tokens: tokens.slice(0, 16), bytes: 16 }])
      const error = yield* Effect.flip(
        run(perplexity.run({ inputs: { checkpoint, tokens: short }, params: paramsOf(perplexity, {}), sources: [] }))
      )
      assert.match(String(error), /16 tokens are too few for one window of 16/)
    })
  )
})

/** A checkpoint that answers any prompt with this digit, and then ends (token 7). */
const saying = (digit: number) =>
  Effect.gen(function* () {
    const { tokenizer, weights } = digitModel(8)
    const session = yield* Session.make(weights)
    const batch = pad(Array.from({ length: 7 }, (_, prompt) => ({ tokens: Int32Array.of(prompt, digit, 7), from: 1 })))
    for (let step = 0; step < 80; step++) {
      yield* session.languageModelLoss(batch, targetCount(batch))
      yield* session.update(adamW, 1e-2)
    }
    const checkpoint: Checkpoint = {
      weights: yield* session.weights,
      tokenizer: { ...tokenizer, special: { endOfText: 7, pad: 7 } }
    }
    return checkpoint
  }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))

describe("win-rate", () => {
  it.effect("counts the answers that the judge likes better, and a checkpoint against itself is even", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* saying(1), yield* saying(2)]
      const judge: Checkpoint = { ...one, weights: withScalarHead(digitModel(8).weights, "reward", 3) }
      const prompts = Table.fromRows(
        Prompt,
        Array.from({ length: 40 }, (_, i) => ({ id: `p${i}`, prompt: `${i % 5}` }))
      )
      const params = paramsOf(winRate, { temperature: 0, maximumTokens: 4 })
      const rate = (policy: Checkpoint, against: Checkpoint) =>
        Effect.map(
          run(winRate.run({ inputs: { policy, against, judge, prompts }, params, sources: [] })),
          ({ value }) => value.report
        )
      const forth = yield* rate(one, two)
      const back = yield* rate(two, one)
      assert.closeTo(figure(forth, "win-rate") + figure(back, "win-rate"), 1, 1e-12)
      assert.isAbove(Math.abs(figure(forth, "win-rate") - 0.5), 0.1)
      const even = yield* rate(one, one)
      assert.strictEqual(figure(even, "win-rate"), 0.5)
      assert.isBelow(figure(even, "win-rate, 95% interval low"), 0.5)
      assert.isAbove(figure(even, "win-rate, 95% interval high"), 0.5)
      assert.deepStrictEqual(
        forth.samples[0]!.answers.map(({ answer }) => answer),
        ["1", "2"]
      )
    })
  )
})

describe("in-context learning", () => {
  it.effect("accuracy rises with the examples that a model can copy from, and is chance without them", () =>
    Effect.gen(function* () {
      // In each context all answers are one digit, 1 to 4, which only the examples tell: "5 3 6 3 ..." as tokens.
      const { tokenizer } = digitModel(10)
      const weights = initialize(
        { family: "gpt2", layers: 2, heads: 2, width: 32, vocabulary: 10, context: 24, scalarHead: false },
        1
      )
      const session = yield* Session.make(weights)
      const digit = (seed: number, at: number, base: number, of: number) =>
        base + (philox([seed, 9], [at, 0, 0, 0])[0]! % of)
      for (let step = 0; step < 150; step++) {
        const batch = pad(
          Array.from({ length: 32 }, (_, b) => {
            const seed = step * 32 + b
            const answer = digit(seed, 99, 1, 4)
            return {
              tokens: Int32Array.from({ length: 18 }, (_, t) =>
                t % 3 === 0 ? digit(seed, t, 5, 4) : t % 3 === 1 ? answer : 0
              ),
              from: 1
            }
          }),
          { length: 24 }
        )
        yield* session.languageModelLoss(batch, targetCount(batch))
        yield* session.update(adamW, 5e-3)
      }
      const checkpoint: Checkpoint = { weights: yield* session.weights, tokenizer }
      const ask = (answerOf: (i: number) => string) =>
        run(
          inContext.run({
            inputs: {
              checkpoint,
              examples: Table.fromRows(
                Demonstration,
                Array.from({ length: 60 }, (_, i) => ({ id: `e${i}`, prompt: `${5 + (i % 4)}`, answer: answerOf(i) }))
              )
            },
            params: paramsOf(inContext, { shots: [0, 1, 4], questions: 40, separator: "0" }),
            sources: []
          })
        )
      const accuracies = yield* Effect.forEach(["1", "2", "3", "4"], (answer) =>
        Effect.map(
          ask(() => answer),
          ({ metrics }) => metrics
        )
      )
      const mean = (name: string) => accuracies.reduce((sum, metrics) => sum + metrics[name]!, 0) / 4
      // Without an example one of the four digits is always guessed.
      assert.closeTo(mean("accuracy0"), 0.25, 0.15)
      assert.isAbove(mean("accuracy1"), 0.95)
      assert.isAbove(mean("accuracy4"), 0.95)
      const { value } = yield* ask(() => "1")
      assert.include(value.report.plots![0]!.svg, "examples in the context")
      assert.isBelow(
        figure(value.report, "loss of the answer, 4 examples"),
        figure(value.report, "loss of the answer, 0 examples")
      )
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("refuses questions that do not fit, naming the row", () =>
    Effect.gen(function* () {
      const checkpoint = digitModel(10)
      const rows = Array.from({ length: 30 }, (_, i) => ({ id: `e${i}`, prompt: "123", answer: "4" }))
      const examples = Table.fromRows(Demonstration, rows)
      const ask = (shots: ReadonlyArray<number>) =>
        Effect.map(
          Effect.flip(
            run(
              inContext.run({
                inputs: { checkpoint, examples },
                params: paramsOf(inContext, { shots, separator: "0" }),
                sources: []
              })
            )
          ),
          (error) => (error as { message: string }).message
        )
      assert.match(yield* ask([4]), /with 4 examples it has 24 tokens, and the model's context is 16/)
      assert.match(yield* ask([30]), /30 rows are too few to ask one after 30 others/)
    })
  )
})
