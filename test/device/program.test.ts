import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Device, DeviceError } from "../../src/device/device.ts"
import type { AnyLaunch } from "../../src/device/kernel.ts"
import { add, count, fill, lookUp, place, sampling, sizes } from "./small-programs.ts"

const memories = Effect.gen(function* () {
  const device = yield* Device
  return yield* Effect.all(sizes.map((bytes) => device.allocate(bytes)))
})

layer(cpu({ threads: 2, real: "f32" }), { excludeTestServices: true })("a program", (it) => {
  it.effect("runs its launches in order, as many times as it is told; memory is zero at first", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const given = yield* memories
      const read = Effect.gen(function* () {
        const out = new Float32Array(count)
        yield* device.read(given[1]!, 0, out)
        assert.isTrue(out.every((value) => value === out[0]))
        return out[0]
      })
      const program = { name: "sums", memories: 3, launches: [fill(2), add, fill(5), add] }
      const executable = yield* device.compile(program, given)
      assert.strictEqual(yield* read, 0)
      yield* executable.run()
      assert.strictEqual(yield* read, 7)
      yield* executable.run(100)
      assert.strictEqual(yield* read, 707)
    })
  )

  it.effect("ends when every sequence of its sampling is done, and not before", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const state = yield* device.allocate(4096)
      const given = [...(yield* memories), state]
      const executable = yield* device.compile(
        { name: "sampling", memories: 4, launches: [fill(1), add, sampling(256, 8), add] },
        given
      )
      yield* device.write(state, 256 * place.limits, Int32Array.of(1, 3))
      yield* executable.run(5)
      const [done, positions, out] = [new Int32Array(2), new Int32Array(2), new Float32Array(1)]
      yield* device.read(state, 256 * place.done, done)
      yield* device.read(state, 256 * place.positions, positions)
      yield* device.read(given[1]!, 0, out)
      assert.deepStrictEqual([...done], [1, 1])
      assert.deepStrictEqual([...positions], [1, 3])
      assert.strictEqual(out[0], 5, "two whole rounds, and the third up to its sampling")
    })
  )

  it.effect("stops at a launch with an id out of range, names it, and runs again when the id is mended", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const given = yield* memories
      const executable = yield* device.compile(
        { name: "faulty", memories: 3, launches: [fill(2), add, lookUp, fill(9)] },
        given
      )
      yield* device.write(given[2]!, 0, Int32Array.of(0, 4, 5, 1))
      const error = yield* Effect.flip(executable.run(3))
      assert.instanceOf(error, DeviceError)
      assert.match(error.message, /launch 2 \(embedding\): row 2 has 5/)
      const out = new Float32Array(count)
      yield* device.read(given[0]!, 0, out)
      assert.isTrue(
        out.every((value) => value === 2),
        "the launch after it did not run"
      )
      yield* device.read(given[1]!, 0, out)
      assert.strictEqual(out[0], 2, "nor did a second round")

      yield* device.write(given[2]!, 0, Int32Array.of(0, 4, 3, 1))
      yield* executable.run()
      yield* device.read(given[0]!, 0, out)
      assert.isTrue(out.every((value) => value === 9))
    })
  )

  it.effect("stops between launches when it is interrupted, and can be run again", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const given = yield* memories
      const executable = yield* device.compile({ name: "long", memories: 3, launches: [fill(1), add] }, given)
      const fiber = yield* Effect.forkChild(executable.run(2 ** 40))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(fiber)
      const before = new Float32Array(count)
      yield* device.read(given[1]!, 0, before)
      assert.isTrue(
        before.every((value) => value === before[0]),
        "no launch was cut short"
      )
      yield* device.write(given[1]!, 0, new Float32Array(count))
      yield* executable.run(3)
      const after = new Float32Array(count)
      yield* device.read(given[1]!, 0, after)
      assert.isTrue(after.every((value) => value === 3))
    })
  )

  it.effect("that does not fit its memories is refused before it runs", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const given = yield* memories
      const launches = [fill(1), { ...add, integers: { count: count + 1 } } as AnyLaunch]
      const error = yield* Effect.flip(device.compile({ name: "too long", memories: 3, launches }, given))
      assert.match(error.message, /launch 1 \(add\): buffer a/)
      const range = yield* Effect.flip(device.write(given[2]!, 8, new Float32Array(3)))
      assert.instanceOf(range, DeviceError)
      const negative = yield* Effect.flip(device.read(given[2]!, -4, new Float32Array(1)))
      assert.instanceOf(negative, DeviceError)
    })
  )
})
