import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { pad, targetCount } from "../../src/engine/batch.ts"
import { initialize, initializeInTurns, layout } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import * as Session from "../../src/engine/session.ts"

const config = {
  family: "gpt2",
  layers: 4,
  heads: 4,
  width: 256,
  vocabulary: 2048,
  context: 256,
  scalarHead: false
} as const
const batch = pad(
  Array.from({ length: 8 }, (_, b) => ({
    tokens: Int32Array.from({ length: 256 }, (_, t) => (b * 7919 + t * 31) % 2048),
    from: 1
  }))
)

layer(cpu({ threads: 2 }), { excludeTestServices: true })("a training step", (it) => {
  it.effect("ends between two kernels when it is interrupted, and the session closes and another opens", () =>
    Effect.gen(function* () {
      const embedding = layout(config).byName.get("wpe.weight")!
      const positions = (gradients: Session.Reals) =>
        gradients.subarray(embedding.offset, embedding.offset + embedding.shape[0]! * embedding.shape[1]!)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* Session.make(initialize(config, 1))
          const step = session.languageModelLoss(batch, targetCount(batch))
          yield* step
          assert.isTrue(positions(yield* session.gradients).some((value) => value !== 0))
          yield* session.update(adamW, 1e-3)
          const fiber = yield* Effect.forkChild(step)
          yield* Effect.sleep(5)
          yield* Fiber.interrupt(fiber)
          // The gradient of the positions is the last thing that a step computes.
          assert.isTrue(positions(yield* session.gradients).every((value) => value === 0))
        })
      )
      const again = yield* Session.make(initialize(config, 1))
      assert.approximately(yield* again.languageModelLoss(batch, targetCount(batch)), Math.log(2048), 0.2)
    }).pipe(Effect.scoped)
  )

  it.effect("starts from weights that are drawn in turns, and are the same", () =>
    Effect.gen(function* () {
      let turns = 0
      const ticking = yield* Effect.forkChild(
        Effect.forever(
          Effect.suspend(() => {
            turns++
            return Effect.yieldNow
          })
        )
      )
      const weights = yield* initializeInTurns(config, 3)
      yield* Fiber.interrupt(ticking)
      assert.isAbove(turns, 10)
      assert.strictEqual(
        Buffer.compare(Buffer.from(weights.values.buffer), Buffer.from(initialize(config, 3).values.buffer)),
        0
      )
    })
  )
})
