import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { pretrain } from "../../operators/pretrain.ts"
import { TokenSequence } from "../../operators/rows.ts"
import { makeDetector, makeGuard, WINDOW } from "../../operators/spike-guard.ts"
import type { Tokenizer } from "../../operators/tokenizer/port.ts"
import { makeStopper, makeTrainer, trainingParams } from "../../operators/training.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { pad, targetCount } from "../../src/engine/batch.ts"
import { flopsPerToken, initialize, layout, type ModelConfig, parameter } from "../../src/engine/model.ts"
import { normal, philox } from "../../src/engine/random.ts"
import * as Session from "../../src/engine/session.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { makeStage } from "./stage.ts"

const config: ModelConfig = {
  family: "gpt2",
  layers: 1,
  heads: 2,
  width: 16,
  vocabulary: 11,
  context: 32,
  scalarHead: false
}
const Params = Schema.Struct(trainingParams({ learningRate: 1e-2, warmup: 0, final: 1 }))
const paramsOf = (given: object = {}) => Schema.decodeUnknownSync(Params)(given)
const tokensOf = (n: number, seed: number) =>
  Int32Array.from({ length: n }, (_, i) => philox([seed, 0], [i, 0, 0, 0])[0]! % 11)
const batch = pad(
  [20, 3, 9, 32, 5, 12, 2, 17].map((n, i) => ({ tokens: tokensOf(n, i), from: 1 })),
  { multiple: 1 }
)

describe("an update", () => {
  it.effect("of eight micro-batches is that of one batch: by tokens, at every step and without drift", () =>
    Effect.gen(function* () {
      const losses = (microBatch: number) =>
        Effect.gen(function* () {
          const session = yield* Session.make(initialize(config, 1))
          const trainer = makeTrainer(session, paramsOf({ microBatch }), 20)
          const made: Array<readonly [number, number]> = []
          for (let step = 0; step < 20; step++) {
            const { gradientNorm, loss } = yield* trainer.update(batch, step)
            made.push([loss, gradientNorm])
          }
          return made
        }).pipe(Effect.scoped)
      const whole = yield* losses(0)
      for (const microBatch of [1, 3]) {
        const parts = yield* losses(microBatch)
        const residuals = parts.map(([loss, norm], step) => {
          assert.closeTo(loss, whole[step]![0], 1e-5, `loss of step ${step}`)
          assert.closeTo(norm, whole[step]![1], 1e-4, `norm of step ${step}`)
          return loss - whole[step]![0]
        })
        // One-sided drift would show in the mean.
        const mean = residuals.reduce((sum, x) => sum + x, 0) / residuals.length
        assert.isBelow(Math.abs(mean), 2e-6)
      }
      assert.isBelow(whole.at(-1)![0], whole[0]![0])
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("logs the norm before the clip, and moves by the clipped gradient", () =>
    Effect.gen(function* () {
      const updated = Effect.fnUntraced(function* (maxNorm: number) {
        const session = yield* Session.make(initialize(config, 1))
        const { gradientNorm } = yield* makeTrainer(session, paramsOf({ maxNorm }), 1).update(batch, 0)
        return { gradientNorm, moment: (yield* session.optimizerState).firstMoment }
      }, Effect.scoped)
      const free = yield* updated(0)
      const clipped = yield* updated(0.01)
      assert.strictEqual(clipped.gradientNorm, free.gradientNorm)
      assert.isAbove(free.gradientNorm, 0.1)
      const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0)) / 0.1
      assert.closeTo(norm(free.moment), free.gradientNorm, 1e-5)
      assert.closeTo(norm(clipped.moment), 0.01, 1e-6)
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("decays matrices and nothing else", () =>
    Effect.gen(function* () {
      const weights = initialize(config, 1)
      for (const { name } of layout(config).parameters) normal([7, name.length], parameter(weights, name), 1)
      const updated = Effect.fnUntraced(function* (weightDecay: number) {
        const session = yield* Session.make(weights)
        const params = paramsOf({ weightDecay, learningRate: 0.1 })
        yield* makeTrainer(session, params, 1).update(batch, 0)
        return yield* session.weights
      }, Effect.scoped)
      const [without, decayed] = [yield* updated(0), yield* updated(0.5)]
      for (const { name, shape } of layout(config).parameters) {
        const [old, a, b] = [weights, without, decayed].map((of) => parameter(of, name)) as [
          Float32Array,
          Float32Array,
          Float32Array
        ]
        a.forEach((value, i) => {
          const expected = shape.length > 1 ? value - 0.1 * 0.5 * old[i]! : value
          assert.closeTo(b[i]!, expected, 1e-6, name)
        })
      }
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("after a spike is left out: weights, moments and step are as without it", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(config, 1))
      const calm = pad([{ tokens: tokensOf(32, 1), from: 1 }])
      const odd = pad([{ tokens: Int32Array.from({ length: 32 }, (_, i) => (i * i * 3) % 11), from: 1 }])
      const params = paramsOf({ learningRate: 5e-3, skipLossZ: 4 })
      const trainer = makeTrainer(session, params, 1000)
      let last = yield* trainer.update(calm, 0)
      for (let step = 1; step < 400; step++) last = yield* trainer.update(calm, step)
      assert.deepInclude(last, { skipped: 0 })
      const [weights, moments] = [yield* session.weights, yield* session.optimizerState]
      const skipped = yield* trainer.update(odd, 400)
      assert.deepInclude(skipped, { skipped: 1 })
      assert.isAbove(skipped.loss, last.loss)
      assert.deepStrictEqual(yield* session.weights, weights)
      assert.deepStrictEqual(yield* session.optimizerState, moments)
      assert.isTrue((yield* session.gradients).every((value) => value === 0))
      // One that goes on from the state decides the same.
      const resumed = makeTrainer(session, params, 1000, trainer.state())
      assert.deepInclude(yield* resumed.update(odd, 401), { skipped: 2 })
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("with recomputed activations has the same bits", () =>
    Effect.gen(function* () {
      const weights = Effect.fnUntraced(function* (recompute: boolean) {
        const session = yield* Session.make(initialize(config, 1), { recompute })
        const trainer = makeTrainer(session, paramsOf(), 3)
        const losses = [yield* trainer.update(batch, 0), yield* trainer.update(batch, 1)]
        return { losses, weights: yield* session.weights }
      }, Effect.scoped)
      assert.deepStrictEqual(yield* weights(true), yield* weights(false))
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )
})

describe("spike guard", () => {
  it("is silent for 128 values, then gives z among the last 128, the new one included", () => {
    const detector = makeDetector()
    const values = Array.from({ length: 300 }, (_, i) => Math.sin(i * i))
    for (const [i, value] of values.entries()) {
      const z = detector.z(value)
      if (i < WINDOW) {
        assert.isUndefined(z)
        continue
      }
      const window = values.slice(i - WINDOW + 1, i + 1)
      const mean = window.reduce((a, b) => a + b) / WINDOW
      const deviation = Math.sqrt(window.reduce((sum, x) => sum + (x - mean) ** 2, 0) / WINDOW)
      assert.closeTo(z!, (value - mean) / deviation, 1e-9)
    }
    assert.strictEqual(detector.z(Number.NaN), Number.POSITIVE_INFINITY)
    assert.strictEqual(makeDetector(Array.from({ length: WINDOW }, () => 2)).z(2), 0)
  })

  it("watches loss and norm apart, and 0 is no limit", () => {
    const state = Object.fromEntries(
      Array.from({ length: WINDOW }, (_, i) => [
        [`guardLoss.${i}`, i % 2],
        [`guardNorm.${i}`, i % 2]
      ]).flat()
    )
    assert.isFalse(makeGuard({ loss: 3, norm: 3 }, state).isSpike(1, 1))
    assert.isTrue(makeGuard({ loss: 3, norm: 0 }, state).isSpike(9, 1))
    assert.isTrue(makeGuard({ loss: 0, norm: 3 }, state).isSpike(1, 9))
    assert.isFalse(makeGuard({ loss: 0, norm: 3 }, state).isSpike(9, 1))
    // A fall of the loss is no spike.
    assert.isFalse(makeGuard({ loss: 3, norm: 0 }, state).isSpike(-9, 1))
  })
})

describe("early stop", () => {
  it("counts measurements since the lowest, across a cut", () => {
    const first = makeStopper(2)
    assert.deepStrictEqual([3, 2, 2.5].map(first.isOver), [false, false, false])
    const second = makeStopper(2, first.state())
    assert.isTrue(second.isOver(2))
    assert.isFalse(makeStopper(0).isOver(9))
  })

  it.live("ends pretraining on a text that there is nothing to learn of", () =>
    Effect.gen(function* () {
      const digits = { vocabularySize: 11, special: { endOfText: 10, pad: 10 }, json: "" } as unknown as Tokenizer
      const stream = (seed: number) =>
        Table.fromRows(TokenSequence, [{ id: "a", tokens: tokensOf(600, seed), bytes: 600 }])
      const { reports, stage } = makeStage()
      const params = {
        layers: 1,
        heads: 2,
        width: 16,
        context: 32,
        batch: 4,
        steps: 400,
        validateEvery: 10,
        patience: 3
      }
      yield* pretrain
        .run({
          inputs: { train: stream(1), validation: stream(2), tokenizer: digits },
          params: Schema.decodeUnknownSync(pretrain.params)(params),
          sources: []
        })
        .pipe(Effect.provideService(Stage, stage))
      const measured = reports.flatMap(({ metrics, step }) =>
        step !== undefined && metrics?.["validationLoss"] !== undefined
          ? [[step, metrics["validationLoss"]] as const]
          : []
      )
      const lowest = Math.min(...measured.map(([, loss]) => loss))
      const at = measured.findIndex(([, loss]) => loss === lowest)
      assert.strictEqual(measured.length - 1 - at, 3)
      assert.isBelow(measured.at(-1)![0], 400)
      assert.isAbove(reports.findLast(({ metrics }) => metrics?.["mfu"] !== undefined)!.metrics!["mfu"]!, 0)
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )
})

it("a token of GPT-2 124M costs 855 MFLOP", () => {
  const gpt2 = { ...config, layers: 12, heads: 12, width: 768, vocabulary: 50257, context: 1024 }
  assert.closeTo(flopsPerToken(gpt2), 855e6, 0.5e6)
  // A head of its own is multiplied with, the token table is looked up.
  assert.strictEqual(flopsPerToken({ ...gpt2, tied: false }), flopsPerToken(gpt2))
  assert.strictEqual(targetCount(batch), 92)
})
