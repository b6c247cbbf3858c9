import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { load } from "../../src/table/arrow.ts"
import { columns } from "../../src/table/columns.ts"
import { cutByContent, makeCutter } from "../../src/table/cut.ts"
import { tableDigest } from "../../src/table/digest.ts"
import { fromRecordBatch } from "../../src/table/from-arrow.ts"
import * as Table from "../../src/table/index.ts"
import { rowHashes } from "../../src/table/row-hash.ts"

/** The rule as it is stated, looking at every pair of rows. */
const cutsByDefinition = (rows: ReadonlyArray<{ hash: number; weight: number }>, window: number) => {
  const starts: Array<number> = []
  let end = 0
  for (const { weight } of rows) {
    starts.push(end)
    end += weight
  }
  const last = starts.at(-1) ?? 0
  return rows.flatMap(({ hash }, i) => {
    const near = rows.filter((_, j) => j !== i && Math.abs(starts[j]! - starts[i]!) <= window)
    const inside = starts[i]! > window && last - starts[i]! > window
    return inside && near.every((other) => other.hash > hash) ? [i] : []
  })
}

const weighted = fc.record({ hash: fc.integer({ min: 0, max: 300 }), weight: fc.integer({ min: 1, max: 30 }) })

const cutsOf = (rows: ReadonlyArray<{ hash: number; weight: number }>, window: number) => {
  const cutter = makeCutter(window)
  return rows.flatMap(({ hash, weight }) => cutter.push(hash, weight))
}

describe("rows", () => {
  const Row = Schema.Struct({
    text: Schema.NullOr(Schema.String),
    list: Schema.Array(Schema.String),
    n: Schema.NullOr(Schema.Int)
  })
  const hashesOf = (rows: ReadonlyArray<typeof Row.Type>) =>
    Effect.runPromise(
      Effect.gen(function* () {
        const arrow = yield* Effect.promise(load)
        const [batch] = yield* Stream.runCollect(Table.fromRows(Row, rows).batches)
        return rowHashes(
          columns(Row).all,
          fromRecordBatch(arrow, columns(Row), batch!, { table: "table", firstRow: 0 })
        )
      })
    )

  it("that differ have other hashes, and weigh their values' bytes", async () => {
    const { hashes, weights } = await hashesOf([
      { text: "", list: [], n: 0 },
      { text: null, list: [], n: 0 },
      { text: "", list: [], n: null },
      { text: "", list: [""], n: 0 },
      { text: "abc", list: ["de", "fghi"], n: 0 },
      { text: "abc", list: ["def", "ghi"], n: 0 }
    ])
    assert.strictEqual(new Set(hashes).size, 6)
    const [empty] = weights
    assert.deepStrictEqual(
      Array.from(weights, (weight) => weight - empty!),
      [0, 0, 0, 0, 9, 9]
    )
  })
})

describe("cutting by content", () => {
  it("follows its definition", () =>
    fc.assert(
      fc.property(fc.array(weighted, { maxLength: 200 }), fc.integer({ min: 10, max: 100 }), (rows, window) => {
        const cuts = cutsOf(rows, window)
        assert.deepStrictEqual(
          cuts,
          cuts.toSorted((a, b) => a - b)
        )
        const byContent = cutsByDefinition(rows, window)
        assert.deepStrictEqual(
          cuts.filter((row) => byContent.includes(row)),
          byContent
        )
        const total = rows.reduce((sum, { weight }) => sum + weight, 0)
        if (total < 16 * window) assert.deepStrictEqual(cuts, byContent)
      }),
      { numRuns: 300 }
    ))

  it("forces a cut where no row differs from the others", () => {
    const cuts = cutsOf(
      Array.from({ length: 10_000 }, () => ({ hash: 1, weight: 1 })),
      10
    )
    assert.deepStrictEqual(
      cuts,
      Array.from({ length: 62 }, (_, i) => 161 * (i + 1))
    )
  })

  const Row = Schema.Struct({ id: Schema.String, tokens: Table.Int32List, score: Schema.NullOr(Schema.Number) })
  const { all } = columns(Row)

  /** Rows in batches cut with a small window, and a digest of each batch. */
  const cut = (rows: ReadonlyArray<typeof Row.Type>, batchRows: number) =>
    Effect.runPromise(
      Effect.gen(function* () {
        const arrow = yield* Effect.promise(load)
        const origin = { table: "table", firstRow: 0 }
        const batches = yield* Table.fromRows(Row, rows, { batchRows }).batches.pipe(
          Stream.map((batch) => fromRecordBatch(arrow, columns(Row), batch, origin)),
          cutByContent(all, 2000),
          Stream.runCollect
        )
        return batches.map((batch) => {
          const digest = tableDigest(all)
          digest.add(batch)
          return digest.finish()
        })
      })
    )

  const rowOf = (seed: number): typeof Row.Type => ({
    id: `row ${seed}`,
    tokens: Int32Array.from({ length: (seed * 7919) % 40 }, (_, i) => seed * i),
    score: seed % 3 === 0 ? null : seed / 7
  })

  it("does not depend on the batches that the rows came in", async () => {
    const rows = Array.from({ length: 2000 }, (_, i) => rowOf(i))
    const whole = await cut(rows, 2000)
    assert.isAbove(whole.length, 20)
    assert.deepStrictEqual(await cut(rows, 7), whole)
    assert.deepStrictEqual(await cut(rows, 333), whole)
  })

  it("changes at most 3 batches when a row is inserted, removed or changed", () => {
    const rows = Array.from({ length: 2000 }, (_, i) => rowOf(i))
    let known: Promise<ReadonlyArray<string>> | undefined
    return fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 1999 }),
        fc.integer({ min: 2000, max: 9000 }),
        fc.nat({ max: 2 }),
        async (at, seed, removed) => {
          known ??= cut(rows, 500)
          const before = new Set(await known)
          const edited = rows.toSpliced(at, Math.min(removed, 1), ...(removed === 1 ? [] : [rowOf(seed)]))
          const fresh = (await cut(edited, 500)).filter((digest) => !before.has(digest))
          assert.isAtLeast(fresh.length, 1)
          assert.isAtMost(fresh.length, 3)
        }
      ),
      { numRuns: 40 }
    )
  })
})
