import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { type CudaOptions, cuda, describeCuda } from "../../../src/device/cuda/cuda.ts"
import { Device, DeviceError, type DeviceShape } from "../../../src/device/device.ts"
import type { AnyLaunch } from "../../../src/device/kernel.ts"
import { add, count, fill, lookUp, place, sampling, sizes } from "../small-programs.ts"
import { type Fake, makeFake } from "./fake.ts"

let fake: Fake
beforeAll(async () => {
  fake = await makeFake(true)
}, 120_000)
afterAll(() => fake.remove())

const counts = [
  "contexts",
  "blocks",
  "deviceBytes",
  "executables",
  "graphs",
  "events",
  "modules",
  "handles",
  "descriptors"
]

/** A device of the fake, and after it: nothing left behind, nothing done wrong. */
const onFake = <A, E>(
  use: (device: DeviceShape) => Effect.Effect<A, E, import("effect/Scope").Scope>,
  options: CudaOptions = {}
) =>
  Effect.gen(function* () {
    const result = yield* Effect.gen(function* () {
      const context = yield* Layer.build(cuda({ ...fake.options, ...options }))
      return yield* use(Context.get(context, Device))
    }).pipe(Effect.scoped)
    assert.strictEqual(fake.problems(), "")
    for (const count of counts) assert.strictEqual(fake.get(count), 0, `${count} left`)
    return result
  })

const withSetting = <A, E, R>(setting: string, value: number, standard: number, effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    fake.set(setting, value)
    return effect
  }).pipe(Effect.ensuring(Effect.sync(() => fake.set(setting, standard))))

const allocated = (device: DeviceShape) => Effect.all(sizes.map((bytes) => device.allocate(bytes)))

describe("the CUDA device, without a card", () => {
  it.effect(
    "runs a program's launches in order, as often as it is told; memory is zero at first; a run is replays of one graph",
    () =>
      onFake(
        Effect.fnUntraced(function* (device) {
          const given = yield* allocated(device)
          const executable = yield* device.compile(
            { name: "sums", memories: 3, launches: [fill(2), add, fill(5), add] },
            given
          )
          const read = Effect.gen(function* () {
            const out = new Float32Array(count)
            yield* device.read(given[1]!, 0, out)
            assert.isTrue(out.every((value) => value === out[0]))
            return out[0]
          })
          assert.strictEqual(yield* read, 0)
          const [launches, replays] = [fake.get("launches"), fake.get("replays")]
          yield* executable.run()
          assert.strictEqual(yield* read, 7)
          yield* executable.run(100)
          assert.strictEqual(yield* read, 707)
          assert.strictEqual(fake.get("launches"), launches, "nothing is launched one by one")
          assert.strictEqual(fake.get("replays") - replays, 101)
        })
      )
  )

  it.effect("moves data of any size and place, several at once, in the order in which it is asked", () =>
    onFake(
      Effect.fnUntraced(function* (device) {
        const size = 10 * 1024 * 1024 + 37
        const memory = yield* device.allocate(size)
        const image = Uint8Array.from({ length: size }, (_, i) => (i * 2654435761) >>> 24)
        yield* device.write(memory, 0, image)
        const inner = Uint8Array.of(1, 2, 3, 4, 5)
        const kept = inner.slice()
        yield* device.write(memory, 5_345_678, inner)
        inner.fill(0)
        image.set(kept, 5_345_678)
        const [whole, part] = [new Uint8Array(size), new Uint8Array(3 * 1024 * 1024)]
        yield* Effect.all([device.read(memory, 0, whole), device.read(memory, 5_345_670, part)], { concurrency: 2 })
        assert.strictEqual(Buffer.compare(whole, image), 0)
        assert.strictEqual(Buffer.compare(part, image.subarray(5_345_670, 5_345_670 + part.length)), 0)
        const beyond = yield* Effect.flip(device.write(memory, size - 4, new Uint8Array(5)))
        assert.match(beyond.message, /are not inside a memory/)
      })
    )
  )

  it.effect("tells an id out of range in the CPU device's words, and runs again when it is mended", () =>
    onFake(
      Effect.fnUntraced(function* (device) {
        const given = yield* allocated(device)
        const executable = yield* device.compile(
          { name: "faulty", memories: 3, launches: [fill(2), add, lookUp] },
          given
        )
        yield* device.write(given[2]!, 0, Int32Array.of(0, 4, 5, 1))
        const error = yield* Effect.flip(executable.run(3))
        assert.instanceOf(error, DeviceError)
        assert.strictEqual(error.message, "launch 2 (embedding): row 2 has 5, which is not from 0 to 4")
        yield* device.write(given[2]!, 0, Int32Array.of(0, 4, 3, 1))
        yield* executable.run()
      })
    )
  )

  it.effect("ends a run soon after all sequences are done", () =>
    onFake(
      Effect.fnUntraced(function* (device) {
        const state = yield* device.allocate(8192)
        const given = [...(yield* allocated(device)), state]
        const executable = yield* device.compile(
          { name: "sampling", memories: 4, launches: [fill(1), add, sampling(1024, 64)] },
          given
        )
        yield* device.write(state, 1024 * place.limits, Int32Array.of(10, 13))
        const replays = fake.get("replays")
        yield* executable.run(1_000_000)
        const [done, positions] = [new Int32Array(2), new Int32Array(2)]
        yield* device.read(state, 1024 * place.done, done)
        yield* device.read(state, 1024 * place.positions, positions)
        assert.deepStrictEqual([...done], [1, 1])
        assert.deepStrictEqual([...positions], [10, 13])
        assert.isAtMost(fake.get("replays") - replays, 13 + 24)
      })
    )
  )

  it.effect("stops between replays when it is interrupted, and can be run again", () =>
    onFake(
      Effect.fnUntraced(function* (device) {
        const given = yield* allocated(device)
        const executable = yield* device.compile({ name: "long", memories: 3, launches: [fill(1), add] }, given)
        const fiber = yield* Effect.forkChild(executable.run(2 ** 40))
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        yield* Fiber.interrupt(fiber)
        const before = new Float32Array(count)
        yield* device.read(given[1]!, 0, before)
        assert.isAbove(before[0]!, 0)
        assert.isTrue(before.every((value) => value === before[0]))
        yield* device.write(given[1]!, 0, new Float32Array(count))
        yield* executable.run(3)
        const after = new Float32Array(count)
        yield* device.read(given[1]!, 0, after)
        assert.isTrue(after.every((value) => value === 3))
      })
    )
  )

  it.effect("two cards are used at once, each in its own context", () =>
    withSetting(
      "cards",
      2,
      1,
      onFake((first) =>
        onFakeCard(1, (second) =>
          Effect.all(
            [first, second].map(
              Effect.fnUntraced(function* (device, index) {
                const given = yield* allocated(device)
                const executable = yield* device.compile(
                  { name: "sums", memories: 3, launches: [fill(index + 1), add] },
                  given
                )
                yield* executable.run(50)
                const out = new Float32Array(count)
                yield* device.read(given[1]!, 0, out)
                assert.strictEqual(out[0], 50 * (index + 1))
              })
            ),
            { concurrency: 2 }
          )
        )
      )
    )
  )

  const onFakeCard = <A, E>(
    card: number,
    use: (device: DeviceShape) => Effect.Effect<A, E, import("effect/Scope").Scope>
  ) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(cuda({ ...fake.options, card }))
      return yield* use(Context.get(context, Device))
    }).pipe(Effect.scoped)

  it.effect(
    "memory that is not to be had is told with what was asked and what is free, and is had again when it is freed",
    () =>
      withSetting(
        "memory",
        100 * 2 ** 20,
        2 ** 30,
        onFake(
          Effect.fnUntraced(function* (device) {
            const error = yield* Effect.gen(function* () {
              yield* device.allocate(40 * 2 ** 20)
              return yield* Effect.flip(device.allocate(60 * 2 ** 20))
            }).pipe(Effect.scoped)
            assert.isTrue(error.outOfMemory)
            assert.match(error.message, /^62914560 bytes \(0\.06 GiB\) .* 0\.03 GiB of 0\.10 GiB are free on the card/)
            yield* device.allocate(60 * 2 ** 20)
            const small = yield* device.allocate(4 * 8 * 4000)
            const buffers = ["x", "table", "targets", "dLogProbability", "logProbability", "dx"]
            const launch = {
              kernel: "lmHeadLoss",
              buffers: Object.fromEntries(buffers.map((name) => [name, { memory: 0, offset: 0 }])),
              integers: { rows: 64, width: 8, vocabulary: 4000, precision: 0 },
              reals: { inverseTemperature: 1 }
            } as unknown as AnyLaunch
            fake.set("memory", fake.get("deviceBytes") + 10_000)
            const scratch = yield* Effect.flip(
              device.compile({ name: "step", memories: 1, launches: [launch] }, [small])
            )
            assert.match(scratch.message, /bytes .* for the scratch of step are not to be had/)
            assert.isTrue(scratch.outOfMemory)
          })
        )
      )
  )

  it.effect("a kernel that fails is named, and nothing hangs after it", () =>
    Effect.gen(function* () {
      const other = yield* Effect.promise(() => makeFake(false))
      yield* Effect.gen(function* () {
        const device = Context.get(yield* Layer.build(cuda(other.options)), Device)
        const given = yield* allocated(device)
        const executable = yield* device.compile({ name: "sums", memories: 3, launches: [fill(2), add] }, given)
        other.set("failKernel", 5)
        const error = yield* Effect.flip(executable.run(100))
        assert.match(
          error.message,
          /^CUDA_ERROR_LAUNCH_FAILED \(unspecified launch failure\): a kernel or the card failed/
        )
        assert.strictEqual(error.operation, "sums")
        const after = yield* Effect.flip(device.read(given[0]!, 0, new Float32Array(1)))
        assert.match(after.message, /CUDA_ERROR_LAUNCH_FAILED/)
      }).pipe(Effect.scoped)
      other.remove()
    })
  )

  it.effect("products are by ptmflow's kernel where cuBLASLt has no algorithm, with the same result", () =>
    Effect.gen(function* () {
      const [m, n, k] = [5, 7, 9]
      const place = (slot: number) => ({ memory: 0, offset: 1024 * slot })
      const product: AnyLaunch = {
        kernel: "matmul",
        buffers: { a: place(0), b: place(1), bias: place(2), out: place(3) },
        integers: { m, n, k, transposeA: 1, transposeB: 1, accumulate: 0, activation: 0, precision: 0 },
        reals: {}
      }
      const compute = Effect.fnUntraced(function* (device: DeviceShape) {
        const memory = yield* device.allocate(8192)
        yield* device.write(
          memory,
          0,
          Float32Array.from({ length: m * k }, (_, i) => i % 5)
        )
        yield* device.write(
          memory,
          1024,
          Float32Array.from({ length: n * k }, (_, i) => (i % 7) - 3)
        )
        yield* device.write(
          memory,
          2048,
          Float32Array.from({ length: n }, (_, i) => i)
        )
        const executable = yield* device.compile({ name: "product", memories: 1, launches: [product] }, [memory])
        yield* executable.run()
        const out = new Float32Array(m * n)
        yield* device.read(memory, 3072, out)
        return [...out]
      })
      const expected = Array.from({ length: m * n }, (_, at) => {
        const [row, column] = [Math.floor(at / n), at % n]
        let total = column
        for (let i = 0; i < k; i++) total += ((i * m + row) % 5) * (((column * k + i) % 7) - 3)
        return total
      })
      const products = fake.get("products")
      assert.deepStrictEqual(yield* onFake(compute), expected)
      assert.strictEqual(fake.get("products"), products + 1)
      assert.deepStrictEqual(yield* withSetting("algorithms", 0, 1, onFake(compute)), expected)
      assert.strictEqual(fake.get("products"), products + 1)
    })
  )

  it.effect("kernels are compiled once, and again where what was kept is damaged; a compiler's errors are told", () =>
    Effect.gen(function* () {
      const compiled = Effect.fnUntraced(function* (device: DeviceShape) {
        const before = fake.get("compilations")
        yield* device.compile({ name: "sums", memories: 3, launches: [fill(1)] }, yield* allocated(device))
        return fake.get("compilations") - before
      })
      const cacheDirectory = join(fake.options.cacheDirectory, "kept")
      const compile = onFake(compiled, { cacheDirectory })
      assert.strictEqual(yield* compile, 1)
      assert.strictEqual(yield* compile, 0)
      const folder = join(cacheDirectory, "cuda")
      const [file] = readdirSync(folder).filter((name) => name.startsWith("elementwise.cu"))
      const path = join(folder, file!)
      const whole = readFileSync(path)
      for (const damaged of [whole.subarray(0, whole.length - 9), Buffer.alloc(whole.length), Buffer.alloc(0)]) {
        writeFileSync(path, damaged)
        assert.strictEqual(yield* compile, 1)
        assert.deepStrictEqual(readFileSync(path), whole)
      }
      assert.strictEqual(readdirSync(folder).length, 1, "nothing half-written is left")
      writeFileSync(path, "")
      const error = yield* Effect.flip(withSetting("compileError", 1, 0, compile))
      assert.match(
        error.message,
        /NVRTC 12\.4 cannot compile elementwise\.cu for sm_90 \(error 6\):\nfile\.cu\(3\): error/
      )
      assert.notMatch(error.message, /warning/)
    })
  )

  it.effect("its description, and what stands in its way", () =>
    Effect.gen(function* () {
      const description = yield* onFake((device) => Effect.succeed(device.description))
      assert.strictEqual(description, "Fake H100, compute capability 9.0, 1 GiB, CUDA 12.4, libfake.so")
      const { cards, driver, problem } = yield* describeCuda(fake.options)
      assert.isNull(problem)
      assert.strictEqual(driver!.cuda, "12.4")
      assert.deepStrictEqual(
        cards.map(({ name, capability, multiprocessors }) => ({ name, capability, multiprocessors })),
        [{ name: "Fake H100", capability: 90, multiprocessors: 6 }]
      )
      const refused = (options: CudaOptions) =>
        Effect.flip(Effect.scoped(Layer.build(cuda({ ...fake.options, ...options }))))
      assert.match((yield* refused({ card: 1 })).message, /there is no card 1: the driver shows 1/)
      const old = yield* withSetting("capability", 75, 90, refused({}))
      assert.match(old.message, /Fake H100 has compute capability 7\.5: 8\.0/)
      const former = yield* withSetting("version", 11080, 12040, refused({}))
      assert.match(former.message, /the NVIDIA driver is of CUDA 11\.8/)
      const nothing = yield* refused({ libraries: { driver: join(fake.options.cacheDirectory, "none.so") } })
      assert.match(nothing.message, /none\.so cannot be loaded/)
    })
  )
})
