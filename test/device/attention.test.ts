import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { checkGradient, close, dot, random, run, sameBits, zeros } from "./launch.ts"

interface Shape {
  readonly batch: number
  readonly length: number
  readonly heads: number
  readonly keyHeads: number
  readonly headWidth: number
}

const rowWidth = ({ headWidth, heads, keyHeads }: Pick<Shape, "headWidth" | "heads" | "keyHeads">) =>
  (heads + 2 * keyHeads) * headWidth

const reference = (shape: Shape, qkv: Float64Array) => {
  const { batch, length, heads, keyHeads, headWidth } = shape
  const c = heads * headWidth
  const out = zeros(batch * length * c)
  const logSumExp = zeros(batch * heads * length)
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let t = 0; t < length; t++) {
        const keyHead = Math.floor((h * keyHeads) / heads)
        const places = [h, heads + keyHead, heads + keyHeads + keyHead]
        const at = (row: number, part: number) => (b * length + row) * rowWidth(shape) + places[part]! * headWidth
        const scores = Array.from({ length: t + 1 }, (_, s) => {
          let sum = 0
          for (let d = 0; d < headWidth; d++) sum += qkv[at(t, 0) + d]! * qkv[at(s, 1) + d]!
          return sum / Math.sqrt(headWidth)
        })
        const top = Math.max(...scores)
        const lse = top + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - top), 0))
        logSumExp[(b * heads + h) * length + t] = lse
        scores.forEach((score, s) => {
          for (let d = 0; d < headWidth; d++) {
            out[(b * length + t) * c + h * headWidth + d]! += Math.exp(score - lse) * qkv[at(s, 2) + d]!
          }
        })
      }
    }
  }
  return { out, logSumExp }
}

const forward = (shape: Shape, qkv: Float64Array) => {
  const tokens = shape.batch * shape.length
  return run(
    "attention",
    { qkv, out: zeros(tokens * shape.heads * shape.headWidth), logSumExp: zeros(tokens * shape.heads) },
    shape,
    {}
  )
}

const input = (shape: Shape, seed = 1) => random(seed, shape.batch * shape.length * rowWidth(shape), 1.5)
const outElements = ({ batch, headWidth, heads, length }: Shape) => batch * length * heads * headWidth

const backward = Effect.fnUntraced(function* (shape: Shape, qkv: Float64Array, dOut: Float64Array) {
  const { out, logSumExp } = yield* forward(shape, qkv)
  // Rubbish at first: the gradient is overwritten.
  const dQkv = random(9, qkv.length)
  return (yield* run("attentionGradient", { dOut, qkv, out, logSumExp, dQkv }, shape, {})).dQkv
})

const shapes: ReadonlyArray<Shape> = [
  ...[1, 2, 7, 37, 70].flatMap((length) =>
    [8, 16, 24, 64].map((headWidth) => ({ batch: 2, length, heads: 3, keyHeads: 3, headWidth }))
  ),
  { batch: 2, length: 37, heads: 6, keyHeads: 2, headWidth: 16 },
  { batch: 2, length: 70, heads: 4, keyHeads: 1, headWidth: 10 }
]

layer(cpu({ threads: 1, real: "f32" }))("attention in f32", (it) => {
  it.effect("is softmax(q k / sqrt(headWidth)) v over the past", () =>
    Effect.gen(function* () {
      for (const shape of [...shapes, { batch: 1, length: 130, heads: 1, keyHeads: 1, headWidth: 12 }]) {
        const qkv = input(shape)
        const actual = yield* forward(shape, qkv)
        const expected = reference(shape, qkv)
        const what = `length ${shape.length}, headWidth ${shape.headWidth}`
        close(actual.out, expected.out, 3e-6, what)
        close(actual.logSumExp, expected.logSumExp, 1e-6, what)
      }
    })
  )

  it.effect("a token does not change what comes before it, bit for bit", () =>
    Effect.gen(function* () {
      const shape = { batch: 1, length: 70, heads: 2, keyHeads: 2, headWidth: 24 }
      const qkv = input(shape)
      const before = yield* forward(shape, qkv)
      const width = 2 * 24
      for (const token of [1, 5, 16, 33, 64, 69]) {
        const edited = qkv.slice()
        edited.set(random(token, 3 * width, 20), token * 3 * width)
        const after = yield* forward(shape, edited)
        sameBits(after.out.slice(0, token * width), before.out.slice(0, token * width), `out before ${token}`)
        for (const head of [0, 70]) {
          const past = (x: Float64Array) => x.slice(head, head + token)
          sameBits(past(after.logSumExp), past(before.logSumExp), `logSumExp before ${token}`)
        }
        // Nor does the gradient of what came before it reach it.
        const dOut = random(2, 70 * width).fill(0, token * width)
        const dQkv = yield* backward(shape, qkv, dOut)
        sameBits(dQkv.slice(token * 3 * width).map(Math.abs), zeros((70 - token) * 3 * width), `gradient at ${token}`)
      }
    })
  )

  it.effect("gradient in f32 is near that in f64", () =>
    Effect.gen(function* () {
      for (const shape of shapes) {
        const qkv = input(shape)
        const dOut = random(3, outElements(shape))
        const expected = yield* backward(shape, qkv, dOut).pipe(Effect.provide(cpu({ threads: 1, real: "f64" })))
        close(yield* backward(shape, qkv, dOut), expected, 1e-5, `length ${shape.length}, width ${shape.headWidth}`)
      }
    })
  )

  it.effect("decoding token by token from a cache gives the rows of whole attention", () =>
    Effect.gen(function* () {
      for (const { headWidth, heads, keyHeads } of [
        { headWidth: 8, heads: 3, keyHeads: 3 },
        { headWidth: 24, heads: 4, keyHeads: 2 },
        { headWidth: 64, heads: 3, keyHeads: 1 }
      ]) {
        const [batch, length, capacity, prompt] = [2, 37, 45, 5]
        const c = heads * headWidth
        const wide = rowWidth({ heads, keyHeads, headWidth })
        const qkv = input({ batch, length, heads, keyHeads, headWidth })
        const whole = reference({ batch, length, heads, keyHeads, headWidth }, qkv)
        const rows = (from: number, to: number) => {
          const out = zeros(batch * (to - from) * wide)
          for (let b = 0; b < batch; b++) {
            const start = (b * length + from) * wide
            out.set(qkv.subarray(start, start + (to - from) * wide), b * (to - from) * wide)
          }
          return out
        }
        // What an earlier sequence left in the cache does not matter.
        const stale = random(8, batch * keyHeads * headWidth * 48, 100)
        let { keys, values } = yield* run(
          "cacheWrite",
          { qkv: rows(0, prompt), keys: stale, values: stale.slice(0, batch * keyHeads * headWidth * capacity) },
          { batch, length: prompt, slots: batch, capacity, heads, keyHeads, headWidth },
          {}
        )
        for (let t = prompt; t < length; t++) {
          const decoded = yield* run(
            "decodeAttention",
            { qkv: rows(t, t + 1), positions: Int32Array.of(t, t), keys, values, out: zeros(batch * c) },
            { batch, capacity, heads, keyHeads, headWidth },
            {}
          )
          keys = decoded.keys
          values = decoded.values
          for (let b = 0; b < batch; b++) {
            const at = (b * length + t) * c
            close(decoded.out.slice(b * c, (b + 1) * c), whole.out.subarray(at, at + c), 5e-6, `token ${t} of ${b}`)
          }
        }
        // Written one by one or at once, the cache is the same.
        const once = yield* run(
          "cacheWrite",
          { qkv, keys: stale, values: stale.slice(0, batch * keyHeads * headWidth * capacity) },
          { batch, length, slots: batch, capacity, heads, keyHeads, headWidth },
          {}
        )
        sameBits(keys, once.keys, "keys")
        sameBits(values, once.values, "values")
        // Given places, sequences go there and leave all other slots as they were.
        const [slots, size] = [4, keyHeads * headWidth * 48]
        const wideStale = random(9, slots * size, 100)
        const placed = yield* run(
          "cacheWrite",
          { qkv, places: Int32Array.of(2, -1), keys: wideStale, values: wideStale.slice() },
          { batch, length, slots, capacity, heads, keyHeads, headWidth },
          {}
        )
        const fresh = yield* run(
          "cacheWrite",
          { qkv, keys: wideStale.slice(2 * size, 4 * size), values: wideStale.slice() },
          { batch, length, slots: batch, capacity, heads, keyHeads, headWidth },
          {}
        )
        const expected = wideStale.slice()
        expected.set(fresh.keys.subarray(0, size), 2 * size)
        sameBits(placed.keys, expected, "placed keys")
      }
    })
  )

  it.effect("decoding does not depend on the rest of the batch", () =>
    Effect.gen(function* () {
      const [batch, capacity, heads, headWidth] = [3, 40, 2, 24]
      const c = heads * headWidth
      const [qkv, keys, values] = [random(1, batch * 3 * c), random(2, batch * c * 48), random(3, batch * c * capacity)]
      const positions = Int32Array.of(0, 21, 39)
      const sizes = { capacity, heads, keyHeads: heads, headWidth }
      const whole = yield* run(
        "decodeAttention",
        { qkv, positions, keys, values, out: zeros(batch * c) },
        { ...sizes, batch },
        {}
      )
      for (let b = 0; b < batch; b++) {
        const part = <A extends Float64Array>(x: A) => x.slice((b * x.length) / batch, ((b + 1) * x.length) / batch)
        const alone = yield* run(
          "decodeAttention",
          {
            qkv: part(qkv),
            positions: positions.slice(b, b + 1),
            keys: part(keys),
            values: part(values),
            out: zeros(c)
          },
          { ...sizes, batch: 1 },
          {}
        )
        sameBits(alone.out, part(whole.out), `sequence ${b}`)
      }
    })
  )
})

layer(cpu({ threads: 1, real: "f64" }))("attentionGradient in f64", (it) => {
  for (const [length, headWidth, heads] of [
    [2, 8, 2],
    [37, 24, 4],
    [70, 16, 2],
    [7, 64, 6]
  ] as const) {
    it.effect(`is that of central differences, length ${length}, headWidth ${headWidth}, ${heads} heads`, () =>
      Effect.gen(function* () {
        const shape = { batch: 2, length, heads, keyHeads: 2, headWidth }
        const qkv = input(shape)
        const dOut = random(2, outElements(shape))
        const loss = (x: Float64Array) => forward(shape, x).pipe(Effect.map(({ out }) => dot(out, dOut)))
        yield* checkGradient("dQkv", loss, qkv, yield* backward(shape, qkv, dOut), 50)
      })
    )
  }
})
