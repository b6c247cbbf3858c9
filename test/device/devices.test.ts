/** The devices of a machine, with CUDA that is faked: which are found, which is taken, and what a full card says. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Device } from "../../src/device/device.ts"
import { Devices, type DevicesOptions, devices } from "../../src/device/devices.ts"
import { withResidency } from "../../src/device/residency.ts"
import { pad } from "../../src/engine/batch.ts"
import { nameContent } from "../../src/engine/content.ts"
import { initialize, layout, type ModelConfig } from "../../src/engine/model.ts"
import * as Session from "../../src/engine/session.ts"
import { type Fake, makeFake } from "./cuda/fake.ts"

let fake: Fake
beforeAll(async () => {
  fake = await makeFake(false)
}, 120_000)
afterAll(() => fake.remove())

/** With the fake as it is told to be, and as it was afterwards. */
const having = <A, E, R>(setting: string, value: number, standard: number, effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    fake.set(setting, value)
    return effect
  }).pipe(Effect.ensuring(Effect.sync(() => fake.set(setting, standard))))

const found = (options: DevicesOptions) =>
  Effect.gen(function* () {
    const { of, preferred, reason } = yield* Devices
    const { kind } = yield* Device
    assert.strictEqual(kind, preferred)
    return { preferred, reason, count: (yield* of(preferred)).length, cpu: (yield* of("cpu")).length }
  }).pipe(Effect.provide(devices({ cuda: fake.options, cpu: { threads: 1 }, ...options })))

describe("the devices of a machine", () => {
  it.effect("a card is taken before the CPU, and each card is a device", () =>
    Effect.gen(function* () {
      const reason = "the best there is"
      assert.deepStrictEqual(yield* found({}), { preferred: "cuda", reason, count: 1, cpu: 1 })
      const two = yield* having("cards", 2, 1, found({}))
      assert.deepStrictEqual(two, { preferred: "cuda", reason, count: 2, cpu: 1 })
      assert.deepStrictEqual(yield* found({ device: "cpu" }), { preferred: "cpu", reason: "", count: 1, cpu: 1 })
      // A card that was only looked at has nothing on it.
      assert.strictEqual(fake.get("contexts"), 0)
    })
  )

  it.effect("a card that cannot be used leaves the CPU, and is an error where it is asked for", () =>
    Effect.gen(function* () {
      const old = having("capability", 75, 90, found({}))
      assert.deepStrictEqual(yield* old, { preferred: "cpu", reason: "no usable GPU", count: 1, cpu: 1 })
      const asked = yield* Effect.flip(having("capability", 75, 90, found({ device: "cuda" })))
      assert.match(asked.message, /compute capability 7\.5: 8\.0 .* is needed/)
      const none = yield* Effect.flip(having("cards", 0, 1, found({ device: "cuda" })))
      assert.match(none.message, /the driver shows no card/)
    })
  )
})

const config: ModelConfig = {
  family: "gpt2",
  vocabulary: 64,
  context: 32,
  layers: 2,
  heads: 2,
  width: 64,
  scalarHead: false
}
const bytes = 4 * layout(config).count

const named = (seed: number) => {
  const weights = initialize(config, seed)
  nameContent(weights.values, `full card ${seed}`)
  return weights
}
const withCard = <A, E, R>(effect: Effect.Effect<A, E, R | Device>) =>
  Effect.suspend(() => Effect.provide(effect, devices({ device: "cuda", cuda: fake.options })))

/** What a card has of the device's own before any model. */
const own = withCard(
  Effect.scoped(Effect.flatMap(Device, (device) => Effect.map(device.allocate(64), () => fake.get("deviceBytes"))))
)

/** On a card with so much memory for models. */
const onCard = <A, E>(memory: number, effect: (own: number) => Effect.Effect<A, E, Device>) =>
  Effect.flatMap(own, (own) => having("memory", own + memory, 2 ** 30, withCard(effect(own))))

describe("a full card", () => {
  it.effect("what is unused there goes, the oldest first", () =>
    onCard(3.5 * bytes, (own) =>
      withResidency(
        Effect.gen(function* () {
          const open = (seed: number) => Effect.scoped(Session.make(named(seed)))
          for (const seed of [1, 2, 3]) yield* open(seed)
          assert.isAtLeast(fake.get("deviceBytes") - own, 3 * bytes - 64)
          yield* open(4)
          assert.isBelow(fake.get("deviceBytes") - own, 4 * bytes - 64)
        })
      )
    )
  )

  it.effect("is an error with the buffers, the plan, and the batch that fits", () =>
    onCard(20 * bytes, () =>
      Effect.gen(function* () {
        const sequence = { tokens: Int32Array.from({ length: 16 }, (_, i) => i), from: 1 }
        const batch = pad(
          Array.from({ length: 256 }, () => sequence),
          { length: 16 }
        )
        const training = Effect.flatMap(Session.make(named(1)), (model) => model.languageModelLoss(batch, 1))
        const error = yield* Effect.flip(Effect.scoped(training))
        if (error._tag !== "OutOfDeviceMemory") return assert.fail(`${error}`)
        assert.deepInclude(error, { device: "cuda", batch: 256 })
        assert.isAbove(error.planBytes, 20 * bytes)
        assert.isAtLeast(error.fits!, 1)
        assert.isBelow(error.fits!, 256)
        assert.deepStrictEqual(
          error.beside.map(({ name }) => name),
          ["weights", "gradients"]
        )
        assert.isAtLeast(error.buffers.length, 1)
      })
    )
  )
})
