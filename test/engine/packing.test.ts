import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { pack, pad, padPacked, predicted, split, targetCount } from "../../src/engine/batch.ts"
import { initialize } from "../../src/engine/model.ts"
import { philox } from "../../src/engine/random.ts"
import * as Session from "../../src/engine/session.ts"
import { families } from "./families.ts"

const models = families({ context: 64, tied: true })
const sequences = [33, 5, 20, 64, 2, 17, 9, 31, 12].map((n, i) => ({
  tokens: Int32Array.from({ length: n }, (_, t) => philox([i, 3], [t, 0, 0, 0])[0]! % 37),
  from: 1 + (i % 2)
}))

describe("padding", () => {
  it("rounds up, but not beyond the context; what is longer than that keeps its length", () => {
    const lengthOf = (n: number, context?: number) =>
      pad([{ tokens: new Int32Array(n), from: 1 }], context === undefined ? {} : { context }).length
    assert.deepStrictEqual([lengthOf(17), lengthOf(17, 24), lengthOf(16, 24), lengthOf(30, 24)], [32, 24, 16, 30])
  })
})

describe("packing", () => {
  it("puts every sequence into one row, none beyond its length, and wastes less than half", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 60 }), (lengths) => {
        const rows = pack(lengths, 50)
        assert.deepStrictEqual(
          rows.flat().toSorted((a, b) => a - b),
          lengths.map((_, i) => i)
        )
        const used = rows.map((members) => members.reduce((sum, i) => sum + lengths[i]!, 0))
        for (const total of used) assert.isAtMost(total, 50)
        // Best fit leaves no two rows that would go into one.
        const [least = 50, next = 50] = used.toSorted((a, b) => a - b)
        if (used.length > 1) assert.isAbove(least + next, 50)
      })
    )
  })

  it("predicts no token of one text from another's", () => {
    const batch = padPacked([sequences.slice(0, 3)], 64)
    assert.strictEqual(
      targetCount(batch),
      sequences.slice(0, 3).reduce((sum, s) => sum + predicted(s), 0)
    )
    assert.strictEqual(batch.targets[32], -1)
    assert.strictEqual(batch.targets[37], -1)
    assert.deepStrictEqual(
      [batch.starts![32], batch.starts![33], batch.starts![38], batch.starts![63]],
      [0, 33, 38, 58]
    )
  })

  it.effect.each(Object.entries(models))("loss and gradients of %s are those of the texts apart", ([, config]) =>
    Effect.gen(function* () {
      const rows = pack(
        sequences.map(({ tokens }) => tokens.length),
        64
      )
      const packed = padPacked(
        rows.map((members) => members.map((i) => sequences[i]!)),
        64
      )
      assert.isBelow(packed.batch, sequences.length)
      const apart = pad(sequences, { multiple: 1 })
      const count = targetCount(apart)
      assert.strictEqual(targetCount(packed), count)
      const of = Effect.fnUntraced(function* (batches: ReadonlyArray<typeof packed>) {
        const session = yield* Session.make(initialize(config, 1))
        let loss = 0
        for (const batch of batches) loss += yield* session.languageModelLoss(batch, count)
        return { loss, gradients: yield* session.gradients }
      }, Effect.scoped)
      const expected = yield* of([apart])
      for (const batches of [[packed], split(packed, 1)]) {
        const actual = yield* of(batches)
        assert.closeTo(actual.loss, expected.loss, 1e-6)
        const largest = (values: ArrayLike<number>) =>
          Array.from(values).reduce((most, x) => Math.max(most, Math.abs(x)), 0)
        const errors = actual.gradients.map((value, i) => value - expected.gradients[i]!)
        assert.isBelow(largest(errors), 1e-5 * largest(expected.gradients))
      }
      const threads = (n: number) => of([packed]).pipe(Effect.provide(cpu({ threads: n })))
      assert.deepStrictEqual(yield* threads(4), yield* threads(1))
      // Naively, as one text a row, it is another loss.
      const { starts: _, ...naive } = packed
      assert.isAbove(Math.abs((yield* of([naive])).loss - expected.loss), 1e-4)
    }).pipe(Effect.provide(cpu({ threads: 2 })))
  )
})
