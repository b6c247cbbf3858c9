import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { encode } from "../../src/engine/safetensors.ts"
import type { Artifact } from "../../src/operator/artifact.ts"
import { sha256 } from "../../src/store/digest.ts"
import { firstDifference } from "../../src/verify/difference.ts"

const located = (part: string, bytes: Uint8Array<ArrayBuffer>) => {
  const digest = sha256(bytes)
  const artifact: Artifact = { kind: "x", digest, parts: { [part]: { digest, bytes: bytes.length } }, meta: {} }
  return { artifact, source: { bytes: () => Effect.succeed(bytes), path: () => Effect.die("no table") } }
}
const between = (part: string, a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>) =>
  Effect.runPromise(firstDifference(located(part, a), located(part, b)))

const tensors = (given: { readonly [name: string]: ReadonlyArray<number> }) =>
  new Uint8Array(
    Buffer.concat([
      ...encode(
        Object.entries(given).map(([name, values]) => ({
          name,
          shape: [2, values.length / 2],
          values: Float32Array.from(values)
        }))
      )
    ])
  )
const weights = (a: Parameters<typeof tensors>[0], b: Parameters<typeof tensors>[0]) =>
  between("model.safetensors", tensors(a), tensors(b))

describe("the first difference of weights", () => {
  it("is counted over all tensors; a value that is no number is further than any", async () => {
    const found = await weights({ v: [1, 2], w: [0, 1, 2, 3] }, { v: [1, 2.5], w: [-0, 1, Number.NaN, 7] })
    assert.strictEqual(found!.place, "tensor v, value [1, 0]")
    assert.deepStrictEqual([found!.differing, found!.of], [4, 6])
    assert.isNaN(found!.largest)
  })

  it("is a shape, a tensor that is missing, and one that was added", async () => {
    assert.include(await weights({ w: [1, 2] }, { w: [1, 2, 3, 4] }), {
      place: "tensor w",
      recorded: "[2, 1]",
      found: "[2, 2]"
    })
    assert.strictEqual((await weights({ v: [1, 2], w: [1, 2] }, { v: [1, 2] }))!.place, "tensor w")
    const added = await weights({ v: [1, 2] }, { v: [1, 2], w: [1, 2] })
    assert.include(added, { place: "tensors", found: "w" })
  })

  it("is a byte where the file is none of tensors, or holds the same in another order", async () => {
    const damaged = tensors({ w: [1, 2] })
    damaged[8] = 0
    assert.strictEqual((await between("model.safetensors", tensors({ w: [1, 2] }), damaged))!.place, "byte 8")
    assert.match((await weights({ v: [1, 2], w: [3, 4] }, { w: [3, 4], v: [1, 2] }))!.place, /^byte \d+$/)
  })
})
