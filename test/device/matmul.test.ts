import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Activation, Precision } from "../../src/device/kernel.ts"
import { checkGradient, close, dot, random, run, sameBits, transposes, zeros } from "./launch.ts"

interface Shape {
  readonly m: number
  readonly n: number
  readonly k: number
  readonly transposeA: number
  readonly transposeB: number
}

const product = ({ m, n, k, transposeA, transposeB }: Shape, a: Float64Array, b: Float64Array) => {
  const out = zeros(m * n)
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0
      for (let t = 0; t < k; t++) sum += a[transposeA ? t * m + i : i * k + t]! * b[transposeB ? j * k + t : t * n + j]!
      out[i * n + j] = sum
    }
  }
  return out
}

const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
const geluSlope = (x: number) => {
  const t = Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x)
}

const sizes: ReadonlyArray<readonly [m: number, n: number, k: number, deviation?: number]> = [
  [1, 1, 1],
  [1, 37, 70],
  [5, 16, 300],
  [8, 65, 33],
  [9, 17, 257],
  [37, 70, 513],
  [97, 130, 64],
  [2, 70, 30],
  [16, 100, 520],
  [61, 130, 300],
  [6, 4133, 20],
  [50, 4133, 20],
  // Large enough for Strassen's product: odd, and a multiple of the tiles and deeper than a block. y is of unit size there: the slope of GELU
  // shows the error of y itself, and that of a large y of this depth is above the tolerance in a chain too.
  [257, 291, 263, 1 / Math.sqrt(263)],
  [384, 256, 1024, 1 / Math.sqrt(1024)]
]

layer(cpu({ threads: 1, real: "f32" }))("matmul in f32", (it) => {
  for (const [m, n, k, deviation = 1] of sizes) {
    it.effect(`${m} x ${n} x ${k}, every transpose, bias, activation and accumulation`, () =>
      Effect.gen(function* () {
        const [a, b, bias, other] = [random(1, m * k, deviation), random(2, k * n), random(3, n), random(4, m * n)]
        // k rounded products of unit normals: far above the error of a chain of fused multiply-adds, far below a wrong term.
        const tolerance = 1e-6 * Math.sqrt(k)
        for (const [transposeA, transposeB] of transposes) {
          const shape = { m, n, k, transposeA, transposeB }
          const y = product(shape, a, b)
          const plain = { ...shape, accumulate: 0, activation: Activation.none, precision: Precision.f32, training: 1 }
          const out = random(5, m * n)
          close((yield* run("matmul", { a, b, out }, plain, {})).out, y, tolerance, "plain")

          const added = yield* run("matmul", { a, b, out: other }, { ...plain, accumulate: 1 }, {})
          close(
            added.out,
            y.map((value, i) => value + other[i]!),
            tolerance,
            "accumulate"
          )

          const biased = y.map((value, i) => value + bias[i % n]!)
          const residual = yield* run("matmul", { a, b, bias, residual: other, out }, plain, {})
          close(
            residual.out,
            biased.map((value, i) => value + other[i]!),
            tolerance,
            "bias, residual"
          )

          const withGelu = { ...plain, activation: Activation.gelu }
          const forward = yield* run("matmul", { a, b, bias, slope: zeros(m * n), out }, withGelu, {})
          close(forward.slope, biased.map(geluSlope), tolerance, "slope")
          close(forward.out, biased.map(gelu), tolerance, "gelu")
          const kept = yield* run("matmul", { a, b, bias, pre: zeros(m * n), out }, withGelu, {})
          sameBits(kept.out, forward.out, "gelu without slope")
          const again = yield* run("gelu", { x: kept.pre, out, slope: kept.pre }, { count: m * n }, {})
          sameBits(again.out, forward.out, "gelu again")
          sameBits(again.slope, forward.slope, "its slope, in place")

          const back = yield* run(
            "matmul",
            { a, b, slope: other, out },
            { ...plain, activation: Activation.geluGradient },
            {}
          )
          close(
            back.out,
            y.map((value, i) => value * other[i]!),
            tolerance,
            "geluGradient"
          )
        }
      })
    )
  }

  it.effect("a row has the same bits whatever the other rows", () =>
    Effect.gen(function* () {
      const [n, k] = [83, 300]
      const [a, b, bias, residual] = [random(1, 64 * k), random(2, k * n), random(3, n), random(4, 64 * n)]
      for (const transposeB of [0, 1]) {
        for (const activation of [Activation.none, Activation.gelu]) {
          const rows = (m: number) =>
            run(
              "matmul",
              {
                a: a.slice(0, m * k),
                b,
                bias,
                ...(activation === Activation.none ? { residual: residual.slice(0, m * n) } : {}),
                out: zeros(m * n)
              },
              { m, n, k, transposeA: 0, transposeB, accumulate: 0, activation, precision: Precision.f32 },
              {}
            )
          const whole = (yield* rows(64)).out
          for (const m of [1, 2, 3, 5, 6, 7, 8, 9, 13]) {
            sameBits((yield* rows(m)).out, whole.slice(0, m * n), `m = ${m}, transposeB = ${transposeB}`)
          }
        }
      }
    })
  )

  it.effect("Strassen's product of unit normals is as near to them as a chain's", () =>
    Effect.gen(function* () {
      for (const [m, n, k] of [
        [257, 291, 263],
        [384, 256, 1024]
      ] as const) {
        const [a, b] = [random(1, m * k), random(2, k * n)]
        const shape = { m, n, k, transposeA: 0, transposeB: 0 }
        const y = product(shape, a, b)
        for (const training of [0, 1]) {
          const plain = { ...shape, accumulate: 0, activation: Activation.none, precision: Precision.f32, training }
          const { out } = yield* run("matmul", { a, b, out: zeros(m * n) }, plain, {})
          close(out, y, 1e-6 * Math.sqrt(k), training === 1 ? "Strassen" : "chain")
        }
      }
    })
  )

  it.effect("many rows too, where not only a training step uses them", () =>
    Effect.gen(function* () {
      const [n, k] = [300, 257]
      const [a, b] = [random(1, 300 * k), random(2, k * n)]
      const rows = (m: number, training: number) => {
        const shape = { m, n, k, transposeA: 0, transposeB: 0, accumulate: 0, activation: Activation.none, training }
        const buffers = { a: a.slice(0, m * k), b, out: zeros(m * n) }
        return Effect.map(run("matmul", buffers, { ...shape, precision: Precision.f32 }, {}), ({ out }) => out)
      }
      const whole = yield* rows(300, 0)
      sameBits(yield* rows(261, 0), whole.slice(0, 261 * n))
      // Strassen's product was taken, and the other rows are in its rounding.
      expect(yield* rows(300, 1)).not.toEqual(whole)
    })
  )

  it.effect("biasGradient accumulates the column sums", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [
        [1, 5],
        [37, 70],
        [300, 33]
      ] as const) {
        const [dOut, dBias] = [random(1, rows * width), random(2, width)]
        const expected = dBias.slice()
        for (let i = 0; i < rows * width; i++) expected[i % width]! += dOut[i]!
        close((yield* run("biasGradient", { dOut, dBias }, { rows, width }, {})).dBias, expected, 1e-5)
      }
    })
  )
})

layer(cpu({ threads: 1, real: "f64" }))("gradients of gelu(a . b + bias) in f64", (it) => {
  it.effect("are those of central differences", () =>
    Effect.gen(function* () {
      const [m, n, k] = [9, 21, 13]
      const [a, b, bias, w] = [random(1, m * k), random(2, k * n, 0.5), random(3, n), random(4, m * n)]
      const shape = {
        m,
        n,
        k,
        transposeA: 0,
        transposeB: 0,
        accumulate: 0,
        activation: Activation.gelu,
        precision: Precision.f32
      }
      const forward = (a: Float64Array, b: Float64Array, bias: Float64Array) =>
        run("matmul", { a, b, bias, slope: zeros(m * n), out: zeros(m * n) }, shape, {})
      const loss = (...x: Parameters<typeof forward>) => forward(...x).pipe(Effect.map(({ out }) => dot(out, w)))
      const { slope } = yield* forward(a, b, bias)

      // w . I, times the slope, is the gradient with respect to gelu's input.
      const identity = zeros(n * n)
      for (let i = 0; i < n; i++) identity[i * n + i] = 1
      const plain = { ...shape, activation: Activation.none }
      const dPre = (yield* run(
        "matmul",
        { a: w, b: identity, slope, out: zeros(m * n) },
        { ...plain, k: n, activation: Activation.geluGradient },
        {}
      )).out
      const dA = yield* run("matmul", { a: dPre, b, out: zeros(m * k) }, { ...plain, n: k, k: n, transposeB: 1 }, {})
      const dB = yield* run(
        "matmul",
        { a, b: dPre, out: zeros(k * n) },
        { ...plain, m: k, k: m, transposeA: 1, accumulate: 1 },
        {}
      )
      const dBias = yield* run("biasGradient", { dOut: dPre, dBias: zeros(n) }, { rows: m, width: n }, {})
      yield* checkGradient("a", (x) => loss(x, b, bias), a, dA.out)
      yield* checkGradient("b", (x) => loss(a, x, bias), b, dB.out)
      yield* checkGradient("bias", (x) => loss(a, b, x), bias, dBias.dBias)
    })
  )
})
