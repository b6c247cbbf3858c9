import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { philox, uniform } from "../../src/device/philox.ts"
import { close, dot, random, run, sameBits, zeros } from "./launch.ts"

const width = 13
const vocabulary = 37
const table = random(2, vocabulary * width, 0.6)

const logSoftmax = (logits: ReadonlyArray<number>) => {
  const top = Math.max(...logits)
  const lse = top + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - top), 0))
  return logits.map((z) => z - lse)
}

/** log-probabilities of each token for one row of x. */
const logProbabilities = (x: Float64Array, temperature: number) =>
  logSoftmax(
    Array.from(
      { length: vocabulary },
      (_, j) => dot(x, table.subarray(j * width, (j + 1) * width)) / (temperature === 0 ? 1 : temperature)
    )
  )

interface Settings {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly endToken?: number
}

/** `times` tokens of each row of x, from position 0. */
const draw = (
  x: Float64Array,
  keys: Int32Array,
  times: number,
  s: Settings,
  limits?: Int32Array,
  done?: Int32Array
) => {
  const batch = x.length / width
  const capacity = times + 1
  return run(
    "sample",
    {
      x,
      table,
      keys,
      limits: limits ?? new Int32Array(batch).fill(capacity),
      ids: new Int32Array(batch),
      positions: new Int32Array(batch),
      done: done ?? new Int32Array(batch),
      tokens: new Int32Array(batch * capacity).fill(-1),
      logProbability: zeros(batch * capacity)
    },
    { batch, width, vocabulary, capacity, topK: s.topK, endToken: s.endToken ?? -1 },
    { temperature: s.temperature, topP: s.topP },
    times
  )
}

/** The same row, `batch` times, each with a key of its own. */
const many = (row: Float64Array, batch: number) => {
  const x = zeros(batch * width)
  for (let b = 0; b < batch; b++) x.set(row, b * width)
  return { x, keys: Int32Array.from({ length: 2 * batch }, (_, i) => (i % 2 === 0 ? 12345 : i)) }
}

/** Counts of 100 draws of each of `batch` sequences, all from one row. */
const count = Effect.fnUntraced(function* (row: Float64Array, settings: Settings, batch = 1000) {
  const times = 100
  const { x, keys } = many(row, batch)
  const { tokens } = yield* draw(x, keys, times, settings)
  const counts = new Array<number>(vocabulary).fill(0)
  for (let b = 0; b < batch; b++) {
    for (let t = 1; t <= times; t++) counts[tokens[b * (times + 1) + t]!]!++
  }
  return counts
})

/** Chi-squared of the counts lies below its 1 - 1e-4 quantile (Wilson & Hilferty 1931). */
const fits = (counts: ReadonlyArray<number>, p: ReadonlyArray<number>) => {
  const draws = counts.reduce((a, b) => a + b, 0)
  let chi = 0
  let cells = 0
  let [restCount, restP] = [0, 0]
  const cell = (observed: number, probability: number) => {
    chi += (observed - draws * probability) ** 2 / (draws * probability)
    cells++
  }
  p.forEach((probability, j) => {
    if (probability === 0) assert.strictEqual(counts[j], 0, `token ${j} is cut`)
    else if (draws * probability >= 10) cell(counts[j]!, probability)
    else {
      restCount += counts[j]!
      restP += probability
    }
  })
  if (restP * draws >= 1) cell(restCount, restP)
  assert.isAbove(cells, 2)
  const df = cells - 1
  const quantile = df * (1 - 2 / (9 * df) + 3.719 * Math.sqrt(2 / (9 * df))) ** 3
  assert.isBelow(chi, quantile)
}

const ranked = (log: ReadonlyArray<number>) => log.map((_, j) => j).sort((a, b) => log[b]! - log[a]! || a - b)

/** Probabilities after the cuts, each in its own words. */
const cut = (log: ReadonlyArray<number>, topK: number, topP: number) => {
  const order = ranked(log).slice(0, topK === 0 ? log.length : topK)
  const p = order.map((j) => Math.exp(log[j]!))
  const total = p.reduce((a, b) => a + b, 0)
  let kept = 0
  for (let mass = 0; kept < p.length && mass < topP * total; kept++) mass += p[kept]!
  const mass = p.slice(0, kept).reduce((a, b) => a + b, 0)
  const out = new Array<number>(log.length).fill(0)
  for (let rank = 0; rank < kept; rank++) out[order[rank]!] = p[rank]! / mass
  return { p: out, kept }
}

layer(cpu({ threads: 1, real: "f32" }))("sample", (it) => {
  const row = random(1, width)

  it.effect("1e5 draws have the probabilities of the softmax, at several temperatures and cuts", () =>
    Effect.gen(function* () {
      for (const [temperature, topK, topP] of [
        [1, 0, 1],
        [0.7, 0, 1],
        [2, 0, 1],
        [1, 5, 1],
        [1, 0, 0.7],
        [1.5, 12, 0.8]
      ] as const) {
        const { p, kept } = cut(logProbabilities(row, temperature), topK, topP)
        const counts = yield* count(row, { temperature, topK, topP })
        assert.strictEqual(
          counts.reduce((a, b) => a + b),
          100_000
        )
        fits(counts, p)
        if (topK > 0 || topP < 1) {
          assert.isBelow(kept, vocabulary)
          assert.strictEqual(counts.filter((n) => n > 0).length, kept, "the whole support is drawn")
        }
      }
    })
  )

  it.effect("top-p keeps the smallest prefix whose mass reaches p", () =>
    Effect.gen(function* () {
      const log = logProbabilities(row, 1)
      const order = ranked(log)
      const first = Math.exp(log[order[0]!]!)
      const second = first + Math.exp(log[order[1]!]!)
      const support = (topP: number) =>
        count(row, { temperature: 1, topK: 0, topP }, 20).pipe(Effect.map((n) => n.filter((x) => x > 0).length))
      assert.strictEqual(yield* support(first - 1e-4), 1)
      assert.strictEqual(yield* support(first + 1e-4), 2)
      assert.strictEqual(yield* support(second - 1e-4), 2)
      assert.strictEqual(yield* support(second + 1e-4), 3)
    })
  )

  it.effect("temperature 0 takes the largest logit, the lowest id on a tie", () =>
    Effect.gen(function* () {
      const x = random(5, 20 * width)
      const keys = new Int32Array(40)
      const { ids, logProbability } = yield* draw(x, keys, 1, { temperature: 0, topK: 0, topP: 1 })
      for (let b = 0; b < 20; b++) {
        const log = logProbabilities(x.subarray(b * width, (b + 1) * width), 0)
        assert.strictEqual(ids[b], ranked(log)[0])
        assert.closeTo(logProbability[2 * b + 1]!, Math.max(...log), 1e-5)
      }
      const tie = yield* draw(zeros(width), Int32Array.of(1, 2), 1, { temperature: 0, topK: 0, topP: 1 })
      assert.strictEqual(tie.ids[0], 0)
    })
  )

  it.effect("the log-probability is the full softmax's at the temperature, whatever the cuts", () =>
    Effect.gen(function* () {
      const [batch, times] = [9, 20]
      const x = random(6, batch * width)
      const keys = Int32Array.from(random(7, 2 * batch, 1e6))
      for (const temperature of [0.7, 1, 1.9]) {
        for (const topK of [0, 4]) {
          const { tokens, logProbability } = yield* draw(x, keys, times, { temperature, topK, topP: 0.9 })
          for (let b = 0; b < batch; b++) {
            const log = logProbabilities(x.subarray(b * width, (b + 1) * width), temperature)
            const at = b * (times + 1) + 1
            const expected = Array.from(tokens.subarray(at, at + times), (token) => log[token]!)
            close(logProbability.slice(at, at + times), expected, 1e-5)
          }
        }
      }
    })
  )

  it.effect("the uniform is Philox of the sequence's key and the position", () =>
    Effect.gen(function* () {
      const key = [0xdeadbeef, 0x80000001] as const
      const times = 50
      const { tokens } = yield* draw(row, Int32Array.of(key[0] | 0, key[1] | 0), times, {
        temperature: 1,
        topK: 0,
        topP: 1
      })
      const p = logProbabilities(row, 1).map(Math.exp)
      for (let position = 1; position <= times; position++) {
        const u = uniform(philox(key, [position, 0, 0, 0])[0])
        let token = 0
        for (let seen = p[0]!; seen <= u; seen += p[token]!) token++
        assert.strictEqual(tokens[position], token, `position ${position}`)
      }
    })
  )

  it.effect("a sequence draws the same tokens, bit for bit, whatever the batch", () =>
    Effect.gen(function* () {
      const [batch, times] = [11, 30]
      const x = random(8, batch * width)
      const keys = Int32Array.from(random(9, 2 * batch, 1e6))
      const settings = { temperature: 1.2, topK: 20, topP: 0.95 }
      const whole = yield* draw(x, keys, times, settings)
      for (const b of [0, 3, 10]) {
        const alone = yield* draw(x.slice(b * width, (b + 1) * width), keys.slice(2 * b, 2 * b + 2), times, settings)
        const from = b * (times + 1)
        sameBits(alone.tokens, whole.tokens.slice(from, from + times + 1), "tokens")
        sameBits(alone.logProbability, whole.logProbability.slice(from, from + times + 1), "logProbability")
      }
    })
  )

  it.effect("a sequence ends at its end token or its limit, and is left alone after", () =>
    Effect.gen(function* () {
      const [batch, times] = [200, 30]
      const { x, keys } = many(row, batch)
      const limits = Int32Array.from({ length: batch }, (_, b) => 5 + (b % 20))
      const before = new Int32Array(batch)
      before[7] = 1
      const endToken = ranked(logProbabilities(row, 1))[1]!
      const settings = { temperature: 1, topK: 0, topP: 1, endToken }
      const { tokens, positions, done } = yield* draw(x, keys, times, settings, limits, before)
      const ends = { token: 0, limit: 0 }
      for (let b = 0; b < batch; b++) {
        const drawn = tokens.subarray(b * (times + 1) + 1, (b + 1) * (times + 1))
        const last = positions[b]!
        assert.strictEqual(done[b], 1)
        if (b === 7) {
          assert.strictEqual(last, 0)
          assert.isTrue(drawn.every((token) => token === -1))
          continue
        }
        const end = drawn.indexOf(endToken) + 1
        ends[end > 0 ? "token" : "limit"]++
        assert.strictEqual(last, end > 0 ? end : limits[b])
        drawn.forEach((token, i) => {
          assert.strictEqual(token >= 0, i < last, `sequence ${b}, token ${i}`)
        })
      }
      assert.isAbove(ends.token, 10)
      assert.isAbove(ends.limit, 10)
    })
  )
})
