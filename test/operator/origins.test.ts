import { assert, describe, it } from "@effect/vitest"
import { philox } from "../../src/device/philox.ts"
import { inputsOf, makeOrigins, type Origins, outputsOf } from "../../src/operator/origins.ts"
import {
  countRows,
  difference,
  intersection,
  type RowRanges,
  rangesFromText,
  rangesOf,
  rangesText,
  textMeets,
  union
} from "../../src/operator/row-ranges.ts"

/** Numbers below `limit`, the same for the same place. */
const drawing = (seed: number) => {
  let at = 0
  return (limit: number): number => philox([seed, 7], [at++, 0, 0, 0])[0]! % limit
}
const members = (ranges: RowRanges): ReadonlyArray<number> =>
  ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i))
const sorted = (rows: Iterable<number>) => [...new Set(rows)].sort((a, b) => a - b)

describe("ranges of rows", () => {
  it("are the sets that they stand for, whatever is done with them", () => {
    const draw = drawing(1)
    for (let round = 0; round < 300; round++) {
      const [one, other] = [0, 1].map(() => Array.from({ length: draw(20) }, () => draw(30)))
      const [a, b] = [rangesOf(one!), rangesOf(other!)]
      assert.deepStrictEqual(members(a), sorted(one!))
      assert.deepStrictEqual(members(union(a, b)), sorted([...one!, ...other!]))
      assert.deepStrictEqual(members(difference(a, b)), sorted(one!.filter((row) => !other!.includes(row))))
      assert.deepStrictEqual(members(intersection(a, b)), sorted(one!.filter((row) => other!.includes(row))))
      assert.strictEqual(countRows(a), new Set(one).size)
      assert.deepStrictEqual(rangesFromText(rangesText(a)), a)
      assert.strictEqual(
        textMeets(rangesText(a), b),
        one!.some((row) => other!.includes(row))
      )
      for (const [i, [first]] of a.entries()) if (i > 0) assert.isAbove(first, a[i - 1]![1] + 1)
    }
  })

  it("as text", () => {
    assert.strictEqual(rangesText(rangesOf([3, 1, 2, 9])), "1-3,9")
    assert.deepStrictEqual(rangesFromText(""), [])
    for (const wrong of ["1-", "-1", "1,,2", ",", "1-2-3", "5-4", "a", "1 ", "1,"])
      assert.isUndefined(rangesFromText(wrong))
    for (const wrong of ["1,", "1-9,a"]) assert.isFalse(textMeets(wrong, [[0, 9]]))
  })
})

describe("origins", () => {
  /** Origins of `rows`, each with the input rows that it came from. */
  const built = (rows: ReadonlyArray<ReadonlyArray<number>>): Origins => {
    const origins = makeOrigins()
    for (const row of rows) origins.add(rangesOf(row))
    return origins.runs()
  }

  it("say which rows came from which, as a list of all would", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const draw = drawing(seed)
      const kind = draw(4)
      let at = 0
      const rows = Array.from({ length: 1 + draw(40) }, (): ReadonlyArray<number> => {
        if (kind === 0) return [draw(30)]
        if (kind === 1) return Array.from({ length: draw(5) }, () => draw(30))
        at += kind === 2 ? 4 : draw(2)
        if (kind === 2) return [at, at + 1, at + 2, at + 3]
        return [at]
      })
      const origins = built(rows)
      const asked = rangesOf(Array.from({ length: 1 + draw(6) }, () => draw(40)))
      const wanted = new Set(members(asked))
      assert.deepStrictEqual(
        members(outputsOf(origins, asked)),
        rows.flatMap((from, row) => (from.some((each) => wanted.has(each)) ? [row] : []))
      )
      assert.deepStrictEqual(
        members(inputsOf(origins, asked)),
        sorted(rows.flatMap((from, i) => (wanted.has(i) ? from : [])))
      )
    }
  })

  it("of even maps are few numbers, and go on from part to part", () => {
    const identity = built(Array.from({ length: 1000 }, (_, i) => [i]))
    assert.deepStrictEqual(identity, [[1000, 0, 1, 1]])
    const groups = built(Array.from({ length: 250 }, (_, i) => [4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]))
    assert.deepStrictEqual(groups, [[250, 0, 4, 4]])
    const parts = makeOrigins()
    parts.append(identity, 0)
    parts.append(identity, 1000)
    assert.deepStrictEqual(parts.runs(), [[2000, 0, 1, 1]])
  })
})
