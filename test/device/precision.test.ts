import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Activation, Precision } from "../../src/device/kernel.ts"
import { close, dot, random, run, sameBits, transposes, zeros } from "./launch.ts"

const word = new Uint32Array(1)
const single = new Float32Array(word.buffer)
/** The nearest number with 8 bits of mantissa, the even one of two that are as near: by candidates, not by adding bits. */
const bf16 = (x: number): number => {
  single[0] = x
  if (!Number.isFinite(single[0])) return single[0]
  const value = single[0]
  const low = word[0]! & 0xffff0000
  const [below, above] = [low, low + 0x10000].map((bits) => {
    word[0] = bits
    return single[0]!
  }) as [number, number]
  // What is above the largest number counts as 2^128 (IEEE 754, 7.4).
  const distance = (to: number) => Math.abs(value - (Number.isFinite(to) ? to : Math.sign(to) * 2 ** 128))
  const [down, up] = [distance(below), distance(above)]
  if (down !== up) return down < up ? below : above
  return (low >>> 16) % 2 === 0 ? below : above
}
const rounded = (values: Float64Array) => values.map(bf16)

const integers = (m: number, n: number, k: number, transposeA: number, transposeB: number, precision: number) => ({
  m,
  n,
  k,
  transposeA,
  transposeB,
  accumulate: 0,
  activation: Activation.none,
  precision
})

const sizes: ReadonlyArray<readonly [m: number, n: number, k: number]> = [
  [1, 1, 1],
  [3, 37, 70],
  [16, 16, 300],
  [37, 70, 513],
  [97, 130, 64],
  [50, 4133, 20],
  [517, 33, 900]
]

describe("the reference rounding", () => {
  it("is to nearest, ties to even", () => {
    assert.strictEqual(bf16(1 + 2 ** -8), 1)
    assert.strictEqual(bf16(1 + 3 * 2 ** -8), 1 + 2 ** -6)
    assert.strictEqual(bf16(1 + 2 ** -8 + 2 ** -20), 1 + 2 ** -7)
    assert.strictEqual(bf16(-Math.PI), -3.140625)
  })
})

layer(cpu({ threads: 2, real: "f32" }))("matrix products in bf16", (it) => {
  for (const [m, n, k] of sizes) {
    it.effect(`${m} x ${n} x ${k} round their factors and sum in f32`, () =>
      Effect.gen(function* () {
        const [a, b] = [random(1, m * k), random(2, k * n)]
        for (const [transposeA, transposeB] of transposes) {
          const launch = (x: Float64Array, y: Float64Array, precision: number) =>
            run("matmul", { a: x, b: y, out: zeros(m * n) }, integers(m, n, k, transposeA, transposeB, precision), {})
          const { out } = yield* launch(a, b, Precision.bf16)
          const [ra, rb] = [rounded(a), rounded(b)]
          const expected = zeros(m * n)
          for (let i = 0; i < m; i++)
            for (let j = 0; j < n; j++)
              for (let t = 0; t < k; t++)
                expected[i * n + j]! +=
                  ra[transposeA ? t * m + i : i * k + t]! * rb[transposeB ? j * k + t : t * n + j]!
          // As for f32: the factors' products are exact, only their sum is rounded.
          close(out, expected, 1e-6 * Math.sqrt(k), `transposes ${transposeA} ${transposeB}`)
          const exact = yield* launch(a, b, Precision.f32)
          if (k > 16)
            assert.isTrue(
              exact.out.some((value, i) => Math.abs(value - out[i]!) > 1e-3),
              "f32 is not bf16"
            )
        }
      })
    )
  }

  it.effect("round ties to even, keep infinities, signs and NaN, and overflow to infinity", () =>
    Effect.gen(function* () {
      const special = [1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -8, 3.4e38, -Infinity, NaN, -0, 1e-39, 2 ** -126]
      const n = 40
      const a = Float64Array.from({ length: n }, (_, i) => special[i % special.length]!)
      for (const transposeB of [0, 1]) {
        const { out } = yield* run(
          "matmul",
          { a: Float64Array.of(1), b: a, out: zeros(n) },
          integers(1, n, 1, 0, transposeB, Precision.bf16),
          {}
        )
        assert.deepStrictEqual(
          [...out].map((x) => x + 0),
          [...rounded(a)].map((x) => x + 0)
        )
      }
    })
  )

  it.effect("the language-model head is that of rounded factors, and its three kernels agree", () =>
    Effect.gen(function* () {
      const [rows, width, vocabulary] = [37, 48, 259]
      const [x, table] = [random(1, rows * width), random(2, vocabulary * width, 0.3)]
      const targets = Int32Array.from({ length: rows }, (_, row) => (row % 5 === 4 ? -1 : (row * 31) % vocabulary))
      const sizes = { rows, width, vocabulary, precision: Precision.bf16 }
      const scale = { inverseTemperature: 1 }
      const column = () => zeros(rows)
      const given = { x, table, targets }
      const forward = yield* run(
        "lmHead",
        { ...given, logProbability: column(), entropy: column(), logSumExp: column() },
        sizes,
        scale
      )
      const exact = yield* run(
        "lmHead",
        { x: rounded(x), table: rounded(table), targets, logProbability: column(), logSumExp: column() },
        { ...sizes, precision: Precision.f32 },
        scale
      )
      close(forward.logProbability, exact.logProbability, 1e-5, "logProbability")
      const dLogProbability = random(3, rows)
      const gradients = { dx: zeros(x.length), dTable: zeros(table.length) }
      const back = yield* run(
        "lmHeadGradient",
        {
          ...given,
          logSumExp: forward.logSumExp,
          entropy: forward.entropy,
          dLogProbability,
          dEntropy: column(),
          ...gradients
        },
        sizes,
        scale
      )
      const loss = yield* run(
        "lmHeadLoss",
        { ...given, dLogProbability, logProbability: column(), dx: zeros(x.length), dTable: zeros(table.length) },
        sizes,
        scale
      )
      sameBits(loss.logProbability, forward.logProbability, "logProbability of lmHeadLoss")
      // Rounding to 8 bits turns the last bits of a derivative into one step of 2^-8 of it.
      close(loss.dx, back.dx, 2e-3, "dx")
      close(loss.dTable, back.dTable, 2e-3, "dTable")
      const f32 = yield* run(
        "lmHeadLoss",
        { ...given, dLogProbability, logProbability: column(), dx: zeros(x.length), dTable: zeros(table.length) },
        { ...sizes, precision: Precision.f32 },
        scale
      )
      const norm = (values: Float64Array) => Math.hypot(...values)
      const apart = (a: Float64Array, b: Float64Array) => norm(a.map((value, i) => value - b[i]!)) / norm(b)
      for (const name of ["dx", "dTable"] as const) {
        assert.isBelow(apart(loss[name], f32[name]), 1e-2)
        assert.isAbove(apart(loss[name], f32[name]), 1e-5)
      }
    })
  )
})

layer(cpu({ threads: 2, real: "f64" }))("attention in bf16", (it) => {
  it.effect("rounds what its products multiply, forward and backward, and nothing else", () =>
    Effect.gen(function* () {
      const [length, width] = [45, 6]
      const sizes = { batch: 1, length, heads: 1, keyHeads: 1, headWidth: width, precision: Precision.bf16 }
      const [qkv, dOut] = [random(1, length * 3 * width), random(2, length * width)]
      const [out, logSumExp] = [zeros(length * width), zeros(length)]
      const forward = yield* run("attention", { qkv, out, logSumExp }, sizes, {})
      const given = { dOut, qkv, out: forward.out, logSumExp: forward.logSumExp, dQkv: zeros(qkv.length) }
      const { dQkv } = yield* run("attentionGradient", given, sizes, {})

      const part = (t: number, which: number) =>
        rounded(qkv.slice((t * 3 + which) * width, (t * 3 + which + 1) * width))
      const [q, k, v] = [0, 1, 2].map((which) => Array.from({ length }, (_, t) => part(t, which))) as [
        Array<Float64Array>,
        Array<Float64Array>,
        Array<Float64Array>
      ]
      const scale = 1 / Math.sqrt(width)
      const [expected, sums, gradient] = [zeros(length * width), zeros(length), zeros(qkv.length)]
      const add = (to: Float64Array, at: number, by: number, x: Float64Array) => {
        for (let d = 0; d < width; d++) to[at + d]! += by * x[d]!
      }
      for (let i = 0; i < length; i++) {
        const scores = Array.from({ length: i + 1 }, (_, j) => scale * dot(q[i]!, k[j]!))
        const top = Math.max(...scores)
        const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0)
        sums[i] = top + Math.log(total)
        const dO = dOut.slice(i * width, (i + 1) * width)
        const along = dot(dO, forward.out.subarray(i * width, (i + 1) * width))
        scores.forEach((score, j) => {
          add(expected, i * width, bf16(Math.exp(score - top)) / total, v[j]!)
          const weight = Math.exp(score - sums[i]!)
          const slope = bf16(weight * (dot(rounded(dO), v[j]!) - along))
          add(gradient, i * 3 * width, scale * slope, k[j]!)
          add(gradient, (j * 3 + 1) * width, scale * slope, q[i]!)
          add(gradient, (j * 3 + 2) * width, bf16(weight), rounded(dO))
        })
      }
      close(forward.out, expected, 1e-12, "out")
      close(forward.logSumExp, sums, 1e-12, "logSumExp")
      close(dQkv, gradient, 1e-12, "dQkv")
    })
  )
})
