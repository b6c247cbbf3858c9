/**
 * Every device present against the CPU device: each kernel of the table, 50 training steps, gradients and generation. `PTMFLOW_ACROSS=1` lets a
 * graphics card in software and the emulated CUDA kernels do all of it, too; else they do a part, as they take half a second for a step.
 */
import { afterAll, assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { cuda } from "../../src/device/cuda/cuda.ts"
import { Device, DeviceError } from "../../src/device/device.ts"
import { type AnyLaunch, kernels, Precision as Precisions } from "../../src/device/kernel.ts"
import { operandBytes } from "../../src/device/operands.ts"
import { layOut, runLaunches } from "../../src/device/probe.ts"
import { type BackendName, backendNames, tfjs } from "../../src/device/tfjs/tfjs.ts"
import { pad, targetCount } from "../../src/engine/batch.ts"
import { generate } from "../../src/engine/generate.ts"
import type { Precision } from "../../src/engine/graph.ts"
import { initialize, type ModelConfig } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import { philox } from "../../src/engine/random.ts"
import * as Session from "../../src/engine/session.ts"
import { makeFake } from "./cuda/fake.ts"
import { useSwiftShader } from "./swiftshader.ts"

useSwiftShader()
// Cards in software take seconds where nothing else runs, and minutes on a busy machine.
vi.setConfig({ testTimeout: 600_000 })

type DeviceLayer = Layer.Layer<Device, DeviceError>
const reference = cpu()

const emulatedCuda = Effect.runSync(
  Effect.cached(
    Effect.tryPromise({
      try: () => makeFake(true),
      catch: (cause) => new DeviceError({ device: "cuda", operation: "emulate", message: String(cause) })
    })
  )
)
afterAll(() => Effect.runPromise(Effect.ignore(Effect.map(emulatedCuda, (fake) => fake.remove()))))

const others: ReadonlyArray<{ readonly name: string; readonly layer: DeviceLayer }> = [
  { name: "cuda", layer: cuda() },
  { name: "cuda on emulated kernels", layer: Layer.unwrap(Effect.map(emulatedCuda, ({ options }) => cuda(options))) },
  ...backendNames.map((backend: BackendName) => ({ name: `tfjs ${backend}`, layer: tfjs({ backend }) }))
]
const on = <A, E>(layer: DeviceLayer, effect: Effect.Effect<A, E, Device>) => Effect.provide(effect, layer)

/** Those that can be used here, with what they say of themselves. */
const present: Array<{ readonly name: string; readonly layer: DeviceLayer; readonly description: string }> = []
for (const other of others) {
  const found = await Effect.runPromise(Effect.result(on(other.layer, Device)))
  if (Result.isSuccess(found)) present.push({ ...other, description: found.success.description })
  else process.stderr.write(`skipped: ${other.name} against the CPU device, as ${found.failure.message}\n`)
}

const integerBuffers = ["ids", "positions", "targets", "starts", "places", "limits", "done", "tokens"]

/** The largest difference, relative to the largest expected magnitude. */
const difference = (actual: ArrayLike<number>, expected: ArrayLike<number>): number => {
  let [scale, most] = [1e-30, 0]
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]!))
    const apart = Math.abs(actual[i]! - expected[i]!)
    if (!(apart <= most)) most = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart
  }
  return most / scale
}

/** Of each family of launches that differ in sizes and precision only, the second. */
const oneOfEach = (launches: ReadonlyArray<AnyLaunch>): ReadonlyArray<AnyLaunch> => {
  const families = new Map<string, Array<AnyLaunch>>()
  for (const launch of launches) {
    const { accumulate, activation, form, topK, transposeA, transposeB } = launch.integers as {
      readonly [name: string]: number
    }
    const kind = [accumulate, activation, form, topK, transposeA, transposeB, Object.keys(launch.buffers)]
    const key = `${launch.kernel} ${JSON.stringify(kind)}`
    families.set(key, [...(families.get(key) ?? []), launch])
  }
  return [...families.values()].map((family) => family[1] ?? family[0]!)
}

const { image, launches } = layOut("f32")
const runOn = (chosen: ReadonlyArray<AnyLaunch>) =>
  Effect.flatMap(Device, (device) => runLaunches(device, chosen, image.slice()))

const vocabulary = 32
const context = 16
const gpt2: ModelConfig = { family: "gpt2", layers: 1, heads: 2, width: 16, vocabulary, context, scalarHead: false }
const llama: ModelConfig = {
  family: "llama",
  layers: 1,
  heads: 4,
  keyHeads: 2,
  headWidth: 4,
  width: 16,
  feedForward: 24,
  vocabulary,
  context,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tied: true,
  scalarHead: false
}

/** Sequences of different lengths that can be learned in part. */
const batchOf = (step: number) =>
  pad(
    Array.from({ length: 3 }, (_, b) => ({
      tokens: Int32Array.from({ length: context - b }, (_, t) => {
        return (b * 7 + t * 3 + (philox([step, b], [t, 0, 0, 0])[0] % 3)) % vocabulary
      }),
      from: 1
    }))
  )

/** Losses of training, the gradients of the first step, what the trained model says, and the tensors that are left of a step. */
const trained = Effect.fnUntraced(function* (config: ModelConfig, precision: Precision, steps: number) {
  const session = yield* Session.make(initialize(config, 1), { precision })
  const losses: Array<number> = []
  const tensors: Array<number> = []
  let gradients: Session.Reals = new Float32Array(0)
  for (let step = 0; step < steps; step++) {
    const batch = batchOf(step)
    losses.push(yield* session.languageModelLoss(batch, targetCount(batch)))
    if (step === 0) gradients = yield* session.gradients
    yield* session.update(adamW, 3e-3)
    tensors.push(yield* tensorCount)
  }
  const requests = Array.from({ length: steps < 10 ? 1 : 3 }, (_, i) => ({
    prompt: Int32Array.from({ length: 2 + i }, (_, t) => (7 * i + 3 * t) % vocabulary),
    key: [i, 7] as const,
    limit: Math.min(8, steps)
  }))
  const sampling = { temperature: 0.9, topK: 20, topP: 0.95, endToken: -1 }
  const answers = yield* generate(session, requests, sampling, { batch: 2 })
  return { losses, gradients, answers: answers.map(({ tokens }) => Array.from(tokens)), tensors }
}, Effect.scoped)

const tensorCount = Effect.promise(async () => {
  const { getBackend, memory } = await import("@tensorflow/tfjs-core")
  return getBackend() === undefined ? 0 : memory().numTensors
})

const expected = new Map<string, Promise<Effect.Success<ReturnType<typeof trained>>>>()
const expectedOf = (config: ModelConfig, precision: Precision, steps: number) => {
  const key = `${config.family} ${precision} ${steps}`
  const found = expected.get(key) ?? Effect.runPromise(on(reference, trained(config, precision, steps)))
  expected.set(key, found)
  return Effect.promise(() => found)
}

const everything = process.env["PTMFLOW_ACROSS"] === "1"

for (const { description, layer, name } of present) {
  const inPart = !everything && /SwiftShader|Fake/.test(description)
  const steps = inPart ? 4 : 50

  describe(`${name}: ${description}`, () => {
    it.live("every kernel of the table gives what it gives on the CPU", () =>
      Effect.gen(function* () {
        const chosen = inPart ? oneOfEach(launches) : launches
        assert.deepStrictEqual([...new Set(chosen.map(({ kernel }) => kernel))].sort(), Object.keys(kernels).sort())
        const theirs = yield* on(layer, runOn(chosen))
        const ours = yield* on(reference, runOn(chosen))
        for (const [index, launch] of chosen.entries()) {
          for (const { buffer, bytes, name } of operandBytes(launch, "f32")) {
            const isInteger = integerBuffers.includes(name) || (name === "keys" && launch.kernel === "sample")
            const View = isInteger ? Int32Array : Float32Array
            const of = ({ buffer: all }: Uint8Array<ArrayBuffer>) => new View(all, buffer.offset, bytes / 4)
            // Attention in bf16 may be rounded or not.
            const rounds = launch.kernel.startsWith("attention") && "precision" in launch.integers
            const bound = isInteger ? 0 : rounds && launch.integers.precision === Precisions.bf16 ? 1e-2 : 1e-5
            const apart = difference(of(theirs), of(ours))
            const place = `case ${index}, ${launch.kernel} ${name} ${JSON.stringify(launch.integers)}`
            assert.isAtMost(apart, bound, place)
          }
        }
      })
    )

    for (const config of [gpt2, llama]) {
      it.live(
        `${config.family}: ${steps} training steps, gradients and answers as on the CPU, and no tensor is left`,
        () =>
          Effect.gen(function* () {
            const before = yield* tensorCount
            const ours = yield* expectedOf(config, "f32", steps)
            const theirs = yield* on(layer, trained(config, "f32", steps))
            assert.isBelow(ours.losses.at(-1)!, ours.losses[0]! - (inPart ? 0.01 : 0.5), "it learns")
            theirs.losses.forEach((loss, step) => {
              assert.closeTo(loss, ours.losses[step]!, 1e-4, `loss of step ${step}`)
            })
            assert.isAtMost(difference(theirs.gradients, ours.gradients), 1e-5, "gradients")
            assert.deepStrictEqual(theirs.answers, ours.answers)
            // The first steps make what is kept: a constant, a sum of zeros.
            assert.strictEqual(theirs.tensors.at(-1), theirs.tensors[2], "tensors after a step")
            assert.strictEqual(yield* tensorCount, before, "tensors after all")
          })
      )
    }

    it.live("in bf16 losses lie within 0.05 of the CPU's, and gradients within 1 % of their largest", () =>
      Effect.gen(function* () {
        const few = inPart ? 1 : steps
        const ours = yield* expectedOf(gpt2, "bf16", few)
        const theirs = yield* on(layer, trained(gpt2, "bf16", few))
        theirs.losses.forEach((loss, step) => {
          assert.closeTo(loss, ours.losses[step]!, 0.05, `loss of step ${step}`)
        })
        assert.isAtMost(difference(theirs.gradients, ours.gradients), 1e-2, "gradients")
        assert.isAbove(difference(theirs.gradients, (yield* expectedOf(gpt2, "f32", few)).gradients), 1e-6, "rounded")
      })
    )
  })
}
