import { assert, describe, it } from "@effect/vitest"
import { initialize, layout } from "../../src/engine/model.ts"
import * as Safetensors from "../../src/engine/safetensors.ts"

describe("safetensors", () => {
  const tensors = [
    { name: "a", shape: [2, 3], values: Float32Array.from([1, -0, 3.5, 1e-30, 5, 6]) },
    { name: "scalar", shape: [], values: Float32Array.from([7]) }
  ]

  const bits = (values: Float32Array) => Array.from(new Uint32Array(values.slice().buffer))
  const written = (...of: Parameters<typeof Safetensors.encode>) =>
    new Uint8Array(Buffer.concat([...Safetensors.encode(...of)]))

  it("reads what it wrote, bit for bit, at any alignment of the bytes", () => {
    const bytes = written(tensors, { format: "pt" })
    const shifted = new Uint8Array(bytes.length + 3)
    shifted.set(bytes, 3)
    for (const data of [bytes, shifted.subarray(3)]) {
      const read = Safetensors.decode(data)
      assert.deepStrictEqual([...read.keys()], ["a", "scalar"])
      for (const { name, shape, values } of tensors) {
        assert.deepStrictEqual(read.get(name)!.shape, shape)
        assert.deepStrictEqual(bits(read.get(name)!.values), bits(values))
      }
    }
  })

  it("refuses what is not whole, naming the place", () => {
    const bytes = written(tensors)
    const place = (data: Uint8Array) => {
      try {
        Safetensors.decode(data)
      } catch (error) {
        return error instanceof Safetensors.SafetensorsError ? error.place : "another error"
      }
      return "no error"
    }
    assert.strictEqual(place(bytes.subarray(0, 5)), "header")
    assert.strictEqual(place(bytes.subarray(0, 30)), "header")
    assert.strictEqual(place(bytes.subarray(0, bytes.length - 1)), "scalar")
    const wrong = bytes.slice()
    wrong[9] = 0
    assert.strictEqual(place(wrong), "header")
  })
})

describe("layout", () => {
  it("is GPT-2 124M's count of parameters, with matrices before vectors", () => {
    const config = {
      family: "gpt2",
      layers: 12,
      heads: 12,
      width: 768,
      vocabulary: 50257,
      context: 1024,
      scalarHead: false
    } as const
    const { decayCount, parameters } = layout(config)
    const count = parameters.reduce((sum, p) => sum + p.shape.reduce((a, b) => a * b, 1), 0)
    assert.strictEqual(count, 124_439_808)
    for (const p of parameters) assert.strictEqual(p.offset < decayCount, p.shape.length > 1, p.name)
  })

  it("initial weights are a function of the seed, normal with deviation 0.02", () => {
    const config = {
      family: "gpt2",
      layers: 1,
      heads: 2,
      width: 64,
      vocabulary: 512,
      context: 32,
      scalarHead: false
    } as const
    const { values } = initialize(config, 1)
    assert.deepStrictEqual(values, initialize(config, 1).values)
    assert.notDeepEqual(values, initialize(config, 2).values)
    const embedding = values.subarray(0, 512 * 64)
    const mean = embedding.reduce((sum, x) => sum + x, 0) / embedding.length
    const deviation = Math.sqrt(embedding.reduce((sum, x) => sum + (x - mean) ** 2, 0) / embedding.length)
    // Standard errors: 0.02/sqrt(32768) = 1.1e-4 for the mean, 0.02/sqrt(2 * 32768) = 7.8e-5 for the deviation; bounds are 4 of them.
    assert.isBelow(Math.abs(mean), 4.4e-4)
    assert.closeTo(deviation, 0.02, 3.2e-4)
  })
})
