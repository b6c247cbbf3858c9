import { describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Activation, Precision } from "../../src/device/kernel.ts"
import { random, run, sameBits, zeros } from "./launch.ts"

// Captured log-probabilities need both: a token's row in a decoding step, beside other sequences, and in a scoring pass, beside its own past.
describe("what a rollout captures equals what scoring finds, bit for bit", () => {
  layer(cpu())((it) => {
    it.effect("attention of a decoded token is its row of whole attention", () =>
      Effect.gen(function* () {
        for (const [headWidth, length] of [
          [16, 37],
          [20, 45],
          [24, 20],
          [64, 83]
        ] as const) {
          const [batch, heads, capacity] = [2, 3, 90]
          const c = heads * headWidth
          const sizes = { batch, length, heads, keyHeads: heads, headWidth }
          const qkv = random(1, batch * length * 3 * c)
          const none = { out: zeros(batch * length * c), logSumExp: zeros(batch * heads * length) }
          const { out } = yield* run("attention", { qkv, ...none }, sizes, {})
          const cache = { keys: zeros(batch * 96 * c), values: zeros(batch * capacity * c) }
          const { keys, values } = yield* run("cacheWrite", { qkv, ...cache }, { ...sizes, slots: batch, capacity }, {})
          for (const t of [0, 1, 15, 16, length - 1]) {
            const row = zeros(batch * 3 * c)
            for (let b = 0; b < batch; b++) {
              const at = (b * length + t) * 3 * c
              row.set(qkv.subarray(at, at + 3 * c), b * 3 * c)
            }
            const positions = new Int32Array(batch).fill(t)
            const decoded = yield* run(
              "decodeAttention",
              { qkv: row, positions, keys, values, out: zeros(batch * c) },
              { batch, capacity, heads, keyHeads: heads, headWidth },
              {}
            )
            for (let b = 0; b < batch; b++) {
              const at = (b * length + t) * c
              sameBits(decoded.out.slice(b * c, (b + 1) * c), out.slice(at, at + c), `width ${headWidth}, token ${t}`)
            }
          }
        }
      })
    )

    it.effect("a row of a product is the same whatever rows are beside it", () =>
      Effect.gen(function* () {
        for (const [n, k, transposeB] of [
          [70, 300, 0],
          [96, 520, 0],
          [70, 300, 1]
        ] as const) {
          const rows = 90
          const [a, b, bias] = [random(1, rows * k), random(2, n * k), random(3, n)]
          const product = (m: number) =>
            run(
              "matmul",
              { a: a.slice(0, m * k), b, bias, out: zeros(m * n) },
              {
                m,
                n,
                k,
                transposeA: 0,
                transposeB,
                accumulate: 0,
                activation: Activation.gelu,
                precision: Precision.f32
              },
              {}
            )
          const { out } = yield* product(rows)
          for (const m of [1, 2, 3, 4, 7, 16, 64, 65]) {
            sameBits((yield* product(m)).out, out.slice(0, m * n), `${m} rows of ${n} x ${k}`)
          }
        }
      })
    )

    it.effect("the log-probability of a drawn token is lmHead's", () =>
      Effect.gen(function* () {
        for (const [batch, vocabulary, temperature] of [
          [1, 37, 1],
          [7, 4133, 0.7],
          [40, 1030, 1.3]
        ] as const) {
          const width = 24
          const x = random(1, batch * width)
          const table = random(2, vocabulary * width, 0.5)
          const drawn = yield* run(
            "sample",
            {
              x,
              table,
              keys: Int32Array.from({ length: 2 * batch }, (_, i) => i),
              limits: new Int32Array(batch).fill(1),
              ids: new Int32Array(batch),
              positions: new Int32Array(batch),
              done: new Int32Array(batch),
              tokens: new Int32Array(batch * 2),
              logProbability: zeros(batch * 2)
            },
            { batch, width, vocabulary, capacity: 2, topK: 20, endToken: -1 },
            { temperature, topP: 0.9 }
          )
          const scored = yield* run(
            "lmHead",
            { x, table, targets: Int32Array.from(drawn.ids), logProbability: zeros(batch), logSumExp: zeros(batch) },
            { rows: batch, width, vocabulary, precision: Precision.f32 },
            { inverseTemperature: 1 / temperature }
          )
          const captured = Float64Array.from({ length: batch }, (_, b) => drawn.logProbability[2 * b + 1]!)
          sameBits(captured, scored.logProbability, `batch ${batch}, vocabulary ${vocabulary}`)
        }
      })
    )
  })
})
