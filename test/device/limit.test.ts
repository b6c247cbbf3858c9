/** Memory that is counted, and what may stay in it unused. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { DeviceError, type DeviceShape } from "../../src/device/device.ts"
import { limited } from "../../src/device/limit.ts"
import { Residency, withResidency } from "../../src/device/residency.ts"

describe("a device of which only a part may be used", () => {
  it.effect("has again what is freed, and what it could not give", () =>
    Effect.gen(function* () {
      const broken = new DeviceError({ device: "cpu", operation: "allocate", message: "broken" })
      const device = limited(
        {
          kind: "cpu",
          allocate: (bytes: number) => (bytes === 60 ? Effect.fail(broken) : Effect.succeed({ bytes }))
        } as unknown as DeviceShape,
        100
      )
      const allocate = (bytes: number) => device.allocate(bytes)
      assert.strictEqual(yield* Effect.flip(Effect.scoped(allocate(60))), broken)
      yield* Effect.scoped(allocate(100))
      const error = yield* Effect.flip(Effect.scoped(Effect.andThen(allocate(70), allocate(31))))
      assert.strictEqual(error.message, "31 bytes are not to be had: 70 of 100 are in use")
      assert.isTrue(error.outOfMemory)
      yield* Effect.scoped(allocate(100))
    })
  )
})

describe("what lies on a device unused", () => {
  it.effect("is a quarter of a memory that others use too, the newest; on a card all, until its memory is wanted", () =>
    Effect.gen(function* () {
      const left = (device: Pick<DeviceShape, "kind" | "memory">, sizes: ReadonlyArray<number>) => {
        const freed: Array<number> = []
        return Effect.gen(function* () {
          const residency = yield* Residency
          for (const bytes of sizes) {
            const free = Effect.sync(() => {
              freed.push(bytes)
            })
            yield* residency.keep(device as DeviceShape, { bytes, free })
          }
          return [...freed]
        }).pipe(
          withResidency,
          Effect.map((whileUsed) => ({ whileUsed, after: freed }))
        )
      }
      const memory = 400
      assert.deepStrictEqual(yield* left({ kind: "cpu", memory }, [40, 50, 20, 30]), {
        whileUsed: [40],
        after: [40, 50, 20, 30]
      })
      assert.deepStrictEqual((yield* left({ kind: "cuda", memory }, [300, 200])).whileUsed, [])
      assert.deepStrictEqual((yield* left({ kind: "tfjs" } as DeviceShape, [6e8, 5e8])).whileUsed, [6e8])
    })
  )
})
