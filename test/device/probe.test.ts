/** The numerics class of a device (row 7 of the table of features). */
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { defaultCache } from "../../src/device/cache.ts"
import { libraryPath } from "../../src/device/cpu/build.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { findCompiler, numerics } from "../../src/device/cpu/toolchain.ts"
import { Device, type DeviceShape } from "../../src/device/device.ts"
import { type KernelName, kernels } from "../../src/device/kernel.ts"
import { cases, probe, probeVersion } from "../../src/device/probe.ts"

const on = <A, E>(effect: Effect.Effect<A, E, Device>, options: Parameters<typeof cpu>[0] = {}) =>
  Effect.provide(effect, cpu(options))

/** A device that computes one kernel a little differently: an operand that it takes is another by as little as may be. */
const slightlyOther = (device: DeviceShape, kernel: KernelName): DeviceShape => ({
  ...device,
  compile: (program, memories) =>
    device.compile(
      {
        ...program,
        launches: program.launches.flatMap((launch) => {
          if (launch.kernel !== kernel) return [launch]
          const out = Object.values(launch.buffers as Record<string, { memory: number; offset: number }>).at(-1)!
          return [
            launch,
            { kernel: "add", buffers: { a: out, b: out, out }, integers: { count: 1 }, reals: {} } as const
          ]
        })
      },
      memories
    )
})

describe("the probe (row 7)", () => {
  it("runs every kernel of the table", () => {
    assert.deepStrictEqual([...new Set(cases.map(({ kernel }) => kernel))].sort(), Object.keys(kernels).sort())
  })

  it.live("gives the same class each time and for any number of threads, and another for other reals", () =>
    Effect.gen(function* () {
      const once = Effect.flatMap(Device, probe)
      const one = yield* on(once, { threads: 1 })
      assert.match(one, /^[0-9a-f]{64}$/)
      assert.strictEqual(yield* on(once, { threads: 2 }), one)
      assert.strictEqual(yield* on(Effect.flatMap(Device, ({ numerics }) => numerics)), one)
      assert.notStrictEqual(yield* on(once, { real: "f64" }), one)
    })
  )

  it.live("gives another where any one kernel gives other bits", () =>
    on(
      Effect.gen(function* () {
        const device = yield* Device
        const classes = new Set([yield* probe(device)])
        for (const kernel of Object.keys(kernels) as ReadonlyArray<KernelName>) {
          // Drawn tokens are integers: adding two of them is as good.
          classes.add(yield* probe(slightlyOther(device, kernel)))
        }
        assert.strictEqual(classes.size, 1 + Object.keys(kernels).length)
      })
    )
  )

  it.live("is remembered beside the library: the next process loads no library to know it", () =>
    Effect.gen(function* () {
      const compiler = findCompiler(defaultCache())
      const library = libraryPath(defaultCache(), numerics(compiler, "f32"), "f32")
      const known = yield* on(Effect.flatMap(Device, ({ numerics }) => numerics))
      const file = library.replace("kernels.so", `numerics-${probeVersion()}`)
      assert.strictEqual(fs.readFileSync(file, "utf8"), known)
    })
  )
})
