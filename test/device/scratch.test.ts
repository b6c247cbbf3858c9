/** The device fails a run whose kernels wrote past their scratch: here are the shapes at which that could happen. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Precision } from "../../src/device/kernel.ts"
import { philox } from "../../src/device/philox.ts"
import { random, run, zeros } from "./launch.ts"

layer(cpu({ threads: 2 }))("kernels stay inside their scratch", (it) => {
  it.effect("heads whose last chunk of rows is shallower than the others", () =>
    Effect.gen(function* () {
      for (const [rows, width, vocabulary] of [
        [2432, 64, 2048],
        [3072, 32, 2048],
        [640, 48, 6288],
        [300, 32, 16384],
        [700, 24, 9000]
      ] as const) {
        const sizes = { rows, width, vocabulary, precision: Precision.f32 }
        const given = {
          x: random(1, rows * width),
          table: random(2, vocabulary * width),
          targets: Int32Array.from({ length: rows }, (_, row) => row % vocabulary)
        }
        const scale = { inverseTemperature: 1 }
        const column = () => zeros(rows)
        const forward = { ...given, logProbability: column(), entropy: column(), logSumExp: column() }
        const { entropy, logSumExp } = yield* run("lmHead", forward, sizes, scale)
        const gradients = {
          dLogProbability: random(3, rows),
          dx: zeros(rows * width),
          dTable: zeros(vocabulary * width)
        }
        const derivatives = { ...given, logSumExp, entropy, dEntropy: random(4, rows), ...gradients }
        yield* run("lmHeadGradient", derivatives, sizes, scale)
        yield* run("lmHeadLoss", { ...given, logProbability: column(), ...gradients }, sizes, scale)
      }
    })
  )

  it.effect("products of many shapes", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 120; i++) {
        const [a, b, c, d] = philox([1, 2], [i, 0, 0, 0])
        const [m, n, k] = [1 + (a % (i % 3 === 0 ? 18 : 150)), 1 + (b % (i % 10 === 0 ? 5000 : 400)), 1 + (c % 900)]
        const integers = {
          m,
          n,
          k,
          transposeA: d & 1,
          transposeB: (d >> 1) & 1,
          accumulate: (d >> 2) & 1,
          activation: 0,
          precision: (d >> 3) & 1
        }
        yield* run("matmul", { a: random(1, m * k), b: random(2, k * n), out: zeros(m * n) }, integers, {})
      }
    })
  )

  it.effect("attention at many lengths and widths", () =>
    Effect.gen(function* () {
      const [batch, heads] = [2, 3]
      for (const length of [1, 7, 37, 70, 96, 130]) {
        for (const headWidth of [8, 16, 24, 32, 64]) {
          const sizes = { batch, length, heads, keyHeads: heads, headWidth }
          const c = heads * headWidth
          const given = { qkv: random(1, batch * length * 3 * c), out: zeros(batch * length * c) }
          const forward = { ...given, logSumExp: zeros(batch * heads * length) }
          const { logSumExp, out } = yield* run("attention", forward, sizes, {})
          const backward = {
            dOut: random(2, out.length),
            qkv: given.qkv,
            out,
            logSumExp,
            dQkv: zeros(given.qkv.length)
          }
          yield* run("attentionGradient", backward, sizes, {})
        }
      }
    })
  )
})
