import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { checkGradient, close, dot, random, run, sameBits, zeros } from "./launch.ts"

const epsilon = 1e-5
const sizes = [
  [1, 8],
  [5, 37],
  [37, 64],
  [70, 33]
] as const

const rmsnorm = (x: Float64Array, gamma: Float64Array) => {
  const [width, rows] = [gamma.length, x.length / gamma.length]
  return run("rmsnorm", { x, gamma, out: zeros(x.length), rstd: zeros(rows) }, { rows, width }, { epsilon })
}
const swiglu = (x: Float64Array, rows: number) =>
  run("swiglu", { x, out: zeros(x.length / 2) }, { rows, width: x.length / 2 / rows }, {})
const silu = (x: number) => x / (1 + Math.exp(-x))
const table = (positions: Int32Array, headWidth: number, theta: number) =>
  run(
    "rotaryTable",
    { positions, table: zeros(positions.length * headWidth) },
    { rows: positions.length, headWidth },
    { theta }
  )

layer(cpu({ threads: 1, real: "f32" }))("kernels of llama, in f32", (it) => {
  it.effect("rmsnorm is x / sqrt(mean x^2 + epsilon) * gamma", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [...sizes, [3, 770] as const]) {
        const [x, gamma] = [random(1, rows * width, 3), random(2, width)]
        const actual = yield* rmsnorm(x, gamma)
        const rstd = Float64Array.from({ length: rows }, (_, r) => {
          const row = x.subarray(r * width, (r + 1) * width)
          return 1 / Math.sqrt(dot(row, row) / width + epsilon)
        })
        close(actual.rstd, rstd, 5e-7, "rstd")
        close(
          actual.out,
          x.map((value, i) => value * rstd[Math.floor(i / width)]! * gamma[i % width]!),
          1e-6,
          "out"
        )
      }
    })
  )

  it.effect("swiglu is silu(gate) * up, also where e^-gate overflows", () =>
    Effect.gen(function* () {
      for (const [rows, width] of sizes) {
        const x = random(3, 2 * rows * width, 4)
        x[0] = -120
        if (rows > 1) x[2 * width] = 120
        const expected = Float64Array.from({ length: rows * width }, (_, i) => {
          const at = 2 * width * Math.floor(i / width) + (i % width)
          return silu(x[at]!) * x[at + width]!
        })
        close((yield* swiglu(x, rows)).out, expected, 1e-6)
      }
    })
  )

  it.effect("rotary turns the pair (i, i + half) by position * theta^(-2i/width), and its inverse turns it back", () =>
    Effect.gen(function* () {
      for (const [headWidth, heads, rowWidth] of [
        [8, 2, 20],
        [26, 3, 78],
        [64, 1, 100]
      ] as const) {
        const positions = Int32Array.of(0, 1, 7, 300, 2047)
        const rows = positions.length
        const half = headWidth / 2
        const { table: turns } = yield* table(positions, headWidth, 10_000)
        const x = random(1, rows * rowWidth)
        const turned = yield* run("rotary", { table: turns, x }, { rows, heads, headWidth, rowWidth, inverse: 0 }, {})
        const expected = x.slice()
        for (let row = 0; row < rows; row++) {
          for (let i = 0; i < half; i++) {
            const angle = positions[row]! * 10_000 ** ((-2 * i) / headWidth)
            for (let h = 0; h < heads; h++) {
              const at = row * rowWidth + h * headWidth + i
              const [a, b] = [x[at]!, x[at + half]!]
              expected[at] = a * Math.cos(angle) - b * Math.sin(angle)
              expected[at + half] = b * Math.cos(angle) + a * Math.sin(angle)
            }
          }
        }
        // An angle of 2047 is known to 2047 * 2^-24.
        close(turned.x, expected, 1e-4, `headWidth ${headWidth}`)
        close(turned.x.slice(0, 3 * rowWidth), expected.slice(0, 3 * rowWidth), 1e-6, `headWidth ${headWidth}, near`)
        const back = yield* run(
          "rotary",
          { table: turns, x: turned.x },
          { rows, heads, headWidth, rowWidth, inverse: 1 },
          {}
        )
        close(back.x, x, 5e-7, "back")
        // What lies behind the heads stays.
        for (let row = 0; row < rows; row++) {
          const rest = (values: Float64Array) => values.slice(row * rowWidth + heads * headWidth, (row + 1) * rowWidth)
          sameBits(rest(turned.x), rest(x), "values")
        }
      }
    })
  )

  it.effect("scores of rotated queries and keys depend on their distance alone", () =>
    Effect.gen(function* () {
      const headWidth = 32
      const [q, k] = [random(1, headWidth), random(2, headWidth)]
      const score = Effect.fnUntraced(function* (at: number, from: number) {
        const { table: turns } = yield* table(Int32Array.of(at, from), headWidth, 10_000)
        const { x } = yield* run(
          "rotary",
          { table: turns, x: Float64Array.of(...q, ...k) },
          { rows: 2, heads: 1, headWidth, rowWidth: headWidth, inverse: 0 },
          {}
        )
        return dot(x.subarray(0, headWidth), x.subarray(headWidth))
      })
      const near = yield* score(5, 2)
      assert.closeTo(yield* score(105, 102), near, 1e-4)
      assert.notEqual(Math.round((yield* score(5, 1)) * 100), Math.round(near * 100))
    })
  )
})

layer(cpu({ threads: 1, real: "f64" }))("gradients of llama's kernels, in f64", (it) => {
  it.effect("rmsnormGradient is that of central differences, with a residual and without, in place", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [
        [1, 8],
        [5, 37],
        [40, 16]
      ] as const) {
        const [x, gamma, dOut] = [random(1, rows * width), random(2, width), random(4, rows * width)]
        const { rstd } = yield* rmsnorm(x, gamma)
        const saved = { dOut, x, gamma, rstd, dGamma: zeros(width) }
        const gradient = yield* run("rmsnormGradient", { ...saved, dx: random(9, x.length) }, { rows, width }, {})
        const loss = (x: Float64Array, gamma: Float64Array) =>
          rmsnorm(x, gamma).pipe(Effect.map(({ out }) => dot(out, dOut)))
        yield* checkGradient("x", (x) => loss(x, gamma), x, gradient.dx)
        yield* checkGradient("gamma", (gamma) => loss(x, gamma), gamma, gradient.dGamma)
        const dResidual = random(5, x.length)
        const sum = gradient.dx.map((value, i) => value + dResidual[i]!)
        const inPlace = yield* run("rmsnormGradient", { ...saved, dResidual, dx: dResidual }, { rows, width }, {})
        close(inPlace.dx, sum, 1e-14, "dx in place of dResidual")
        const overOut = yield* run("rmsnormGradient", { ...saved, dResidual, dx: dOut }, { rows, width }, {})
        sameBits(overOut.dx, inPlace.dx, "dx in place of dOut")
      }
    })
  )

  it.effect("swigluGradient is that of central differences, also in place", () =>
    Effect.gen(function* () {
      const [rows, width] = [5, 37]
      const [x, dOut] = [random(1, 2 * rows * width), random(2, rows * width)]
      const gradient = yield* run("swigluGradient", { dOut, x, dx: random(3, x.length) }, { rows, width }, {})
      const loss = (x: Float64Array) => swiglu(x, rows).pipe(Effect.map(({ out }) => dot(out, dOut)))
      yield* checkGradient("x", loss, x, gradient.dx, 80)
      sameBits((yield* run("swigluGradient", { dOut, x, dx: x }, { rows, width }, {})).dx, gradient.dx, "in place")
    })
  )

  it.effect("the inverse rotation is the gradient of the rotation", () =>
    Effect.gen(function* () {
      const [rows, headWidth] = [4, 12]
      const { table: turns } = yield* table(Int32Array.of(3, 0, 9, 40), headWidth, 500)
      const integers = { rows, heads: 2, headWidth, rowWidth: 30 }
      const [x, dOut] = [random(1, rows * 30), random(2, rows * 30)]
      const gradient = yield* run("rotary", { table: turns, x: dOut.slice() }, { ...integers, inverse: 1 }, {})
      const loss = (x: Float64Array) =>
        run("rotary", { table: turns, x }, { ...integers, inverse: 0 }, {}).pipe(Effect.map(({ x }) => dot(x, dOut)))
      yield* checkGradient("x", loss, x, gradient.x)
    })
  )
})
