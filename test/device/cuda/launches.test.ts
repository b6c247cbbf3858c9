/** What launches become, where that is more than one launch's own affair. */
import { assert, it } from "@effect/vitest"
import { lower, scratchBytes } from "../../../src/device/cuda/launches.ts"
import type { ProductStep } from "../../../src/device/cuda/step.ts"
import type { DeviceError } from "../../../src/device/device.ts"
import { Activation, type AnyLaunch, type Launch, Precision } from "../../../src/device/kernel.ts"
import { hopper } from "./emulated.ts"

const [rows, inputs, outputs] = [64, 32, 48]
const place = (offset: number) => ({ memory: 0, offset })
const [dOut, x, weight, dWeight, dx] = [0, 1e5, 2e5, 3e5, 4e5].map(place) as [
  ReturnType<typeof place>,
  ReturnType<typeof place>,
  ReturnType<typeof place>,
  ReturnType<typeof place>,
  ReturnType<typeof place>
]
const plain = { accumulate: 0, activation: Activation.none, precision: Precision.bf16 }
const ofWeight = (out = dWeight): Launch<"matmul"> => ({
  kernel: "matmul",
  buffers: { a: x, b: dOut, out },
  integers: { ...plain, m: inputs, n: outputs, k: rows, transposeA: 1, transposeB: 0 },
  reals: {}
})
const ofInput: Launch<"matmul"> = {
  kernel: "matmul",
  buffers: { a: dOut, b: weight, out: dx },
  integers: { ...plain, m: rows, n: inputs, k: outputs, transposeA: 0, transposeB: 1 },
  reals: {}
}
const stepsOf = (...launches: ReadonlyArray<AnyLaunch>) =>
  launches.map((launch, index) => lower(launch, index, hopper, launches[index - 1]))
const roundings = (steps: ReturnType<typeof lower>) =>
  steps.flatMap((step) => (step.kind === "kernel" && step.entry === "roundToBf16" ? [step.arguments] : []))
const productOf = (steps: ReturnType<typeof lower>) => steps.find(({ kind }) => kind === "product") as ProductStep

it("the gradients of a layer round its output's gradient once, and both read it where it is", () => {
  const [first, second] = stepsOf(ofWeight(), ofInput)
  assert.strictEqual(roundings(first!).length, 2)
  assert.deepStrictEqual(
    roundings(second!).map(([from]) => from),
    [{ buffer: weight }]
  )
  assert.deepStrictEqual(productOf(second!).a, productOf(first!).b)
  assert.notDeepEqual(productOf(second!).b, productOf(second!).a)
  const [, into] = roundings(first!).find(([from]) => "buffer" in from! && from.buffer === dOut)!
  assert.deepStrictEqual(into, productOf(first!).b)
})

it("it is rounded again where it may have changed, or another launch lies between", () => {
  const twice = (...launches: ReadonlyArray<AnyLaunch>) =>
    assert.strictEqual(roundings(stepsOf(...launches).at(-1)!).length, 2)
  twice(ofWeight(place(dOut.offset + 128)), ofInput)
  twice(ofWeight(), { kernel: "fill", buffers: { out: dOut }, integers: { count: 4 }, reals: { value: 0 } }, ofInput)
  twice({ ...ofWeight(), integers: { ...ofWeight().integers, precision: Precision.f32 } }, ofInput)
  twice({ ...ofWeight(), buffers: { ...ofWeight().buffers, b: place(64) } }, ofInput)
})

it("the head's scratch stays bounded as rows grow, but for the rounded x", () => {
  const head = (count: number): Launch<"lmHeadLoss"> => ({
    kernel: "lmHeadLoss",
    buffers: { x, table: weight, targets: dOut, dLogProbability: x, logProbability: x, dx, dTable: dWeight },
    integers: { rows: count, width: 768, vocabulary: 50_257, precision: Precision.bf16 },
    reals: { inverseTemperature: 1 }
  })
  const [some, more] = [scratchBytes(head(8192), hopper), scratchBytes(head(65_536), hopper)]
  assert.isBelow(some, 600e6)
  assert.strictEqual(more - some, (65_536 - 8192) * 768 * 2)
})

it("sizes that a card cannot do are refused by name", () => {
  const refused = (launch: AnyLaunch, card = hopper) => {
    try {
      lower(launch, 0, card)
    } catch (error) {
      return (error as DeviceError).message
    }
    return "it was taken"
  }
  const attention = (headWidth: number, batch = 1): AnyLaunch => ({
    kernel: "attention",
    buffers: { qkv: x, out: dx, logSumExp: dOut },
    integers: { batch, length: 4, heads: 1, keyHeads: 1, headWidth },
    reals: {}
  })
  assert.include(refused(attention(300)), "wider than 256")
  assert.include(refused(attention(8, 70_000)), "needs a grid of 1 x 1 x 70000 blocks")
  assert.include(refused(attention(128), { ...hopper, sharedBytesPerBlock: 48 * 1024 }), "bytes of shared memory")
})
