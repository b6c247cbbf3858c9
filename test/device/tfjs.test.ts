/** The TensorFlow.js device where it does not depend on the backend: on WASM, which is always there. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, layer, it as plain } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Device, DeviceError } from "../../src/device/device.ts"
import { backendNames, describeTfjs, tfjs } from "../../src/device/tfjs/tfjs.ts"
import { attempt, random, run, sameBits, zeros } from "./launch.ts"

const wasm = tfjs({ backend: "wasm" })
const onCpu = <A, E>(effect: Effect.Effect<A, E, Device>) => Effect.provide(effect, cpu({ threads: 1 }))

plain.effect("a backend that is missing is a DeviceError that says what to install", () =>
  Effect.gen(function* () {
    const { backends, chosen } = yield* describeTfjs()
    assert.deepStrictEqual(
      backends.map(({ name }) => name),
      [...backendNames]
    )
    for (const { found, name, problem } of backends) {
      if (problem === null) continue
      assert.isNull(found)
      const error = yield* Effect.flip(Effect.provide(Device, tfjs({ backend: name })))
      assert.instanceOf(error, DeviceError)
      assert.include(error.message, name)
      assert.match(error.message, /install/)
    }
    const { description } = yield* Effect.provide(Device, tfjs())
    assert.include(description, chosen === "wasm" ? "WebAssembly with SIMD" : "")
    for (const name of backendNames.slice(0, backendNames.indexOf(chosen!))) assert.include(description, name)
  })
)

plain("TensorFlow's library on a GPU comes first where it is installed, with what Node took away from it", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, "tfjs/node-gpu.mjs")])
  assert.strictEqual(stdout, `TensorFlow.js 4.22.0, TensorFlow's library: 5\n`)
})

plain.live("programs of two backends run beside each other, and give what each gives alone", () =>
  Effect.gen(function* () {
    const size = 300
    const program = Effect.gen(function* () {
      const device = yield* Device
      const memory = yield* device.allocate(8 * size)
      yield* device.write(
        memory,
        0,
        Float32Array.from({ length: size }, (_, i) => i / 7)
      )
      const [x, out] = [
        { memory: 0, offset: 0 },
        { memory: 0, offset: 4 * size }
      ]
      const launches = [
        { kernel: "gelu", buffers: { x, out, slope: x }, integers: { count: size }, reals: {} },
        { kernel: "add", buffers: { a: x, b: out, out }, integers: { count: size }, reals: {} }
      ] as const
      const { run } = yield* device.compile({ name: "both", memories: 1, launches }, [memory])
      const sums = new Float32Array(size)
      for (let turn = 0; turn < 5; turn++) {
        yield* run()
        yield* device.read(memory, 4 * size, sums)
        yield* Effect.sleep(turn)
      }
      return Array.from(sums)
    }).pipe(Effect.scoped)
    const backends = ["js", "wasm", "js", "wasm"] as const
    const each = backends.map((backend) => Effect.provide(program, tfjs({ backend })))
    assert.deepStrictEqual(yield* Effect.all(each, { concurrency: "unbounded" }), yield* Effect.all(each))
  })
)

layer(wasm, { excludeTestServices: true })("the tfjs device", (it) => {
  it.effect("draws the tokens that the CPU device draws, and ends as it does", () =>
    Effect.gen(function* () {
      const [batch, width, vocabulary, times] = [40, 16, 300, 24]
      const capacity = times + 4
      for (const settings of [
        { temperature: 1, topK: 0, topP: 1, endToken: 7 },
        { temperature: 0.7, topK: 30, topP: 1, endToken: -1 },
        { temperature: 1.3, topK: 0, topP: 0.8, endToken: 11 },
        { temperature: 0, topK: 0, topP: 1, endToken: -1 }
      ]) {
        const { endToken, temperature, topK, topP } = settings
        const draw = run(
          "sample",
          {
            x: random(1, batch * width),
            table: random(2, vocabulary * width, 0.7),
            keys: Int32Array.from({ length: 2 * batch }, (_, i) => i * 7919 - 3),
            limits: Int32Array.from({ length: batch }, (_, b) => 3 + (b % times)),
            ids: new Int32Array(batch),
            positions: Int32Array.from({ length: batch }, (_, b) => b % 3),
            done: Int32Array.from({ length: batch }, (_, b) => (b % 9 === 4 ? 1 : 0)),
            tokens: new Int32Array(batch * capacity).fill(-1),
            logProbability: zeros(batch * capacity)
          },
          { batch, width, vocabulary, capacity, topK, endToken },
          { temperature, topP },
          times
        )
        const [theirs, ours] = [yield* draw, yield* onCpu(draw)]
        for (const name of ["tokens", "positions", "done", "ids"] as const) sameBits(theirs[name], ours[name], name)
        ours.logProbability.forEach((value, i) => {
          assert.closeTo(theirs.logProbability[i]!, value, 1e-5)
        })
      }
    })
  )

  it.effect("an output may be an input, and lie beside what it does not touch", () =>
    Effect.gen(function* () {
      const [a, b] = [random(1, 1000), random(2, 1000)]
      const sum = a.map((value, i) => Math.fround(value + b[i]!))
      sameBits((yield* run("add", { a, b, out: a }, { count: 1000 }, {})).out, sum)
      sameBits((yield* run("add", { a, b, out: b }, { count: 1000 }, {})).out, sum)
      sameBits(
        (yield* run("add", { a, b: a, out: a }, { count: 1000 }, {}, 3)).out,
        a.map((value) => Math.fround(8 * value))
      )
    })
  )

  it.effect("prompts are written to the slots that they are given, and over no other", () =>
    Effect.gen(function* () {
      const sizes = { batch: 3, length: 5, slots: 4, capacity: 37, heads: 4, keyHeads: 2, headWidth: 6 }
      const { batch, capacity, headWidth, heads, keyHeads, length, slots } = sizes
      const write = run(
        "cacheWrite",
        {
          qkv: random(1, batch * length * (heads + 2 * keyHeads) * headWidth),
          places: Int32Array.of(2, -1, 0),
          keys: random(2, slots * keyHeads * 48 * headWidth),
          values: random(3, slots * keyHeads * capacity * headWidth)
        },
        sizes,
        {}
      )
      const [theirs, ours] = [yield* write, yield* onCpu(write)]
      sameBits(theirs.keys, ours.keys, "keys")
      sameBits(theirs.values, ours.values, "values")
    })
  )

  it.effect(
    "an id, a target or a position out of range is the same error as on the CPU device, and changes nothing",
    () =>
      Effect.gen(function* () {
        const ids = Int32Array.of(1, 2, 11, 0)
        const sizes = { rows: 4, width: 8, vocabulary: 11, context: 0 }
        const lookup = attempt("embedding", { ids, tokenTable: random(1, 88), out: random(2, 32) }, sizes, {})
        const [capacity, headWidth] = [6, 8]
        const decode = attempt(
          "decodeAttention",
          {
            qkv: random(1, 24),
            positions: Int32Array.of(6),
            keys: random(2, 16 * headWidth),
            values: random(3, capacity * headWidth),
            out: random(4, 8)
          },
          { batch: 1, capacity, heads: 1, keyHeads: 1, headWidth },
          {}
        )
        const messageOf = (exit: Exit.Exit<void, DeviceError>) =>
          Effect.map(Effect.flip(exit), ({ message }) => message)
        const [theirs, ours] = [yield* lookup, yield* onCpu(lookup)]
        assert.strictEqual(yield* messageOf(theirs.exit), yield* messageOf(ours.exit))
        sameBits(theirs.results.out, random(2, 32), "out")
        const [decoded, onTheCpu] = [yield* decode, yield* onCpu(decode)]
        assert.strictEqual(yield* messageOf(decoded.exit), yield* messageOf(onTheCpu.exit))
        sameBits(decoded.results.keys, random(2, 16 * headWidth), "keys")
      })
  )

  it.effect("interrupting a run stops it between launches, and the event loop turns meanwhile", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const count = 100_000
      const memory = yield* device.allocate(8 * count)
      const [x, out] = [
        { memory: 0, offset: 0 },
        { memory: 0, offset: 4 * count }
      ]
      yield* device.write(
        memory,
        0,
        Float32Array.from({ length: count }, () => 1)
      )
      const launch = { kernel: "add", buffers: { a: x, b: out, out }, integers: { count }, reals: {} } as const
      const program = yield* device.compile({ name: "count", memories: 1, launches: [launch] }, [memory])
      const fiber = yield* Effect.forkChild(program.run(1_000_000))
      yield* Effect.sleep("60 millis")
      yield* Fiber.interrupt(fiber)
      const sums = new Float32Array(count)
      yield* device.read(memory, 4 * count, sums)
      assert.isAbove(sums[0]!, 0)
      assert.isBelow(sums[0]!, 1_000_000)
      assert.isTrue(sums.every((sum) => sum === sums[0]))
      // Nothing runs on behind.
      yield* Effect.sleep("20 millis")
      yield* device.read(memory, 4 * count, sums)
      assert.isTrue(sums.every((sum) => sum === sums[0]))
    })
  )

  it.effect("the numerics class is the same each time, and not that of another device", () =>
    Effect.gen(function* () {
      const { numerics } = yield* Device
      const one = yield* numerics
      assert.match(one, /^[0-9a-f]{64}$/)
      assert.strictEqual(yield* Effect.flatMap(Device, (device) => device.numerics).pipe(Effect.provide(wasm)), one)
      assert.notStrictEqual(yield* onCpu(Effect.flatMap(Device, (device) => device.numerics)), one)
    })
  )

  it.effect("bytes that are outside a memory or no whole numbers are refused", () =>
    Effect.gen(function* () {
      const device = yield* Device
      const memory = yield* device.allocate(16)
      for (const [offset, bytes] of [
        [-4, 4],
        [12, 8],
        [2, 4],
        [0, 6]
      ] as const) {
        const exit = yield* Effect.exit(device.write(memory, offset, new Uint8Array(bytes)))
        assert.isTrue(Exit.isFailure(exit), `${offset}, ${bytes}`)
      }
    })
  )
})
