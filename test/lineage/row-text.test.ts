import { assert, describe, it } from "@effect/vitest"
import { philox } from "../../src/device/philox.ts"
import { CHUNK, chunkHas, chunksOf, rowsOfText, rowText } from "../../src/lineage/row-text.ts"
import { intersection, type RowRanges, rangesOf } from "../../src/operator/row-ranges.ts"

const some = (seed: number, count: number, limit: number): RowRanges =>
  rangesOf(Array.from({ length: count }, (_, i) => philox([seed, 3], [i, 0, 0, 0])[0]! % limit))

describe("the text of a set of rows", () => {
  it("is read back, whatever the set, and is short: ranges, or bits; what is too long is left to the trace", () => {
    for (const [count, limit, most] of [
      [0, 1, 0],
      [5, 10, 20],
      [3000, 10_000, 2000],
      [9000, 10_000, 2000],
      [60_000, 90_000, 16_384]
    ] as const) {
      const rows = some(count + 1, count, limit)
      const text = rowText(rows)
      assert.isAtMost(text.length, most)
      assert.deepStrictEqual(rowsOfText(text), rows)
    }
    assert.strictEqual(rowText([[0, 1_000_000]]), "0-1000000")
    assert.isUndefined(rowsOfText(rowText(some(1, 300_000, 1_000_000))))
    assert.isUndefined(rowsOfText("~no bits"))
  })

  it("by chunks answers as the set does", () => {
    const sets: ReadonlyArray<RowRanges> = [
      some(1, 5000, 20_000),
      [[0, 3 * CHUNK]],
      [
        [CHUNK - 1, CHUNK],
        [3 * CHUNK - 2, 5 * CHUNK]
      ]
    ]
    for (const rows of sets) {
      const chunks = chunksOf(rows)
      for (let seed = 1; seed <= 100; seed++) {
        const asked = some(seed, 1 + (seed % 3), 6 * CHUNK)
        const found = [...chunks].some(([chunk, bits]) => chunkHas(chunk, bits, asked))
        assert.strictEqual(found, intersection(rows, asked).length > 0)
      }
    }
    assert.deepStrictEqual(
      [...chunksOf([[0, 2 * CHUNK - 1]])],
      [
        [0, null],
        [1, null]
      ]
    )
  })
})
