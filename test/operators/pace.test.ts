import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Pace from "../../operators/pace.ts"
import { Stage } from "../../src/operator/stage.ts"
import { makeStage } from "./stage.ts"

describe("pace", () => {
  it.effect("speeds are of the steps since the last report, without what was aside", () => {
    const { reports, stage } = makeStage()
    return Effect.gen(function* () {
      const pace = yield* Pace.make(100, 1e-3)
      yield* TestClock.adjust(200)
      yield* pace.done(1, 50, { loss: 3 })
      // Two steps of 40 ms are no report of their own.
      for (const step of [2, 3]) {
        yield* TestClock.adjust(40)
        yield* pace.done(step, 50, { loss: 2 })
      }
      assert.strictEqual(yield* pace.aside(Effect.as(TestClock.adjust(5000), "measured")), "measured")
      yield* TestClock.adjust(20)
      yield* pace.done(4, 100, { loss: 1 })
      // A save that is due, and one that is not.
      let saves = 0
      const save = Effect.andThen(
        TestClock.adjust(3000),
        Effect.sync(() => saves++)
      )
      yield* pace.save(save)
      yield* pace.save(save)
      assert.strictEqual(saves, 1)
      yield* TestClock.adjust(10)
      yield* pace.done(100, 10, { loss: 0.5 })
      const of = (report: (typeof reports)[number]) => {
        const { loss, mfu, secondsPerStep, tokensPerSecond } = report.metrics!
        return [report.step, loss, tokensPerSecond, secondsPerStep, mfu]
      }
      assert.deepStrictEqual(reports.map(of), [
        [1, 3, 250, 0.2, 0.25],
        [4, 1, 2000, 0.1 / 3, 2],
        [100, 0.5, 1000, 0.01, 1]
      ])
    }).pipe(Effect.provideService(Stage, stage))
  })
})
