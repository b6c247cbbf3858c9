import { assert, describe, it } from "@effect/vitest"
import { learningRate, type Schedule } from "../../src/engine/schedule.ts"

const nanogpt: Schedule = { shape: "cosine", rate: 6e-4, steps: 600_000, warmup: 2000, final: 0.1 }

describe("learning rate", () => {
  it("gives nanoGPT's numbers, and llm.c's warm-up", () => {
    assert.closeTo(learningRate(nanogpt, 0), 2.9985e-7, 1e-11)
    assert.closeTo(learningRate(nanogpt, 301_000), 3.3e-4, 1e-9)
    assert.closeTo(learningRate(nanogpt, 600_000), 6e-5, 1e-12)
    const llmc: Schedule = { ...nanogpt, warmup: 700, warmupForm: "llm.c" }
    assert.closeTo(learningRate(llmc, 0), 8.571e-7, 1e-10)
    assert.strictEqual(learningRate(llmc, 699), 6e-4)
    assert.strictEqual(learningRate(llmc, 700), 6e-4)
  })

  it("falls as its shape says", () => {
    const shaped = (shape: Schedule["shape"]) => (step: number) =>
      learningRate({ shape, rate: 1, steps: 110, warmup: 10, final: 0.2 }, step)
    const [constant, linear, cosine, wsd] = [shaped("constant"), shaped("linear"), shaped("cosine"), shaped("wsd")]
    for (const rate of [constant, linear, cosine, wsd]) {
      assert.closeTo(rate(4), 5 / 11, 1e-12)
      assert.strictEqual(rate(10), 1)
    }
    assert.strictEqual(constant(109), 1)
    assert.closeTo(linear(60), 0.6, 1e-12)
    assert.closeTo(linear(110), 0.2, 1e-12)
    assert.closeTo(cosine(35), 0.2 + 0.8 * 0.5 * (1 + Math.SQRT1_2), 1e-12)
    assert.closeTo(cosine(110), 0.2, 1e-12)
    // The last fifth of 110 updates begins at update 88.
    assert.strictEqual(wsd(88), 1)
    assert.isBelow(wsd(89), 1)
    assert.closeTo(wsd(88 + 22 / 4), 0.2 + 0.8 * 0.5, 1e-12)
    assert.closeTo(wsd(110), 0.2, 1e-12)
    // A warm-up that reaches into the last fifth takes its place.
    const late = { shape: "wsd", rate: 1, steps: 110, warmup: 98, final: 0.2 } as const
    assert.strictEqual(learningRate(late, 98), 1)
    assert.closeTo(learningRate(late, 98 + 12 / 4), 0.2 + 0.8 * 0.5, 1e-12)
  })

  it("goes on at its end where there are more updates than it was made for", () => {
    for (const shape of ["linear", "cosine", "wsd"] as const) {
      assert.closeTo(learningRate({ shape, rate: 1, steps: 10, warmup: 0, final: 0.1 }, 50), 0.1, 1e-12)
    }
  })
})
