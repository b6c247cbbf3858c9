import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Graph from "../../src/engine/graph.ts"
import * as Plan from "../../src/engine/plan.ts"
import * as Programs from "../../src/engine/programs.ts"
import type { Tensor } from "../../src/engine/tensor.ts"

interface Life {
  first: number
  last: number
}

const lifetimes = (launches: ReadonlyArray<Graph.TensorLaunch>) => {
  const lives = new Map<Tensor, Life>()
  launches.forEach((launch, index) => {
    for (const [, tensor] of Graph.operands(launch)) {
      if (tensor.memory !== "arena") continue
      const life = lives.get(tensor)
      if (life === undefined) {
        lives.set(tensor, tensor.persistent ? { first: 0, last: launches.length } : { first: index, last: index })
      } else if (!tensor.persistent) life.last = index
    }
  })
  return [...lives]
}

describe("memory plan", () => {
  it("never lets two tensors that are alive together share bytes, and stays within the arena", () => {
    const step = fc.record({
      inputs: fc.array(fc.nat(), { minLength: 1, maxLength: 2 }),
      count: fc.integer({ min: 1, max: 3000 })
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.constantFrom("f32", "f64"), (steps, real) => {
        const graph = Graph.make()
        const tensors: Array<Tensor> = [graph.port([7])]
        for (const { count, inputs } of steps) {
          const out = graph.tensor([count])
          const pick = (n: number) => tensors[n % tensors.length]!
          graph.emit("add", { a: pick(inputs[0]!), b: pick(inputs.at(-1)!), out }, { count }, {})
          tensors.push(out)
        }
        const plan = Plan.make(graph.launches, real as "f32" | "f64")
        const placed = lifetimes(graph.launches).map(([tensor, life]) => {
          const from = plan.offset(tensor)
          return { ...life, from, to: from + tensor.elements * Plan.elementBytes(tensor.type, real as "f32") }
        })
        for (const [i, a] of placed.entries()) {
          assert.isAtMost(a.to, plan.arenaBytes)
          assert.strictEqual(a.from % 64, 0)
          for (const b of placed.slice(i + 1)) {
            const together = a.first <= b.last && b.first <= a.last
            if (together) assert.isTrue(a.to <= b.from || b.to <= a.from)
          }
        }
      }),
      { numRuns: 200 }
    )
  })

  it("reuses the arena: a forward pass takes far less than the sum of its tensors", () => {
    const config = {
      family: "gpt2",
      layers: 6,
      heads: 2,
      width: 64,
      vocabulary: 300,
      context: 64,
      scalarHead: false
    } as const
    const heads = { language: true, scalar: false, temperature: 1 }
    const bytes = (layers: number) =>
      Programs.statistics({ ...config, layers }, { batch: 4, length: 64 }, heads, false, "f32").plan.arenaBytes
    assert.strictEqual(bytes(6), bytes(3))
    const train = (layers: number) =>
      Programs.languageModel({ ...config, layers }, { batch: 4, length: 64 }, "f32").plan.arenaBytes
    assert.isAbove(train(6), train(3))
  })
})
