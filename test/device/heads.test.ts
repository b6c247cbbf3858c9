import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Precision } from "../../src/device/kernel.ts"
import { checkGradient, close, dot, random, run, sameBits, zeros } from "./launch.ts"

interface Head {
  readonly x: Float64Array
  readonly table: Float64Array
  readonly targets: Int32Array
  readonly rows: number
  readonly width: number
  readonly vocabulary: number
  readonly inverseTemperature: number
}

/** Every third target is ignored; of many rows, all but every eighth (the reference is slow). */
const ignored = (row: number, rows: number) => (rows > 1000 ? row % 8 !== 0 : row % 3 === 2)
const make = (rows: number, width: number, vocabulary: number, inverseTemperature: number): Head => ({
  x: random(1, rows * width),
  table: random(2, vocabulary * width, 2 / Math.sqrt(width)),
  targets: Int32Array.from({ length: rows }, (_, row) => (ignored(row, rows) ? -1 : (row * 7919) % vocabulary)),
  rows,
  width,
  vocabulary,
  inverseTemperature
})

/** Probabilities and statistics of each row, in float64. */
const reference = (h: Head) => {
  const p = zeros(h.rows * h.vocabulary)
  const [logProbability, entropy, logSumExp] = [zeros(h.rows), zeros(h.rows), zeros(h.rows)]
  for (let row = 0; row < h.rows; row++) {
    const target = h.targets[row]!
    if (target < 0) continue
    const logits = Float64Array.from(
      { length: h.vocabulary },
      (_, j) =>
        h.inverseTemperature *
        dot(h.x.subarray(row * h.width, (row + 1) * h.width), h.table.subarray(j * h.width, (j + 1) * h.width))
    )
    const top = logits.reduce((a, b) => Math.max(a, b))
    const lse = top + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - top), 0))
    logSumExp[row] = lse
    logProbability[row] = logits[target]! - lse
    for (let j = 0; j < h.vocabulary; j++) {
      const log = logits[j]! - lse
      p[row * h.vocabulary + j] = Math.exp(log)
      entropy[row]! -= Math.exp(log) * log
    }
  }
  return { p, logProbability, entropy, logSumExp }
}

const referenceGradient = (h: Head, dLogProbability: Float64Array, dEntropy: Float64Array, dTable: Float64Array) => {
  const { p, entropy } = reference(h)
  const dx = zeros(h.rows * h.width)
  const table = dTable.slice()
  for (let row = 0; row < h.rows; row++) {
    if (h.targets[row]! < 0) continue
    for (let j = 0; j < h.vocabulary; j++) {
      const probability = p[row * h.vocabulary + j]!
      const likelihood = dLogProbability[row]! * ((j === h.targets[row] ? 1 : 0) - probability)
      const d =
        h.inverseTemperature * (likelihood - dEntropy[row]! * probability * (Math.log(probability) + entropy[row]!))
      for (let w = 0; w < h.width; w++) {
        dx[row * h.width + w]! += d * h.table[j * h.width + w]!
        table[j * h.width + w]! += d * h.x[row * h.width + w]!
      }
    }
  }
  return { dx, dTable: table }
}

const forward = ({ x, table, targets, rows, width, vocabulary, inverseTemperature }: Head) =>
  run(
    "lmHead",
    { x, table, targets, logProbability: zeros(rows), entropy: zeros(rows), logSumExp: zeros(rows) },
    { rows, width, vocabulary, precision: Precision.f32 },
    { inverseTemperature }
  )

const backward = Effect.fnUntraced(function* (
  h: Head,
  dLogProbability: Float64Array,
  dEntropy: Float64Array,
  dTable: Float64Array
) {
  const { logSumExp, entropy } = yield* forward(h)
  const { x, table, targets, rows, width, vocabulary, inverseTemperature } = h
  const dx = random(9, x.length)
  return yield* run(
    "lmHeadGradient",
    { x, table, targets, logSumExp, entropy, dLogProbability, dEntropy, dx, dTable },
    { rows, width, vocabulary, precision: Precision.f32 },
    { inverseTemperature }
  )
})

const sizes = [
  [1, 8, 3, 1],
  [5, 24, 37, 1.4],
  [37, 13, 101, 0.5],
  [70, 300, 257, 1],
  // More than one chunk of rows, and more than one block of columns.
  [1030, 8, 4133, 1]
] as const

layer(cpu({ threads: 1, real: "f32" }))("heads in f32", (it) => {
  for (const [rows, width, vocabulary, inverseTemperature] of sizes) {
    it.effect(`language-model head of ${rows} rows, width ${width}, vocabulary ${vocabulary}`, () =>
      Effect.gen(function* () {
        const h = make(rows, width, vocabulary, inverseTemperature)
        const { x, table, targets } = h
        const expected = reference(h)
        const actual = yield* forward(h)
        close(actual.logProbability, expected.logProbability, 2e-6, "logProbability")
        close(actual.logSumExp, expected.logSumExp, 2e-6, "logSumExp")
        close(actual.entropy, expected.entropy, 3e-6, "entropy")
        const bare = yield* run(
          "lmHead",
          { x, table, targets, logProbability: zeros(rows), logSumExp: zeros(rows) },
          { rows, width, vocabulary, precision: Precision.f32 },
          { inverseTemperature }
        )
        sameBits(bare.logProbability, actual.logProbability, "logProbability without entropy")

        const [dLogProbability, dEntropy, dTable] = [random(3, rows), random(4, rows), random(5, table.length)]
        const both = referenceGradient(h, dLogProbability, dEntropy, dTable)
        const gradient = yield* backward(h, dLogProbability, dEntropy, dTable)
        close(gradient.dx, both.dx, 1e-5, "dx")
        close(gradient.dTable, both.dTable, 1e-5, "dTable")
        for (let row = 0; row < rows; row++) {
          if (!ignored(row, rows)) continue
          const dx = gradient.dx.slice(row * width, (row + 1) * width)
          sameBits(dx.map(Math.abs), zeros(width), "dx of an ignored row")
        }

        const likelihood = referenceGradient(h, dLogProbability, zeros(rows), dTable)
        const loss = yield* run(
          "lmHeadLoss",
          { x, table, targets, dLogProbability, logProbability: zeros(rows), dx: random(9, x.length), dTable },
          { rows, width, vocabulary, precision: Precision.f32 },
          { inverseTemperature }
        )
        sameBits(loss.logProbability, actual.logProbability, "logProbability of lmHeadLoss")
        close(loss.dx, likelihood.dx, 1e-5, "dx of lmHeadLoss")
        close(loss.dTable, likelihood.dTable, 1e-5, "dTable of lmHeadLoss")
      })
    )
  }

  it.effect("logits of a thousand overflow nothing", () =>
    Effect.gen(function* () {
      const h = { ...make(4, 8, 37, 1), x: random(1, 32, 500) }
      const expected = reference(h)
      const actual = yield* forward(h)
      close(actual.logProbability, expected.logProbability, 1e-6)
      close(actual.entropy, expected.entropy, 1e-5)
      assert.isAbove(Math.max(...expected.logSumExp), 1000)
    })
  )

  it.effect("zero logits have probability 1/V and entropy ln V", () =>
    Effect.gen(function* () {
      const h = { ...make(2, 8, 1000, 1), x: zeros(16) }
      const { logProbability, entropy } = yield* forward(h)
      close(logProbability, [-Math.log(1000), -Math.log(1000)], 1e-6)
      close(entropy, [Math.log(1000), Math.log(1000)], 1e-6)
    })
  )

  it.effect("scalar head and its gradient", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [
        [1, 8],
        [37, 13],
        [300, 70]
      ] as const) {
        const [x, weight, bias] = [random(1, rows * width), random(2, width), random(3, 1)]
        const row = (i: number) => x.subarray(i * width, (i + 1) * width)
        const { out } = yield* run("scalarHead", { x, weight, bias, out: zeros(rows) }, { rows, width }, {})
        close(
          out,
          Array.from({ length: rows }, (_, i) => dot(row(i), weight) + bias[0]!),
          3e-6,
          "out"
        )

        const [dOut, dx, dWeight, dBias] = [random(4, rows), random(5, rows * width), random(6, width), random(7, 1)]
        const expected = dWeight.map((value, j) => {
          let sum = value
          for (let i = 0; i < rows; i++) sum += dOut[i]! * x[i * width + j]!
          return sum
        })
        for (const accumulate of [0, 1]) {
          const gradient = yield* run(
            "scalarHeadGradient",
            { x, weight, dOut, dx, dWeight, dBias },
            { rows, width, accumulate },
            {}
          )
          const dxs = dx.map((value, i) => accumulate * value + dOut[Math.floor(i / width)]! * weight[i % width]!)
          close(gradient.dx, dxs, 1e-6, "dx")
          close(gradient.dWeight, expected, 1e-5, "dWeight")
          close(gradient.dBias, [dOut.reduce((a, b) => a + b, dBias[0]!)], 1e-5, "dBias")
        }
      }
    })
  )
})

layer(cpu({ threads: 1, real: "f64" }))("gradients of heads in f64", (it) => {
  it.effect("lmHeadGradient is that of central differences in log-probability and entropy", () =>
    Effect.gen(function* () {
      for (const [rows, width, vocabulary, inverseTemperature] of sizes.slice(1, 4)) {
        const samples = width > 100 ? 10 : 40
        const h = make(rows, width, vocabulary, inverseTemperature)
        const [a, b] = [random(3, rows), random(4, rows)]
        const loss = (h: Head) => forward(h).pipe(Effect.map((s) => dot(s.logProbability, a) + dot(s.entropy, b)))
        const { dx, dTable } = yield* backward(h, a, b, zeros(vocabulary * width))
        yield* checkGradient("x", (x) => loss({ ...h, x }), h.x, dx, samples)
        yield* checkGradient("table", (table) => loss({ ...h, table }), h.table, dTable, samples)
      }
    })
  )

  it.effect("lmHeadLoss gives what lmHead and lmHeadGradient give", () =>
    Effect.gen(function* () {
      const h = make(37, 13, 101, 1.3)
      const { x, table, targets, rows, width, vocabulary, inverseTemperature } = h
      const dLogProbability = random(3, rows)
      const two = yield* backward(h, dLogProbability, zeros(rows), zeros(table.length))
      const one = yield* run(
        "lmHeadLoss",
        {
          x,
          table,
          targets,
          dLogProbability,
          logProbability: zeros(rows),
          dx: zeros(x.length),
          dTable: zeros(table.length)
        },
        { rows, width, vocabulary, precision: Precision.f32 },
        { inverseTemperature }
      )
      sameBits(one.dx, two.dx, "dx")
      sameBits(one.dTable, two.dTable, "dTable")
      sameBits(one.logProbability, (yield* forward(h)).logProbability, "logProbability")
    })
  )

  it.effect("scalarHeadGradient is that of central differences", () =>
    Effect.gen(function* () {
      const [rows, width] = [37, 13]
      const [x, weight, bias, dOut] = [random(1, rows * width), random(2, width), random(3, 1), random(4, rows)]
      const loss = (x: Float64Array, weight: Float64Array, bias: Float64Array) =>
        run("scalarHead", { x, weight, bias, out: zeros(rows) }, { rows, width }, {}).pipe(
          Effect.map(({ out }) => dot(out, dOut))
        )
      const gradient = yield* run(
        "scalarHeadGradient",
        { x, weight, dOut, dx: zeros(rows * width), dWeight: zeros(width), dBias: zeros(1) },
        { rows, width, accumulate: 0 },
        {}
      )
      yield* checkGradient("x", (x) => loss(x, weight, bias), x, gradient.dx)
      yield* checkGradient("weight", (weight) => loss(x, weight, bias), weight, gradient.dWeight)
      yield* checkGradient("bias", (bias) => loss(x, weight, bias), bias, gradient.dBias)
    })
  )
})
