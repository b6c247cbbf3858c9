import { assert, describe, layer, it as plain } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { DeviceError } from "../../src/device/device.ts"
import { type AnyLaunch, Precision } from "../../src/device/kernel.ts"
import { checkLaunch, operandBytes } from "../../src/device/operands.ts"
import { attempt, type Buffers, checkGradient, close, dot, random, run, sameBits, zeros } from "./launch.ts"

const epsilon = 1e-5
const sizes = [
  [1, 8],
  [5, 37],
  [37, 64],
  [70, 33]
] as const

const tables = (rows: number, width: number) => {
  const [vocabulary, context] = [11, 9]
  return {
    ids: Int32Array.from({ length: rows }, (_, row) => (row * 5 + 3) % vocabulary),
    positions: Int32Array.from({ length: rows }, (_, row) => (row * 2) % context),
    tokens: random(1, vocabulary * width),
    places: random(2, context * width),
    sizes: { rows, width, vocabulary, context }
  }
}

const layernorm = (x: Float64Array, gamma: Float64Array, beta: Float64Array) => {
  const width = gamma.length
  const rows = x.length / width
  return run(
    "layernorm",
    { x, gamma, beta, out: zeros(x.length), mean: zeros(rows), rstd: zeros(rows) },
    { rows, width },
    { epsilon }
  )
}

layer(cpu({ threads: 1, real: "f32" }))("kernels on rows, in f32", (it) => {
  it.effect("fill and add", () =>
    Effect.gen(function* () {
      for (const count of [1, 7, 37, 70_001]) {
        const [a, b] = [random(1, count), random(2, count)]
        const filled = yield* run("fill", { out: a }, { count }, { value: 0.75 })
        sameBits(filled.out, zeros(count).fill(0.75))
        const sum = a.map((value, i) => Math.fround(value + b[i]!))
        sameBits((yield* run("add", { a, b, out: zeros(count) }, { count }, {})).out, sum)
        sameBits((yield* run("add", { a, b, out: a }, { count }, {})).out, sum, "in place of a")
        sameBits((yield* run("add", { a, b, out: b }, { count }, {})).out, sum, "in place of b")
        const half = a.map((value) => Math.fround(value * 0.5))
        sameBits((yield* run("scale", { x: a, out: a }, { count }, { factor: 0.5 })).out, half, "scaled in place")
      }
    })
  )

  it.effect("embedding, with positions and without, and its gradient", () =>
    Effect.gen(function* () {
      for (const [rows, width] of sizes) {
        const t = tables(rows, width)
        const at = (i: number) => [Math.floor(i / width), i % width] as const
        const token = (i: number) => t.ids[at(i)[0]]! * width + at(i)[1]
        const place = (i: number) => t.positions[at(i)[0]]! * width + at(i)[1]
        const out = zeros(rows * width)
        const both = yield* run(
          "embedding",
          { ids: t.ids, positions: t.positions, tokenTable: t.tokens, positionTable: t.places, out },
          t.sizes,
          {}
        )
        sameBits(
          both.out,
          out.map((_, i) => Math.fround(t.tokens[token(i)]! + t.places[place(i)]!))
        )
        const alone = yield* run("embedding", { ids: t.ids, tokenTable: t.tokens, out }, { ...t.sizes, context: 0 }, {})
        sameBits(
          alone.out,
          out.map((_, i) => t.tokens[token(i)]!)
        )

        const dOut = random(3, rows * width)
        const gradient = yield* run(
          "embeddingGradient",
          { ids: t.ids, positions: t.positions, dOut, dTokenTable: t.tokens, dPositionTable: t.places },
          t.sizes,
          {}
        )
        const [dTokens, dPlaces] = [t.tokens.slice(), t.places.slice()]
        dOut.forEach((d, i) => {
          dTokens[token(i)]! += d
          dPlaces[place(i)]! += d
        })
        close(gradient.dTokenTable, dTokens, 1e-6)
        close(gradient.dPositionTable, dPlaces, 1e-6)
        const tokensOnly = yield* run(
          "embeddingGradient",
          { ids: t.ids, dOut, dTokenTable: t.tokens },
          { ...t.sizes, context: 0 },
          {}
        )
        sameBits(tokensOnly.dTokenTable, gradient.dTokenTable)
      }
    })
  )

  it.effect("layernorm", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [...sizes, [3, 770] as const]) {
        const [gamma, beta] = [random(2, width), random(3, width)]
        // A mean far from 0, so that E x^2 - (E x)^2 would lose digits.
        const x = random(1, rows * width).map((value) => Math.fround(value + 100))
        const row = (i: number) => x.subarray(i * width, (i + 1) * width)
        const mean = Float64Array.from({ length: rows }, (_, i) => row(i).reduce((a, b) => a + b) / width)
        const rstd = mean.map((m, i) => 1 / Math.sqrt(row(i).reduce((a, b) => a + (b - m) ** 2, 0) / width + epsilon))
        const out = x.map((value, i) => {
          const r = Math.floor(i / width)
          return (value - mean[r]!) * rstd[r]! * gamma[i % width]! + beta[i % width]!
        })
        const actual = yield* layernorm(x, gamma, beta)
        close(actual.mean, mean, 5e-7, "mean")
        // A mean of 100 is known to 1e-5 of the deviation.
        close(actual.rstd, rstd, 1e-5, "rstd")
        close(actual.out, out, 5e-5, "out")
      }
    })
  )

  it.effect("layernormGradient in f32 is near that in f64", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [...sizes, [100, 300] as const]) {
        const gradient = Effect.gen(function* () {
          const [x, gamma, beta, dOut] = [
            random(1, rows * width),
            random(2, width),
            random(3, width),
            random(4, rows * width)
          ]
          const { mean, rstd } = yield* layernorm(x, gamma, beta)
          return yield* run(
            "layernormGradient",
            { dOut, x, gamma, mean, rstd, dx: zeros(x.length), dGamma: random(5, width), dBeta: random(6, width) },
            { rows, width },
            {}
          )
        })
        const expected = yield* gradient.pipe(Effect.provide(cpu({ threads: 1, real: "f64" })))
        const actual = yield* gradient
        close(actual.dx, expected.dx, 3e-6, "dx")
        close(actual.dGamma, expected.dGamma, 3e-6, "dGamma")
        close(actual.dBeta, expected.dBeta, 3e-6, "dBeta")
      }
    })
  )

  const refused = Effect.fnUntraced(function* <
    K extends "embedding" | "embeddingGradient" | "lmHead" | "lmHeadLoss" | "decodeAttention" | "sample"
  >(kernel: K, ...[buffers, integers, reals]: Parameters<typeof attempt<K>> extends [K, ...infer Rest] ? Rest : never) {
    const { exit, results } = yield* attempt(kernel, buffers as Buffers<K>, integers!, reals!)
    assert.isTrue(Exit.isFailure(exit), kernel)
    const error = yield* Effect.flip(exit)
    assert.instanceOf(error, DeviceError)
    assert.include(error.message, kernel)
    return { error, results }
  })

  it.effect("an id or a position out of range is a DeviceError, and nothing outside the buffers is touched", () =>
    Effect.gen(function* () {
      const [rows, width] = [5, 8]
      const t = tables(rows, width)
      for (const bad of [-1, 11, 2 ** 31 - 1]) {
        const ids = t.ids.slice()
        ids[3] = bad
        const tokens = { ids, tokenTable: t.tokens, out: zeros(rows * width) }
        const { error } = yield* refused("embedding", tokens, { ...t.sizes, context: 0 }, {})
        assert.include(error.message, String(bad))
        const gradient = { ids, dOut: zeros(rows * width), dTokenTable: t.tokens }
        yield* refused("embeddingGradient", gradient, { ...t.sizes, context: 0 }, {})
      }
      for (const bad of [-1, 9]) {
        const positions = t.positions.slice()
        positions[0] = bad
        const out = zeros(rows * width)
        const buffers = { ids: t.ids, positions, tokenTable: t.tokens, positionTable: t.places, out }
        yield* refused("embedding", buffers, t.sizes, {})
      }
      const head = { x: random(1, 16), table: random(2, 24), targets: Int32Array.of(1, 3) }
      const shape = { rows: 2, width: 8, vocabulary: 3, precision: Precision.f32 }
      const statistics = { logProbability: zeros(2), logSumExp: zeros(2) }
      yield* refused("lmHead", { ...head, ...statistics }, shape, { inverseTemperature: 1 })
      const loss = { dLogProbability: zeros(2), logProbability: zeros(2), dx: zeros(16), dTable: zeros(24) }
      yield* refused("lmHeadLoss", { ...head, ...loss }, shape, { inverseTemperature: 1 })
    })
  )

  it.effect("a position beyond the capacity is a DeviceError, and the cache and the tokens stay", () =>
    Effect.gen(function* () {
      const [capacity, headWidth] = [6, 8]
      const [keys, values] = [random(2, 16 * headWidth), random(3, capacity * headWidth)]
      for (const bad of [-1, 6]) {
        const { results } = yield* refused(
          "decodeAttention",
          { qkv: random(1, 24), positions: Int32Array.of(bad), keys, values, out: zeros(8) },
          { batch: 1, capacity, heads: 1, keyHeads: 1, headWidth },
          {}
        )
        sameBits(results.keys, keys)
        sameBits(results.values, values)
      }
      const { results } = yield* refused(
        "sample",
        {
          x: random(1, 8),
          table: random(2, 24),
          keys: Int32Array.of(1, 2),
          limits: Int32Array.of(99),
          ids: Int32Array.of(1),
          positions: Int32Array.of(5),
          done: Int32Array.of(0),
          tokens: new Int32Array(6),
          logProbability: zeros(6)
        },
        { batch: 1, width: 8, vocabulary: 3, capacity, topK: 0, endToken: -1 },
        { temperature: 1, topP: 1 }
      )
      sameBits(results.tokens, zeros(6))
      sameBits(results.positions, Float64Array.of(5))
    })
  )
})

layer(cpu({ threads: 1, real: "f64" }))("gradients of kernels on rows, in f64", (it) => {
  it.effect("layernormGradient is that of central differences, with a residual and without, in place", () =>
    Effect.gen(function* () {
      for (const [rows, width] of [
        [1, 8],
        [5, 37],
        [40, 16]
      ] as const) {
        const [x, gamma, beta, dOut] = [
          random(1, rows * width),
          random(2, width),
          random(3, width),
          random(4, rows * width)
        ]
        const loss = (x: Float64Array, gamma: Float64Array, beta: Float64Array) =>
          layernorm(x, gamma, beta).pipe(Effect.map(({ out }) => dot(out, dOut)))
        const { mean, rstd } = yield* layernorm(x, gamma, beta)
        const saved = { dOut, x, gamma, mean, rstd, dGamma: zeros(width), dBeta: zeros(width) }
        const gradient = yield* run("layernormGradient", { ...saved, dx: random(9, x.length) }, { rows, width }, {})
        yield* checkGradient("x", (x) => loss(x, gamma, beta), x, gradient.dx)
        yield* checkGradient("gamma", (gamma) => loss(x, gamma, beta), gamma, gradient.dGamma)
        yield* checkGradient("beta", (beta) => loss(x, gamma, beta), beta, gradient.dBeta)

        const dResidual = random(5, x.length)
        const sum = gradient.dx.map((value, i) => value + dResidual[i]!)
        const inPlace = yield* run("layernormGradient", { ...saved, dResidual, dx: dResidual }, { rows, width }, {})
        close(inPlace.dx, sum, 1e-14, "dx in place of dResidual")
        const overOut = yield* run("layernormGradient", { ...saved, dResidual, dx: dOut }, { rows, width }, {})
        sameBits(overOut.dx, inPlace.dx, "dx in place of dOut")
      }
    })
  )

  it.effect("embeddingGradient is that of central differences", () =>
    Effect.gen(function* () {
      const t = tables(37, 13)
      const [ids, positions, dOut] = [t.ids, t.positions, random(3, 37 * 13)]
      const loss = (tokenTable: Float64Array, positionTable: Float64Array) =>
        run("embedding", { ids, positions, tokenTable, positionTable, out: zeros(37 * 13) }, t.sizes, {}).pipe(
          Effect.map(({ out }) => dot(out, dOut))
        )
      const gradient = yield* run(
        "embeddingGradient",
        { ids, positions, dOut, dTokenTable: zeros(11 * 13), dPositionTable: zeros(9 * 13) },
        t.sizes,
        {}
      )
      yield* checkGradient("tokens", (x) => loss(x, t.places), t.tokens, gradient.dTokenTable)
      yield* checkGradient("positions", (x) => loss(t.tokens, x), t.places, gradient.dPositionTable)
    })
  )
})

describe("operands", () => {
  const at = (memory: number, offset = 0) => ({ memory, offset })
  const cacheWrite = (length: number, capacity: number): AnyLaunch => ({
    kernel: "cacheWrite",
    buffers: { qkv: at(0), keys: at(1), values: at(1, 4 * 2 * 16 * 8) },
    integers: { batch: 2, length, slots: 2, capacity, heads: 1, keyHeads: 1, headWidth: 8 },
    reals: {}
  })
  const memories = [{ bytes: 2 * 5 * 24 * 4 }, { bytes: 2 * (16 + 7) * 8 * 4 }]

  plain("are those of the kernel table, with their bytes", () => {
    const bytes = operandBytes(cacheWrite(5, 7), "f64").map(({ name, bytes }) => [name, bytes])
    assert.deepStrictEqual(bytes, [
      ["qkv", 8 * 240],
      ["keys", 8 * 256],
      ["values", 8 * 112]
    ])
    const embedding: AnyLaunch = {
      kernel: "embedding",
      buffers: { ids: at(0), tokenTable: at(0), out: at(1) },
      integers: { rows: 3, width: 5, vocabulary: 7, context: 0 },
      reals: {}
    }
    const names = operandBytes(embedding, "f64").map(({ name, bytes }) => `${name} ${bytes}`)
    assert.deepStrictEqual(names, ["ids 12", "tokenTable 280", "out 120"])
  })

  plain("that fit are let through, and others are refused by launch, kernel and name", () => {
    const check = (launch: AnyLaunch, given = memories) => checkLaunch(launch, 3, "f32", given)
    assert.isNull(check(cacheWrite(5, 7)))
    assert.match(check(cacheWrite(6, 7))!, /launch 3 \(cacheWrite\): buffer qkv .* which has 960/)
    assert.match(check(cacheWrite(5, 8))!, /buffer values/)
    assert.match(check(cacheWrite(5, 4))!, /length 5 is more than capacity 4/)
    assert.match(check(cacheWrite(0, 7))!, /length is 0/)
    assert.match(check(cacheWrite(-2, 7))!, /length is -2/)
    assert.match(check(cacheWrite(1.5, 7))!, /length is 1.5/)
    assert.match(check(cacheWrite(5, 7), memories.slice(0, 1))!, /keys is in memory 1/)
    const misplaced = cacheWrite(5, 7)
    assert.match(check({ ...misplaced, buffers: { ...misplaced.buffers, qkv: at(0, -4) } } as AnyLaunch)!, /offset -4/)
  })
})
