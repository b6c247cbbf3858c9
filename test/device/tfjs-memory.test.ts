/** A memory made of tensors, against an array of bytes, under random writes and reads of ranges that overlap. */
import { assert, describe, it } from "@effect/vitest"
import * as tf from "@tensorflow/tfjs-core"
import "@tensorflow/tfjs-backend-cpu"
import * as fc from "fast-check"
import { make } from "../../src/device/tfjs/memory.ts"
import { plain } from "../../src/device/tfjs/moves.ts"

const elements = 24
const range = fc.tuple(fc.nat(elements - 1), fc.integer({ min: 1, max: 10 })).map(([from, count]) => {
  return { from, count: Math.min(count, elements - from) }
})
const operation = fc.oneof(
  ...(["write", "set", "setZero", "add", "change", "bringToHost", "read", "reals", "derived", "integers"] as const).map(
    (kind) => range.map(({ count, from }) => ({ kind, from, count }))
  )
)

describe("a memory made of tensors", () => {
  it("is what an array of the same writes is, and frees every tensor", async () => {
    tf.enableProdMode()
    await tf.setBackend("cpu")
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (operations) => {
        const before = tf.memory().numTensors
        const memory = make(tf, plain(tf).part, 4 * elements)
        const model = new Float32Array(elements)
        let fresh = 1
        for (const { count, from, kind } of operations) {
          const [offset, bytes] = [4 * from, 4 * count]
          const expected = model.subarray(from, from + count)
          const values = Float32Array.from({ length: count }, () => fresh++)
          if (kind === "write") {
            memory.write(offset, new Uint8Array(values.buffer))
            model.set(values, from)
            values.fill(-1)
          } else if (kind === "set") {
            memory.set(offset, tf.keep(tf.tensor1d(values)))
            model.set(values, from)
          } else if (kind === "setZero") {
            memory.setZero(offset, bytes)
            expected.fill(0)
          } else if (kind === "add") {
            memory.set(offset, tf.tidy(() => tf.keep(tf.add(memory.passing(offset, bytes), 1))) as tf.Tensor1D)
            expected.forEach((value, i) => {
              expected[i] = value + 1
            })
          } else if (kind === "change") {
            if (!memory.isOnHost(offset, bytes)) await memory.bringToHost(offset, bytes)
            const host = memory.hostToChange(offset, bytes)
            new Float32Array(host.buffer as ArrayBuffer, host.byteOffset, count).set(values)
            model.set(values, from)
          } else if (kind === "bringToHost") await memory.bringToHost(offset, bytes)
          else if (kind === "read") {
            const into = new Float32Array(count)
            await memory.read(offset, new Uint8Array(into.buffer))
            assert.deepStrictEqual(into, expected.slice())
          } else if (kind === "reals") assert.deepStrictEqual(memory.reals(offset, bytes).dataSync(), expected.slice())
          else if (kind === "derived") {
            const doubled = memory.derived(offset, bytes, "doubled", (reals) => tf.mul(reals, 2))
            assert.deepStrictEqual(
              doubled.dataSync(),
              expected.map((value) => 2 * value)
            )
          } else if (memory.isOnHost(offset, bytes)) {
            const host = memory.host(offset, bytes)
            assert.deepStrictEqual(new Uint8Array(host), new Uint8Array(expected.slice().buffer))
          }
          if (memory.isZero(offset, bytes)) assert.isTrue(expected.every((value) => value === 0))
        }
        const all = new Float32Array(elements)
        await memory.read(0, new Uint8Array(all.buffer))
        assert.deepStrictEqual(all, model)
        memory.free()
        assert.strictEqual(tf.memory().numTensors, before)
      }),
      { numRuns: 400 }
    )
  })
})
