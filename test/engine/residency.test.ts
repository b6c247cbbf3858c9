/** Models that stay on a device: what is written there, that no bit changes, and what goes when there is no room. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Device, type DeviceError, type DeviceShape } from "../../src/device/device.ts"
import { limited } from "../../src/device/limit.ts"
import { withResidency } from "../../src/device/residency.ts"
import { pad } from "../../src/engine/batch.ts"
import { nameContent } from "../../src/engine/content.ts"
import { generate } from "../../src/engine/generate.ts"
import { initialize, layout, type ModelConfig, type ModelError, type Weights } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import * as Session from "../../src/engine/session.ts"

const config: ModelConfig = {
  family: "gpt2",
  vocabulary: 64,
  context: 32,
  layers: 2,
  heads: 2,
  width: 32,
  scalarHead: false
}
const { count } = layout(config)
const other: ModelConfig = { ...config, layers: 1 }

const sequences = Array.from({ length: 4 }, (_, b) => ({
  tokens: Int32Array.from({ length: 12 + b }, (_, t) => (7 * b + 5 * t * t + 3) % 64),
  from: 2
}))
const batch = pad(sequences, { length: 16 })
const language = { language: true, scalar: false, temperature: 1 }

/** What is written of models (all that is not a batch), and what is allocated now. */
const watched = (device: DeviceShape) => {
  const seen = { writes: [] as Array<number>, allocated: 0, programs: 0 }
  const shape: DeviceShape = {
    ...device,
    allocate: (bytes) =>
      Effect.tap(device.allocate(bytes), () => {
        seen.allocated += bytes
        return Effect.addFinalizer(() =>
          Effect.sync(() => {
            seen.allocated -= bytes
          })
        )
      }),
    compile: (program, memories) =>
      Effect.tap(device.compile(program, memories), () =>
        Effect.sync(() => {
          seen.programs++
        })
      ),
    write: (memory, offset, data) => {
      if (data.byteLength > 20_000) seen.writes.push(data.byteLength)
      return device.write(memory, offset, data)
    }
  }
  return { seen, shape }
}

type Watched = ReturnType<typeof watched>

/** Runs on the CPU device, and hands out what is written to it. */
const onWatched = <A, E>(
  use: (watched: Watched) => Effect.Effect<A, E, Device>,
  memory?: number
): Effect.Effect<A, E | DeviceError> =>
  Effect.flatMap(Device, (device) => {
    const found = watched(memory === undefined ? device : limited(device, memory))
    return Effect.provideService(use(found), Device, found.shape)
  }).pipe(Effect.provide(cpu({ threads: 1 })))

const session = <A, E>(
  weights: Weights,
  use: (session: Session.Session) => Effect.Effect<A, E, Device | Scope.Scope>,
  options: Parameters<typeof Session.make>[1] = {}
) => Effect.scoped(Effect.flatMap(Session.make(weights, options), use))

const answers = (weights: Weights) =>
  session(weights, (policy) =>
    generate(
      policy,
      sequences.map(({ tokens }, i) => ({ prompt: tokens.subarray(0, 4), key: [1, i] as const, limit: 8 })),
      { temperature: 1, topK: 0, topP: 1, endToken: -1 }
    )
  )

const scored = (weights: Weights) =>
  session(weights, (model) => Effect.map(model.statistics(batch, language), ({ logProbability }) => logProbability))

interface Trained {
  readonly weights: Weights
  readonly state: { readonly firstMoment: Float32Array; readonly secondMoment: Float32Array; readonly step: number }
}

const trained = (from: Weights, state?: Trained["state"]) =>
  session(
    from,
    Effect.fnUntraced(function* (model) {
      for (let step = 0; step < 2; step++) {
        yield* model.languageModelLoss(batch, 40)
        yield* model.update({ ...adamW, weightDecay: 0.1, maxNorm: 1 }, 1e-2)
      }
      const made: Trained = { weights: yield* model.weights, state: yield* model.optimizerState }
      return made
    }),
    { state }
  )

let names = 0
/** What a checkpoint's port does when it is written. */
const written = ({ state, weights }: Trained): Trained => {
  const name = `checkpoint ${++names}`
  nameContent(weights.values, name)
  nameContent(state.firstMoment, `m ${name}`)
  nameContent(state.secondMoment, `v ${name}`)
  return { state, weights }
}
/** What it does when it is read again. */
const read = (weights: Weights, name: string): Weights => {
  const values = weights.values.slice()
  nameContent(values, name)
  return { ...weights, values }
}

/** Rounds of rollout, score under a frozen reference, and update, as the flagship has them. */
const loop = Effect.fnUntraced(function* (start: Weights, rounds: number) {
  const results: Array<unknown> = []
  let policy = written(yield* trained(start))
  const reference = policy.weights
  for (let round = 0; round < rounds; round++) {
    results.push(yield* answers(policy.weights))
    results.push(yield* scored(reference))
    policy = written(yield* trained(policy.weights, policy.state))
    results.push(policy)
  }
  return results
})

describe("a model on a device", () => {
  it.effect("a closed loop writes each model once, and gives the same bits as without", () =>
    onWatched(
      Effect.fnUntraced(function* ({ seen }) {
        const start = initialize(config, 1)
        const plain = yield* loop(start, 3)
        // Every session wrote its weights, and every update from a state its two moments.
        const all = seen.writes.length
        assert.strictEqual(all, 1 + 3 * (1 + 1 + 3))
        assert.isTrue(seen.writes.every((bytes) => bytes === 4 * count))
        assert.strictEqual(seen.allocated, 0)

        seen.writes.length = 0
        seen.programs = 0
        const kept = yield* withResidency(loop(start, 3))
        assert.deepStrictEqual(kept, plain)
        // The start; and the reference, which the first update made into the policy.
        assert.strictEqual(seen.writes.length, 2)
        assert.isBelow(seen.programs, 12)
        assert.strictEqual(seen.allocated, 0)
      })
    )
  )

  it.effect("what was read again is known by its name; without one, or with another, it is written", () =>
    onWatched(({ seen }) =>
      withResidency(
        Effect.gen(function* () {
          const weights = read(initialize(config, 1), "a")
          const expected = yield* scored(weights)
          assert.strictEqual(seen.writes.length, 1)
          assert.deepStrictEqual(yield* scored(read(weights, "a")), expected)
          assert.strictEqual(seen.writes.length, 1)
          yield* scored(read(initialize(config, 2), "b"))
          assert.strictEqual(seen.writes.length, 2)
          assert.deepStrictEqual(yield* scored({ ...weights, values: weights.values.slice() }), expected)
          assert.strictEqual(seen.writes.length, 3)
          // Another model of the same name is another model.
          yield* scored(read(initialize(other, 1), "a"))
          assert.strictEqual(seen.writes.length, 4)
        })
      )
    )
  )

  it.effect("what was changed in place after it had its name is not taken for what it was", () =>
    onWatched(() =>
      withResidency(
        Effect.gen(function* () {
          const weights = read(initialize(config, 1), "in place")
          yield* scored(weights)
          for (let i = 0; i < weights.values.length; i++) weights.values[i]! *= 0.5
          const changed = yield* scored(weights)
          assert.deepStrictEqual(changed, yield* scored({ ...weights, values: weights.values.slice() }))
        })
      )
    )
  )

  it.effect("moments and gradients that others left are not seen", () =>
    onWatched(() =>
      Effect.gen(function* () {
        const first = written(yield* trained(initialize(config, 3)))
        const expected = yield* trained(first.weights)
        const found = yield* withResidency(
          Effect.gen(function* () {
            const again = written(yield* trained(initialize(config, 3)))
            // Gradients that no update took, on the model that the next session gets.
            yield* session(again.weights, (model) => model.languageModelLoss(batch, 1))
            const { gradients, norm } = yield* session(
              again.weights,
              Effect.fnUntraced(function* (model) {
                return { norm: yield* model.gradientNorm, gradients: yield* model.gradients }
              })
            )
            assert.strictEqual(norm, 0)
            assert.isTrue(gradients.every((value) => value === 0))
            return yield* trained(again.weights)
          })
        )
        assert.deepStrictEqual(found, expected)
      })
    )
  )

  it.effect("of a session that failed nothing is kept", () =>
    onWatched(({ seen }) =>
      withResidency(
        Effect.gen(function* () {
          const weights = read(initialize(config, 1), "failed")
          yield* Effect.ignore(session(weights, () => Effect.fail("as it must")))
          assert.strictEqual(seen.allocated, 0)
          yield* scored(weights)
          assert.strictEqual(seen.writes.length, 2)
        })
      )
    )
  )

  it.effect("the least recently used goes when more than the bound lies unused", () =>
    onWatched(({ seen }) =>
      Effect.gen(function* () {
        const [a, b, c] = ["a", "b", "c"].map((name, i) => read(initialize(config, i), `bound ${name}`))
        yield* withResidency(scored(a!))
        const sizeOf = withResidency(
          Effect.gen(function* () {
            yield* scored(a!)
            return seen.allocated
          })
        )
        const size = yield* sizeOf
        const most: Array<number> = []
        yield* withResidency(
          Effect.gen(function* () {
            for (const weights of [a!, b!, a!, c!, a!, b!]) {
              seen.writes.length = 0
              yield* scored(weights)
              assert.isAtMost(seen.allocated, 2 * size)
              most.push(seen.writes.length)
            }
          }),
          () => 2 * size
        )
        assert.deepStrictEqual(most, [1, 1, 0, 1, 0, 1])
        assert.strictEqual(seen.allocated, 0)
      })
    )
  )
})

describe("no room on a device", () => {
  const failing = (memory: number, use: Effect.Effect<unknown, Session.SessionError | ModelError, Device>) =>
    onWatched(() => Effect.flip(use), memory)
  const large = (size: number) =>
    pad(
      Array.from({ length: size }, () => sequences[0]!),
      { length: 16 }
    )
  const step = (size: number) => session(initialize(config, 1), (model) => model.languageModelLoss(large(size), 1))

  it.effect("what is unused goes first", () =>
    onWatched(
      ({ seen }) =>
        withResidency(
          Effect.gen(function* () {
            for (let i = 0; i < 4; i++) yield* scored(read(initialize(config, i), `pressure ${i}`))
            assert.isAtMost(seen.allocated, 1_200_000)
            yield* step(4)
          })
        ),
      1_200_000
    )
  )

  it.effect("is told with the buffers, the size of the plan, and a batch that fits, which does", () =>
    Effect.gen(function* () {
      const memory = 4_000_000
      const error = yield* failing(memory, step(64))
      if (error._tag !== "OutOfDeviceMemory") return assert.fail(`${error}`)
      assert.deepInclude(error, { device: "cpu", batch: 64, program: "a training step on sequences of 16 tokens" })
      assert.isAbove(error.planBytes, memory)
      assert.deepStrictEqual(
        error.beside.map(({ name }) => name),
        ["weights", "gradients"]
      )
      const sizes = error.buffers.map(({ bytes, count }) => bytes * count)
      assert.deepStrictEqual(
        sizes,
        sizes.toSorted((a, b) => b - a)
      )
      for (const { bytes, shape } of error.buffers) {
        const elements = shape.reduce((product, n) => product * n, 1)
        assert.isAtLeast(bytes, 4 * elements)
        assert.isBelow(bytes, 4 * elements + 64)
      }
      assert.match(error.message, new RegExp(`A batch of ${error.fits} would fit`))
      assert.include(error.message, error.buffers[0]!.name)
      // By another way than it was found: that batch trains in this memory, and one more does not.
      yield* onWatched(() => step(error.fits!), memory)
      assert.strictEqual((yield* failing(memory, step(error.fits! + 1)))._tag, "OutOfDeviceMemory")
    })
  )

  it.effect("where not even one sequence fits, or the model itself does not", () =>
    Effect.gen(function* () {
      const none = yield* failing(4 * count * 2 + 4096, step(8))
      assert.deepInclude(none, { _tag: "OutOfDeviceMemory", fits: 0 })
      const model = yield* failing(4 * count - 1, step(8))
      assert.deepInclude(model, { _tag: "OutOfDeviceMemory", program: "the model's weights", planBytes: 4 * count })
      assert.match(model.message, /smaller model/)
    })
  )

  it.effect("the CPU device keeps to a limit", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const error = yield* Effect.flip(Effect.scoped(Effect.andThen(device.allocate(600), device.allocate(600))))
      assert.isTrue(error.outOfMemory)
      // What was freed can be had again.
      yield* Effect.scoped(device.allocate(1000))
      yield* Effect.scoped(device.allocate(1000))
      assert.strictEqual(device.memory, 1000)
    }).pipe(Effect.provide(Layer.fresh(cpu({ threads: 1, memory: 1000 }))))
  )
})
