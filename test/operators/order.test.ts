import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { permutation, rowsOfStep } from "../../operators/order.ts"

describe("order", () => {
  it("a permutation has every row once, is a function of seed and epoch, and differs between them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.nat(), fc.nat(50), (n, seed, epoch) => {
        const order = permutation(n, seed, epoch)
        assert.deepStrictEqual(
          [...order].sort((a, b) => a - b),
          [...Array(n).keys()]
        )
        assert.deepStrictEqual(permutation(n, seed, epoch), order)
      })
    )
    assert.notDeepEqual(permutation(100, 1, 0), permutation(100, 1, 1))
    assert.notDeepEqual(permutation(100, 1, 0), permutation(100, 2, 0))
  })

  it("each place of a permutation is as likely for each row", () => {
    const n = 5
    const counts = new Float64Array(n * n)
    const draws = 20_000
    for (let epoch = 0; epoch < draws; epoch++) {
      permutation(n, 3, epoch).forEach((row, place) => {
        counts[place * n + row]!++
      })
    }
    const expected = draws / n
    const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // 16 degrees of freedom: above 39.3 once in a thousand.
    assert.isBelow(chiSquared, 39.3)
  })

  it("steps asked for in any order are those of each epoch's permutation", () => {
    const [n, batch, seed] = [23, 5, 9]
    const rows = rowsOfStep(n, batch, seed)
    for (const step of [0, 7, 3, 4, 12, 1, 7]) {
      const from = (step % 4) * batch
      assert.deepStrictEqual(rows(step), permutation(n, seed, Math.floor(step / 4)).subarray(from, from + batch))
    }
  })
})
