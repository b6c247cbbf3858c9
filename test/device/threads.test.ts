import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Activation, type KernelName, type Launch, Precision } from "../../src/device/kernel.ts"
import { type Buffers, random, run, sameBits, transposes, zeros } from "./launch.ts"

/** A launch of each kernel with work for several threads, at sizes that are no multiple of anything. */
type Cases = {
  readonly [K in KernelName]: readonly [
    buffers: Buffers<K>,
    integers: Launch<K>["integers"],
    reals: Launch<K>["reals"],
    times?: number
  ]
}

const rows = 331
const width = 83
const vocabulary = 1013
const wide = rows * width
const x = random(1, wide)
const table = random(2, vocabulary * width, 0.2)
const ids = Int32Array.from({ length: rows }, (_, row) => (row * 37) % vocabulary)
const positions = Int32Array.from({ length: rows }, (_, row) => row % 29)
const row = { rows, width }
const perWidth = () => random(3, width)
const perRow = () => random(4, rows)

const attention = { batch: 3, length: 67, heads: 5, keyHeads: 5, headWidth: 12 }
const tokens = 3 * 67
const qkv = random(5, tokens * 180)
const cache = { batch: 7, capacity: 70, heads: 5, keyHeads: 5, headWidth: 12 }
const [cachedKeys, cached] = [7 * 80 * 60, 7 * 70 * 60]
const count = 100_003
const batch = 13

const cases: Cases = {
  fill: [{ out: zeros(count) }, { count }, { value: 0.3 }],
  add: [{ a: random(1, count), b: random(2, count), out: zeros(count) }, { count }, {}],
  scale: [{ x: random(1, count), out: zeros(count) }, { count }, { factor: 0.7 }],
  embedding: [
    { ids, positions, tokenTable: table, positionTable: random(3, 29 * width), out: zeros(wide) },
    { ...row, vocabulary, context: 29 },
    {}
  ],
  embeddingGradient: [
    { ids, positions, dOut: x, dTokenTable: table, dPositionTable: random(3, 29 * width) },
    { ...row, vocabulary, context: 29 },
    {}
  ],
  layernorm: [
    { x, gamma: perWidth(), beta: perWidth(), out: zeros(wide), mean: zeros(rows), rstd: zeros(rows) },
    row,
    { epsilon: 1e-5 }
  ],
  layernormGradient: [
    {
      dOut: random(6, wide),
      x,
      gamma: perWidth(),
      mean: perRow(),
      rstd: perRow(),
      dx: zeros(wide),
      dGamma: perWidth(),
      dBeta: perWidth()
    },
    row,
    {}
  ],
  rmsnorm: [{ x, gamma: perWidth(), out: zeros(wide), rstd: zeros(rows) }, row, { epsilon: 1e-5 }],
  rmsnormGradient: [
    { dOut: random(6, wide), x, gamma: perWidth(), rstd: perRow(), dx: zeros(wide), dGamma: perWidth() },
    row,
    {}
  ],
  swiglu: [{ x: random(6, 2 * wide), out: zeros(wide) }, row, {}],
  swigluGradient: [{ dOut: x, x: random(6, 2 * wide), dx: zeros(2 * wide) }, row, {}],
  rotaryTable: [{ positions, table: zeros(rows * 26) }, { rows, headWidth: 26 }, { theta: 10_000 }],
  rotary: [{ table: random(6, rows * 26), x }, { rows, heads: 3, headWidth: 26, rowWidth: width, inverse: 0 }, {}],
  matmul: [
    { a: x, b: random(7, width * vocabulary), bias: random(8, vocabulary), out: zeros(rows * vocabulary) },
    {
      m: rows,
      n: vocabulary,
      k: width,
      transposeA: 0,
      transposeB: 0,
      accumulate: 0,
      activation: Activation.gelu,
      precision: Precision.f32
    },
    {}
  ],
  gelu: [{ x: random(1, count), out: zeros(count), slope: zeros(count) }, { count }, {}],
  biasGradient: [{ dOut: x, dBias: perWidth() }, row, {}],
  attention: [{ qkv, out: zeros(tokens * 60), logSumExp: zeros(tokens * 5) }, attention, {}],
  attentionGradient: [
    {
      dOut: random(6, tokens * 60),
      qkv,
      out: random(7, tokens * 60),
      logSumExp: random(8, tokens * 5).fill(5),
      dQkv: zeros(tokens * 180)
    },
    attention,
    {}
  ],
  lmHead: [
    { x, table, targets: ids, logProbability: zeros(rows), entropy: zeros(rows), logSumExp: zeros(rows) },
    { ...row, vocabulary, precision: Precision.bf16 },
    { inverseTemperature: 1.3 }
  ],
  lmHeadGradient: [
    {
      x,
      table,
      targets: ids,
      logSumExp: perRow().fill(8),
      entropy: perRow(),
      dLogProbability: perRow(),
      dEntropy: perRow(),
      dx: zeros(wide),
      dTable: random(9, vocabulary * width)
    },
    { ...row, vocabulary, precision: Precision.bf16 },
    { inverseTemperature: 1.3 }
  ],
  lmHeadLoss: [
    {
      x,
      table,
      targets: ids,
      dLogProbability: perRow(),
      logProbability: zeros(rows),
      dx: zeros(wide),
      dTable: random(9, vocabulary * width)
    },
    { ...row, vocabulary, precision: Precision.bf16 },
    { inverseTemperature: 1 }
  ],
  scalarHead: [{ x, weight: perWidth(), bias: random(6, 1), out: zeros(rows) }, row, {}],
  scalarHeadGradient: [
    { x, weight: perWidth(), dOut: perRow(), dx: random(7, wide), dWeight: perWidth(), dBias: random(6, 1) },
    { ...row, accumulate: 1 },
    {}
  ],
  gradientNorm: [{ gradients: random(1, count), norm: zeros(1) }, { count }, {}],
  adamw: [
    {
      weights: random(1, count),
      gradients: random(2, count),
      m: random(3, count),
      v: random(4, count).map((value) => value * value),
      norm: Float64Array.of(3),
      control: Float64Array.of(1e-3, 0.3, 0.1, 0.1)
    },
    { count, decayCount: 50_001, form: 0 },
    { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, maxNorm: 1 }
  ],
  cacheWrite: [
    { qkv: random(1, 7 * 11 * 180), keys: random(2, cachedKeys), values: random(3, cached) },
    { ...cache, slots: 7, length: 11 },
    {}
  ],
  decodeAttention: [
    {
      qkv: random(1, 7 * 180),
      positions: Int32Array.of(0, 3, 8, 31, 32, 60, 69),
      keys: random(2, cachedKeys),
      values: random(3, cached),
      out: zeros(7 * 60)
    },
    cache,
    {}
  ],
  sample: [
    {
      x: random(1, batch * width),
      table,
      keys: Int32Array.from(random(2, 2 * batch, 1e6)),
      limits: Int32Array.from({ length: batch }, (_, b) => 10 + b),
      ids: new Int32Array(batch),
      positions: new Int32Array(batch),
      done: new Int32Array(batch),
      tokens: new Int32Array(batch * 30),
      logProbability: zeros(batch * 30)
    },
    { batch, width, vocabulary, capacity: 30, topK: 50, endToken: 3 },
    { temperature: 0.9, topP: 0.9 },
    20
  ]
}

/** Other shapes of the product take other ways through it. */
const products = [
  {
    m: 5,
    n: 3001,
    k: 517,
    transposeA: 0,
    transposeB: 0,
    accumulate: 0,
    activation: Activation.none,
    precision: Precision.f32
  },
  {
    m: 5,
    n: 517,
    k: 300,
    transposeA: 0,
    transposeB: 1,
    accumulate: 0,
    activation: Activation.none,
    precision: Precision.f32
  },
  {
    m: 517,
    n: 83,
    k: 331,
    transposeA: 1,
    transposeB: 0,
    accumulate: 1,
    activation: Activation.none,
    precision: Precision.bf16
  },
  {
    m: 37,
    n: 4133,
    k: 19,
    transposeA: 0,
    transposeB: 1,
    accumulate: 0,
    activation: Activation.none,
    precision: Precision.bf16
  },
  // Strassen's product.
  ...transposes.flatMap(([transposeA, transposeB]) =>
    [Precision.f32, Precision.bf16].map((precision) => ({
      m: 401,
      n: 263,
      k: 1301,
      transposeA,
      transposeB,
      accumulate: 1,
      activation: Activation.none,
      precision,
      training: 1
    }))
  )
]

const sameWhateverTheThreads = Effect.fnUntraced(function* <K extends KernelName>(
  kernel: K,
  [buffers, integers, reals, times]: Cases[K]
) {
  const on = (threads: number) =>
    run(kernel, buffers, integers, reals, times).pipe(Effect.provide(cpu({ threads, real: "f32" })))
  const one: Record<string, Float64Array> = yield* on(1)
  for (const threads of [2, 4]) {
    const more: Record<string, Float64Array> = yield* on(threads)
    for (const [name, values] of Object.entries(one)) sameBits(more[name]!, values, `${name} with ${threads} threads`)
  }
})

describe("1, 2 and 4 threads give the same bits", () => {
  const test = <K extends KernelName>(kernel: K) =>
    it.effect(kernel, () => sameWhateverTheThreads(kernel, cases[kernel]))
  for (const kernel of Object.keys(cases) as Array<KernelName>) test(kernel)
  for (const shape of products) {
    const { m, n, k, transposeA, transposeB } = shape
    it.effect(`matmul ${m} x ${n} x ${k}, transposes ${transposeA} ${transposeB}, precision ${shape.precision}`, () =>
      sameWhateverTheThreads("matmul", [{ a: random(1, m * k), b: random(2, k * n), out: random(3, m * n) }, shape, {}])
    )
  }
})
