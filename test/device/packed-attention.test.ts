import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { attempt, checkGradient, close, dot, random, run, zeros } from "./launch.ts"

interface Shape {
  readonly length: number
  readonly heads: number
  readonly keyHeads: number
  readonly headWidth: number
}

const rowWidth = ({ headWidth, heads, keyHeads }: Shape) => (heads + 2 * keyHeads) * headWidth

/** The texts' lengths as starts of each row. */
const startsOf = (lengths: ReadonlyArray<number>) => {
  let at = 0
  return Int32Array.from(
    lengths.flatMap((n) => {
      const start = at
      at += n
      return Array.from({ length: n }, () => start)
    })
  )
}

const forward = (shape: Shape, qkv: Float64Array, starts?: Int32Array) =>
  run(
    "attention",
    {
      qkv,
      ...(starts === undefined ? {} : { starts }),
      out: zeros(shape.length * shape.heads * shape.headWidth),
      logSumExp: zeros(shape.length * shape.heads)
    },
    { batch: 1, ...shape },
    {}
  )

const backward = Effect.fnUntraced(function* (
  shape: Shape,
  qkv: Float64Array,
  dOut: Float64Array,
  starts?: Int32Array
) {
  const { logSumExp, out } = yield* forward(shape, qkv, starts)
  const dQkv = random(9, qkv.length)
  const buffers = { dOut, qkv, ...(starts === undefined ? {} : { starts }), out, logSumExp, dQkv }
  return (yield* run("attentionGradient", buffers, { batch: 1, ...shape }, {})).dQkv
})

const packings = [[70], [1, 2, 3, 64], [33, 37], [5, 60, 5], [140, 3, 57]]
const shapes = [
  { heads: 2, keyHeads: 2, headWidth: 16 },
  { heads: 4, keyHeads: 1, headWidth: 10 }
]

layer(cpu({ threads: 1 }))("texts in one sequence", (it) => {
  it.effect("see nothing of each other: each is attended to and differentiated as if alone", () =>
    Effect.gen(function* () {
      for (const sizes of shapes) {
        for (const lengths of packings) {
          const length = lengths.reduce((a, b) => a + b)
          const shape = { ...sizes, length }
          const [wide, c] = [rowWidth(shape), sizes.heads * sizes.headWidth]
          const [qkv, dOut] = [random(1, length * wide, 1.5), random(2, length * c)]
          const starts = startsOf(lengths)
          const { out } = yield* forward(shape, qkv, starts)
          const dQkv = yield* backward(shape, qkv, dOut, starts)
          let at = 0
          for (const n of lengths) {
            const part = (x: Float64Array, width: number) => x.slice(at * width, (at + n) * width)
            const own = { ...sizes, length: n }
            const alone = yield* forward(own, part(qkv, wide))
            close(part(out, c), alone.out, 3e-6, `${lengths}, text at ${at}`)
            close(part(dQkv, wide), yield* backward(own, part(qkv, wide), part(dOut, c)), 1e-5, `gradient at ${at}`)
            at += n
          }
        }
      }
    })
  )

  it.effect("a start after its row, or below 0, is a fault", () =>
    Effect.gen(function* () {
      const shape = { length: 40, heads: 1, keyHeads: 1, headWidth: 8 }
      for (const bad of [-1, 31]) {
        const starts = new Int32Array(40)
        starts[30] = bad
        const buffers = { qkv: random(1, 40 * 24), starts, out: zeros(320), logSumExp: zeros(40) }
        const { exit } = yield* attempt("attention", buffers, { batch: 1, ...shape }, {})
        const error = yield* Effect.flip(exit)
        assert.include(error.message, `row 30 has ${bad}`)
      }
    })
  )
})

layer(cpu({ threads: 1, real: "f64" }))("gradient of attention of several texts, in f64", (it) => {
  describe("is that of central differences", () => {
    for (const lengths of [
      [9, 4, 20],
      [40, 1, 30]
    ]) {
      it.effect(`texts of ${lengths}`, () =>
        Effect.gen(function* () {
          const shape = { heads: 4, keyHeads: 2, headWidth: 12, length: lengths.reduce((a, b) => a + b) }
          const qkv = random(1, shape.length * rowWidth(shape))
          const dOut = random(2, shape.length * 48)
          const starts = startsOf(lengths)
          const loss = (x: Float64Array) => Effect.map(forward(shape, x, starts), ({ out }) => dot(out, dOut))
          yield* checkGradient("dQkv", loss, qkv, yield* backward(shape, qkv, dOut, starts), 50)
        })
      )
    }
  })
})
