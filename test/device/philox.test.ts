import { assert, describe, it } from "@effect/vitest"
import { normal, philox, uniform } from "../../src/device/philox.ts"

describe("philox", () => {
  it("gives Random123's known answers for philox4x32-10", () => {
    const ones = 0xffffffff
    assert.deepStrictEqual(philox([0, 0], [0, 0, 0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8])
    assert.deepStrictEqual(
      philox([ones, ones], [ones, ones, ones, ones]),
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
    )
    assert.deepStrictEqual(
      philox([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]),
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
    )
  })

  it("uniform is in [0, 1)", () => {
    assert.strictEqual(uniform(0), 0)
    assert.strictEqual(uniform(0xffffffff), 1 - 2 ** -24)
  })

  it("normal has the first four moments, and its elements do not depend on how many are asked for", () => {
    const values = new Float64Array(200_000)
    normal([7, 1], values, 2)
    const moment = (power: number) => values.reduce((sum, x) => sum + (x / 2) ** power, 0) / values.length
    // Four standard errors of each moment's estimate.
    assert.closeTo(moment(1), 0, 4 / Math.sqrt(values.length))
    assert.closeTo(moment(2), 1, 4 * Math.sqrt(2 / values.length))
    assert.closeTo(moment(3), 0, 4 * Math.sqrt(15 / values.length))
    assert.closeTo(moment(4), 3, 4 * Math.sqrt(96 / values.length))
    const odd = new Float64Array(7)
    normal([7, 1], odd, 2)
    assert.deepStrictEqual(odd, values.slice(0, 7))
  })
})
