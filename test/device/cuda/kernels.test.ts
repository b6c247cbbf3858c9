/** Every row of the kernel table as the CUDA device lowers it, on the emulator, against the CPU device in f64. */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { cpu } from "../../../src/device/cpu/cpu.ts"
import { Device, type DeviceShape } from "../../../src/device/device.ts"
import { Activation, type KernelName, type Launch, Precision } from "../../../src/device/kernel.ts"
import { attempt, type Buffers, close, random, run, sameBits, transposes, zeros } from "../launch.ts"
import { emulated } from "./emulated.ts"

class Devices extends Context.Service<
  Devices,
  { readonly oracle: DeviceShape; readonly ascending: DeviceShape; readonly shuffled: DeviceShape }
>()("test/Devices") {}

const device = (of: Layer.Layer<Device, unknown>) =>
  Effect.map(Layer.build(of), (context) => Context.get(context, Device))

const devices = Layer.effect(
  Devices,
  Effect.gen(function* () {
    const oracle = yield* device(cpu({ threads: 1, real: "f64" }))
    return { oracle, ascending: yield* device(emulated(0)), shuffled: yield* device(emulated(20261124)) }
  })
)

/**
 * Runs a launch on all three: the emulated results are within these bounds (relative to the largest element) of the oracle's, buffers without a bound
 * are as they were, and the order of threads changes no bit.
 */
const agree = Effect.fnUntraced(function* <K extends KernelName>(
  kernel: K,
  buffers: Buffers<K>,
  integers: Launch<K>["integers"],
  reals: Launch<K>["reals"],
  bounds: Partial<Record<keyof Launch<K>["buffers"], number>>,
  times = 1
) {
  const { oracle, ascending, shuffled } = yield* Devices
  const on = (shape: DeviceShape) => Effect.provideService(run(kernel, buffers, integers, reals, times), Device, shape)
  const expected = (yield* on(oracle)) as Record<string, Float64Array>
  const actual = (yield* on(ascending)) as Record<string, Float64Array>
  const again = (yield* on(shuffled)) as Record<string, Float64Array>
  const shape = `${kernel} ${JSON.stringify(integers)}`
  for (const name of Object.keys(buffers)) {
    const bound = (bounds as Record<string, number>)[name]
    if (bound === undefined) sameBits(actual[name]!, expected[name]!, `${shape}: ${name}`)
    else close(actual[name]!, expected[name]!, bound, `${shape}: ${name}`)
    sameBits(again[name]!, actual[name]!, `${shape}: ${name}, in another order of threads`)
  }
  return actual
})

/** The launch fails on the emulator with the message that it has on the CPU device. */
const fault = Effect.fnUntraced(function* <K extends KernelName>(
  kernel: K,
  buffers: Buffers<K>,
  integers: Launch<K>["integers"],
  reals: Launch<K>["reals"],
  message: string
) {
  const { oracle, ascending, shuffled } = yield* Devices
  for (const shape of [oracle, ascending, shuffled]) {
    const { exit } = yield* Effect.provideService(attempt(kernel, buffers, integers, reals), Device, shape)
    assert.isTrue(Exit.isFailure(exit))
    assert.include(String(exit), message)
  }
})

const ids = (count: number, below: number, seed = 3) =>
  Int32Array.from({ length: count }, (_, i) => (i * (seed + 4) + seed + (i % 3)) % below)
const rowShapes = [
  [1, 8],
  [5, 37],
  [70, 33],
  [19, 260]
] as const
const tight = 2e-6

// Kernels are compiled first.
layer(devices, { timeout: "5 minutes" })("CUDA kernels, emulated", (it) => {
  it.effect("fill, add, scale, gelu", () =>
    Effect.gen(function* () {
      for (const count of [1, 7, 1030]) {
        const [a, b, out, slope] = [random(1, count), random(2, count), zeros(count), zeros(count)]
        yield* agree("fill", { out: a.slice() }, { count }, { value: 0.75 }, { out: 0 })
        yield* agree("add", { a, b, out }, { count }, {}, { out: 1e-7 })
        yield* agree("add", { a, b, out: a }, { count }, {}, { a: 1e-7, out: 1e-7 })
        yield* agree("scale", { x: a, out: a }, { count }, { factor: 0.5 }, { x: 0, out: 0 })
        yield* agree("gelu", { x: a, out, slope }, { count }, {}, { out: tight, slope: tight })
        yield* agree("gelu", { x: a, out, slope: a }, { count }, {}, { x: tight, out: tight, slope: tight })
      }
    })
  )

  it.effect("embedding and its gradient: rows in order, with positions and without", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [...rowShapes, [300, 12] as const]) {
        const [vocabulary, context] = [11, 9]
        const [dTokenTable, dPositionTable] = [random(2, vocabulary * width), random(3, context * width)]
        const common = { ids: ids(rows, vocabulary), positions: ids(rows, context, 5) }
        const sizes = { rows, width, vocabulary, context }
        const out = zeros(rows * width)
        yield* agree(
          "embedding",
          { ...common, tokenTable: dTokenTable, positionTable: dPositionTable, out },
          sizes,
          {},
          { out: 1e-7 }
        )
        yield* agree("embedding", { ids: common.ids, tokenTable: dTokenTable, out }, sizes, {}, { out: 0 })
        const dOut = random(4, rows * width)
        const both = yield* agree(
          "embeddingGradient",
          { ...common, dOut, dTokenTable, dPositionTable },
          sizes,
          {},
          {
            dTokenTable: tight,
            dPositionTable: tight
          }
        )
        const alone = yield* agree(
          "embeddingGradient",
          { ids: common.ids, dOut, dTokenTable },
          sizes,
          {},
          {
            dTokenTable: tight
          }
        )
        sameBits(alone["dTokenTable"]!, both["dTokenTable"]!)
      }
    })
  )

  it.effect("ids and positions out of range: the first row, in the CPU device's words", () =>
    Effect.gen(function* () {
      const sizes = { rows: 40, width: 5, vocabulary: 7, context: 3 }
      const [tokenTable, positionTable, out] = [zeros(35), zeros(15), zeros(200)]
      const bad = ids(40, 7)
      bad[17] = 7
      const positions = ids(40, 3)
      yield* fault("embedding", { ids: bad, tokenTable, out }, sizes, {}, "row 17 has 7, which is not from 0 to 6")
      bad[17] = 0
      positions[33] = -1
      const places = { ids: bad, positions, tokenTable, positionTable, out }
      yield* fault("embedding", places, sizes, {}, "row 33 has -1, which is not from 0 to 2")
      const gradient = { ids: bad, positions, dOut: out, dTokenTable: tokenTable, dPositionTable: positionTable }
      yield* fault("embeddingGradient", gradient, sizes, {}, "row 33 has -1, which is not from 0 to 2")
      const targets = Int32Array.from([0, -5, 9, 1])
      const head = { x: zeros(12), table: zeros(27), targets, logProbability: zeros(4), logSumExp: zeros(4) }
      const headSizes = { rows: 4, width: 3, vocabulary: 9, precision: Precision.f32 }
      yield* fault("lmHead", head, headSizes, { inverseTemperature: 1 }, "row 2 has 9, which is not from 0 to 8")
      const starts = Int32Array.from([0, 1, 0, 0, 2, 1])
      const attention = { qkv: zeros(72), starts, out: zeros(24), logSumExp: zeros(6) }
      const attentionSizes = { batch: 2, length: 3, heads: 1, keyHeads: 1, headWidth: 4 }
      yield* fault("attention", attention, attentionSizes, {}, "row 4 has 2, which is not from 0 to 1")
      const gradients = { ...attention, dOut: zeros(24), dQkv: zeros(72) }
      yield* fault("attentionGradient", gradients, attentionSizes, {}, "row 4 has 2, which is not from 0 to 1")
    })
  )

  it.effect("layernorm, rmsnorm and their gradients", () =>
    Effect.gen(function* () {
      for (const [rows, width] of rowShapes) {
        const count = rows * width
        const x = random(1, count).map((value) => Math.fround(value + 3))
        const [gamma, beta, dOut, residual] = [random(2, width), random(3, width), random(4, count), random(5, count)]
        const sizes = { rows, width }
        const [mean, rstd] = [zeros(rows), zeros(rows)]
        const [dGamma, dBeta] = [random(6, width), random(7, width)]
        const layered = yield* agree(
          "layernorm",
          { x, gamma, beta, out: zeros(count), mean, rstd },
          sizes,
          { epsilon: 1e-5 },
          {
            out: 1e-5,
            mean: tight,
            rstd: 1e-5
          }
        )
        const statistics = { mean: layered["mean"]!, rstd: layered["rstd"]! }
        const bounds = { dx: tight, dGamma: tight, dBeta: tight }
        const given = { dOut, x, gamma, ...statistics, dGamma, dBeta }
        yield* agree("layernormGradient", { ...given, dx: zeros(count) }, sizes, {}, bounds)
        yield* agree(
          "layernormGradient",
          { ...given, dResidual: residual, dx: residual },
          sizes,
          {},
          { ...bounds, dResidual: tight }
        )
        const inPlace = { ...given, dResidual: residual, dx: dOut }
        yield* agree("layernormGradient", inPlace, sizes, {}, { ...bounds, dOut: tight })
        const squared = yield* agree(
          "rmsnorm",
          { x, gamma, out: zeros(count), rstd },
          sizes,
          { epsilon: 1e-6 },
          {
            out: tight,
            rstd: tight
          }
        )
        const root = { dOut, x, gamma, rstd: squared["rstd"]!, dGamma }
        yield* agree("rmsnormGradient", { ...root, dx: zeros(count) }, sizes, {}, { dx: tight, dGamma: tight })
        const folded = { ...root, dResidual: residual, dx: residual }
        yield* agree("rmsnormGradient", folded, sizes, {}, { dx: tight, dGamma: tight, dResidual: tight })
      }
    })
  )

  it.effect("swiglu, rotary, bias gradient, scalar head", () =>
    Effect.gen(function* () {
      for (const [rows, width] of rowShapes) {
        const [x, dOut] = [random(1, rows * 2 * width, 2), random(2, rows * width)]
        const sizes = { rows, width }
        yield* agree("swiglu", { x, out: zeros(rows * width) }, sizes, {}, { out: tight })
        yield* agree("swigluGradient", { dOut, x, dx: zeros(x.length) }, sizes, {}, { dx: tight })
        yield* agree("swigluGradient", { dOut, x, dx: x }, sizes, {}, { dx: tight, x: tight })
        yield* agree("biasGradient", { dOut, dBias: random(3, width) }, sizes, {}, { dBias: tight })
        const row = random(4, rows * width)
        const [weight, bias] = [random(5, width), random(6, 1)]
        yield* agree("scalarHead", { x: row, weight, bias, out: zeros(rows) }, sizes, {}, { out: tight })
        for (const accumulate of [0, 1]) {
          yield* agree(
            "scalarHeadGradient",
            {
              x: row,
              weight,
              dOut: random(7, rows),
              dx: random(8, rows * width),
              dWeight: weight.slice(),
              dBias: bias.slice()
            },
            { ...sizes, accumulate },
            {},
            { dx: tight, dWeight: tight, dBias: tight }
          )
        }
      }
      for (const [rows, heads, headWidth, extra] of [
        [5, 2, 6, 3],
        [33, 3, 16, 0]
      ] as const) {
        const positions = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 50)
        // Angles are rounded to f32 on the way, so that the oracle's differ by some ulp of the position.
        const made = yield* agree(
          "rotaryTable",
          { positions, table: zeros(rows * headWidth) },
          { rows, headWidth },
          { theta: 10_000 },
          {
            table: 1e-5
          }
        )
        const rowWidth = heads * headWidth + extra
        for (const inverse of [0, 1]) {
          const x = random(9, rows * rowWidth)
          yield* agree(
            "rotary",
            { table: made["table"]!, x },
            { rows, heads, headWidth, rowWidth, inverse },
            {},
            { x: tight }
          )
        }
      }
    })
  )

  it.effect("matrix products, with what may follow, in f32 and bf16", () =>
    Effect.gen(function* () {
      const shapes = [
        [1, 5, 3],
        [33, 40, 24],
        [130, 136, 72],
        [37, 150, 41]
      ] as const
      for (const [m, n, k] of shapes) {
        for (const precision of [Precision.f32, Precision.bf16]) {
          for (const [transposeA, transposeB] of transposes) {
            const [a, b, out] = [random(1, m * k), random(2, k * n), random(3, m * n)]
            const sizes = { m, n, k, transposeA, transposeB, activation: Activation.none, precision }
            yield* agree("matmul", { a, b, out }, { ...sizes, accumulate: 1 }, {}, { out: tight })
            if (transposeA === transposeB) continue
            const [bias, residual] = [random(4, n), random(5, m * n)]
            yield* agree("matmul", { a, b, bias, residual, out }, { ...sizes, accumulate: 0 }, {}, { out: tight })
          }
        }
      }
      const [m, n, k] = [21, 13, 9]
      const [a, b, bias] = [random(1, m * k), random(2, k * n), random(3, n)]
      const [out, pre, slope] = [zeros(m * n), zeros(m * n), random(4, m * n)]
      const sizes = { m, n, k, transposeA: 0, transposeB: 0, accumulate: 0, precision: Precision.f32 }
      const gelu = { ...sizes, activation: Activation.gelu }
      const kept = yield* agree(
        "matmul",
        { a, b, bias, pre, slope, out },
        gelu,
        {},
        { pre: tight, slope: tight, out: tight }
      )
      const again = yield* agree(
        "gelu",
        { x: kept["pre"]!, out, slope },
        { count: m * n },
        {},
        { out: tight, slope: tight }
      )
      sameBits(again["out"]!, kept["out"]!, "gelu apart")
      yield* agree("matmul", { a, b, bias, out }, gelu, {}, { out: tight })
      yield* agree(
        "matmul",
        { a, b, slope, out },
        { ...sizes, activation: Activation.geluGradient },
        {},
        { out: tight }
      )
    })
  )

  it.effect("language-model head: statistics, gradients, rows without target", () =>
    Effect.gen(function* () {
      const reals = { inverseTemperature: 0.8 }
      for (const [rows, width, vocabulary, precision] of [
        [5, 8, 37, Precision.f32],
        [150, 12, 64, Precision.f32],
        [40, 16, 71, Precision.bf16]
      ] as const) {
        const [x, table] = [random(1, rows * width), random(2, vocabulary * width)]
        const targets = Int32Array.from({ length: rows }, (_, i) => (i % 4 === 1 ? -1 : (i * 5) % vocabulary))
        const sizes = { rows, width, vocabulary, precision }
        const bound = precision === Precision.f32 ? tight : 2e-3
        const forward = { x, table, targets, logProbability: zeros(rows), entropy: zeros(rows), logSumExp: zeros(rows) }
        const found = yield* agree("lmHead", forward, sizes, reals, {
          logProbability: tight,
          entropy: tight,
          logSumExp: tight
        })
        const dLogProbability = random(3, rows)
        const [dx, dTable] = [zeros(rows * width), random(5, vocabulary * width)]
        const backward = { x, table, targets, logSumExp: found["logSumExp"]!, dLogProbability, dx }
        yield* agree("lmHeadGradient", backward, sizes, reals, { dx: bound })
        const whole = { ...backward, entropy: found["entropy"]!, dEntropy: random(4, rows), dTable }
        yield* agree("lmHeadGradient", whole, sizes, reals, { dx: bound, dTable: bound })
        const loss = { x, table, targets, dLogProbability, logProbability: zeros(rows), dx, dTable }
        const once = yield* agree("lmHeadLoss", loss, sizes, reals, { logProbability: tight, dx: bound, dTable: bound })
        sameBits(once["logProbability"]!, found["logProbability"]!, "the loss's log-probabilities are the head's")
      }
    })
  )

  it.effect("gradient norm and AdamW", () =>
    Effect.gen(function* () {
      for (const count of [1, 1027, 20_011]) {
        const gradients = random(1, count, 3)
        const { norm } = yield* agree("gradientNorm", { gradients, norm: zeros(1) }, { count }, {}, { norm: 1e-7 })
        for (const form of [0, 1]) {
          const [weights, m] = [random(2, count), random(3, count)]
          const v = random(4, count).map((value) => Math.fround(value * value))
          const control = Float64Array.from([0.01, 0.19, 0.02, 0.1].map(Math.fround))
          const bounds = { weights: tight, gradients: 0, m: tight, v: tight }
          const given = { weights, gradients, m, v, norm: norm!, control }
          const reals = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, maxNorm: form === 0 ? 1 : 0 }
          yield* agree("adamw", given, { count, decayCount: Math.floor(count / 3), form }, reals, bounds)
        }
      }
    })
  )

  it.effect(
    "attention and its gradient: grouped heads, padded widths, packed texts, several tiles, in f32 and bf16",
    () =>
      Effect.gen(function* () {
        for (const [batch, length, heads, keyHeads, headWidth, packed] of [
          [2, 7, 2, 2, 5, false],
          [1, 150, 2, 1, 16, true],
          [1, 200, 1, 1, 64, false],
          [1, 67, 3, 1, 80, true],
          [1, 40, 1, 1, 128, true],
          [1, 37, 1, 1, 130, false]
        ] as const) {
          const rows = batch * length
          const qkv = random(1, rows * (heads + 2 * keyHeads) * headWidth)
          // Texts of uneven length; in the second sequence they begin elsewhere.
          const begins = (b: number, t: number) => Math.max(0, Math.floor(t / (41 - 9 * b)) * (41 - 9 * b) - b)
          const starts = Int32Array.from({ length: rows }, (_, row) => begins(Math.floor(row / length), row % length))
          const given = packed ? { qkv, starts } : { qkv }
          const out = zeros(rows * heads * headWidth)
          for (const precision of [Precision.f32, Precision.bf16]) {
            const bf16 = precision === Precision.bf16
            if (bf16 && headWidth > 128) continue
            const sizes = { batch, length, heads, keyHeads, headWidth, precision }
            const forward = { ...given, out, logSumExp: zeros(rows * heads) }
            // Weights are rounded before their sum is known, so a device's running maximum moves what they are rounded to.
            const bounds = bf16 ? { out: 4e-3, logSumExp: tight } : { out: tight, logSumExp: tight }
            const made = yield* agree("attention", forward, sizes, {}, bounds)
            const [dOut, dQkv] = [random(2, out.length), zeros(qkv.length)]
            const backward = { ...given, dOut, out: made["out"]!, logSumExp: made["logSumExp"]!, dQkv }
            yield* agree("attentionGradient", backward, sizes, {}, { dQkv: bf16 ? 1e-3 : 5e-6 })
          }
        }
      })
  )

  it.effect("the cache: filled from prompts, then one token at a time over several splits", () =>
    Effect.gen(function* () {
      for (const [batch, length, capacity, heads, keyHeads, headWidth] of [
        [3, 20, 37, 2, 1, 5],
        [2, 300, 600, 2, 2, 8]
      ] as const) {
        const rowWidth = (heads + 2 * keyHeads) * headWidth
        const slots = batch + 1
        const keys = random(8, slots * keyHeads * headWidth * Math.ceil(capacity / 16) * 16)
        const values = random(9, slots * keyHeads * headWidth * capacity)
        const qkv = random(1, batch * length * rowWidth)
        const shape = { batch, capacity, heads, keyHeads, headWidth }
        const places = Int32Array.from({ length: batch }, (_, b) => (b === 1 ? -1 : batch - b))
        const written = { qkv, places, keys, values }
        yield* agree("cacheWrite", written, { ...shape, length, slots }, {}, { keys: 0, values: 0 })
        const cache = yield* agree(
          "cacheWrite",
          { qkv, keys, values },
          { ...shape, length, slots },
          {},
          { keys: 0, values: 0 }
        )
        const token = random(2, batch * rowWidth)
        const out = zeros(batch * heads * headWidth)
        for (const positions of [
          Int32Array.from({ length: batch }, (_, b) => (b === 0 ? 0 : length - b)),
          Int32Array.from({ length: batch }, (_, b) => length + 3 - 7 * b)
        ]) {
          const step = { qkv: token, positions, keys: cache["keys"]!, values: cache["values"]!, out }
          yield* agree("decodeAttention", step, shape, {}, { keys: 0, values: 0, out: tight })
        }
        const outside = { qkv: token, positions: new Int32Array(batch).fill(capacity), keys, values, out }
        const message = `row 0 has ${capacity}, which is not from 0 to ${capacity - 1}`
        yield* fault("decodeAttention", outside, shape, {}, message)
        const far = { ...written, places: new Int32Array(batch).fill(slots) }
        yield* fault(
          "cacheWrite",
          far,
          { ...shape, length, slots },
          {},
          `row 0 has ${slots}, which is not from 0 to ${slots - 1}`
        )
      }
    })
  )

  it.effect(
    "sampling: the same tokens as the CPU device, at temperatures and cuts, with ties, up to the end of each sequence",
    () =>
      Effect.gen(function* () {
        const bounds = { ids: 0, positions: 0, done: 0, tokens: 0, logProbability: tight }
        for (const [vocabulary, batch, temperature, topK, topP, levels] of [
          [37, 6, 1, 0, 1, 0],
          [37, 6, 0, 0, 1, 3],
          [1500, 2, 0.7, 40, 1, 0],
          [1500, 2, 1.3, 0, 0.8, 0],
          [1500, 2, 1, 300, 0.5, 5],
          [37, 6, 1, 20, 0.9, 2],
          // All are equal: half of them are kept, those of the lowest ids.
          [36, 6, 1, 0, 0.5, 1]
        ] as const) {
          // So many different logits only, all exact in f32 and f64.
          const width = levels === 0 ? 5 : 1
          const x = levels === 0 ? random(1, batch * width) : zeros(batch).fill(1)
          const table =
            levels === 0
              ? random(2, vocabulary * width)
              : Float64Array.from({ length: vocabulary }, (_, id) => ((id * 7) % levels) / 4)
          const capacity = 12
          yield* agree(
            "sample",
            {
              x,
              table,
              keys: Int32Array.from({ length: 2 * batch }, (_, i) => i * 977 - 3),
              limits: Int32Array.from({ length: batch }, (_, b) => 4 + b),
              ids: new Int32Array(batch),
              positions: Int32Array.from({ length: batch }, (_, b) => b % 3),
              done: Int32Array.from({ length: batch }, (_, b) => (b === 1 ? 1 : 0)),
              tokens: new Int32Array(batch * capacity).fill(-1),
              logProbability: zeros(batch * capacity)
            },
            { batch, width, vocabulary, capacity, topK, endToken: 2 },
            { temperature, topP },
            bounds,
            11
          )
        }
        const [batch, vocabulary, capacity] = [3, 5, 4]
        const full = {
          x: zeros(batch),
          table: zeros(vocabulary),
          keys: new Int32Array(2 * batch),
          limits: new Int32Array(batch).fill(9),
          ids: new Int32Array(batch),
          positions: Int32Array.from([0, 3, 3]),
          done: Int32Array.from([0, 1, 0]),
          tokens: new Int32Array(batch * capacity),
          logProbability: zeros(batch * capacity)
        }
        const sizes = { batch, width: 1, vocabulary, capacity, topK: 0, endToken: -1 }
        yield* fault("sample", full, sizes, { temperature: 1, topP: 1 }, "row 2 has 4, which is not from 0 to 3")
      })
  )
})
