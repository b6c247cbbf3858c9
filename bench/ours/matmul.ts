/** One product of two square matrices on the CPU device. */
import * as Effect from "effect/Effect"
import { Device } from "../../src/device/device.ts"
import { Activation, type AnyLaunch, Precision } from "../../src/device/kernel.ts"
import type { MatmulSpec, Open } from "./work.ts"

export const matmul: Open<MatmulSpec> = Effect.fnUntraced(function* ({ size }) {
  const device = yield* Device
  const memories = yield* Effect.forEach([1, 2, 3], () => device.allocate(4 * size * size))
  const values = Float32Array.from({ length: size * size }, (_, i) => ((i * 7919) % 1999) / 2000 - 0.5)
  for (const memory of memories) yield* device.write(memory, 0, values)
  const at = (memory: number) => ({ memory, offset: 0 })
  const launch: AnyLaunch = {
    kernel: "matmul",
    buffers: { a: at(0), b: at(1), out: at(2) },
    integers: {
      m: size,
      n: size,
      k: size,
      transposeA: 0,
      transposeB: 0,
      accumulate: 0,
      activation: Activation.none,
      precision: Precision.f32
    },
    reals: {}
  }
  const product = yield* device.compile({ name: "matmul", memories: 3, launches: [launch] }, memories)
  yield* product.run()
  return { opened: {}, again: product.run() }
})
