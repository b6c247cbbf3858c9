import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Device } from "../../src/device/device.ts"
import type { AnyLaunch } from "../../src/device/kernel.ts"
import { initialize, type ModelConfig } from "../../src/engine/model.ts"
import * as Programs from "../../src/engine/programs.ts"
import * as Session from "../../src/engine/session.ts"

const config: ModelConfig = {
  family: "gpt2",
  layers: 1,
  heads: 1,
  width: 16,
  vocabulary: 32,
  context: 16,
  scalarHead: false
}
const count = 1 << 20
const at = { memory: 0, offset: 0 }
const double: AnyLaunch = { kernel: "add", buffers: { a: at, b: at, out: at }, integers: { count }, reals: {} }

/** Runs an effect beside a timer of 1 ms: how long it took, and how long the timer waited for a turn at most (ms). */
const besideTimer = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const started = performance.now()
    let last = started
    let longest = 0
    const tick = () => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
    }
    const timer = setInterval(tick, 1)
    yield* effect
    clearInterval(timer)
    tick()
    return { took: last - started, longest }
  })

/** Whether what waited for its turn before an effect began got it before the effect ended. */
const givesTurn = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    let turn = false
    const waiting = setImmediate(() => {
      turn = true
    })
    yield* effect
    clearImmediate(waiting)
    return turn
  })

layer(cpu({ threads: 2 }), { excludeTestServices: true })("the event loop", (it) => {
  it.effect("turns while a program runs", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const memory = yield* device.allocate(4 * count)
      const { run } = yield* device.compile({ name: "double", memories: 1, launches: [double] }, [memory])
      // Long enough for the timer, however fast or busy the machine is.
      let times = 64
      let beside = yield* besideTimer(run(times))
      while (beside.took < 300) {
        times *= 2
        beside = yield* besideTimer(run(times))
      }
      assert.isBelow(beside.longest, beside.took / 3)
    })
  )

  it.effect("turns while a model's program is placed and compiled", () =>
    Effect.gen(function* () {
      const { load } = yield* Session.make(initialize(config, 1))
      const { plan } = Programs.languageModel(config, { batch: 2, length: 16 }, "f32")
      const placing = Effect.map(load(plan), (loaded) => loaded.executable("turns"))
      assert.isTrue(yield* givesTurn(placing))
      const compiling = yield* placing
      assert.isTrue(yield* givesTurn(compiling))
    })
  )

  it.effect("turns while large memory is cleared, written and read, and every byte arrives", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const bytes = 64 * count
      assert.isTrue(yield* givesTurn(Effect.scoped(device.allocate(bytes))))
      const memory = yield* device.allocate(bytes)
      const data = Uint32Array.from({ length: bytes / 4 }, (_, i) => Math.imul(i, 0x9e3779b9))
      const read = new Uint32Array(data.length)
      yield* device.read(memory, 0, read)
      assert.isTrue(read.every((word) => word === 0))
      assert.isTrue(yield* givesTurn(device.write(memory, 0, data)))
      assert.isTrue(yield* givesTurn(device.read(memory, 0, read)))
      assert.strictEqual(Buffer.compare(Buffer.from(read.buffer), Buffer.from(data.buffer)), 0)
    })
  )
})
