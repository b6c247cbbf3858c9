/** Pipelines of arithmetic, drawn at random. */
import * as fc from "fast-check"
import type { Output } from "../../src/pipeline/output.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { constant, half, sum } from "./arithmetic.ts"

/** A stage; its inputs are counted modulo its own place, and the first stage is a constant whatever it says. */
export interface Node {
  readonly operator: "constant" | "half" | "sum"
  readonly param: number
  readonly left: number
  readonly right: number
}

export const nodeOf: fc.Arbitrary<Node> = fc.record({
  operator: fc.constantFrom("constant", "half", "sum", "sum"),
  param: fc.nat(3),
  left: fc.nat(),
  right: fc.nat()
})

export const operatorOf = (node: Node, index: number) => (index === 0 ? "constant" : node.operator)

export const pipelineOf = (nodes: ReadonlyArray<Node>) =>
  Pipeline.make("random", {}, (p) => {
    const made: Array<Output<number, never>> = []
    nodes.forEach((node, i) => {
      const name = `s${i}`
      const [left, right] = [made[node.left % i]!, made[node.right % i]!]
      const operator = operatorOf(node, i)
      if (operator === "constant") made.push(p.add(constant, { name, params: { value: node.param } }).n)
      else if (operator === "half") made.push(p.add(half, { name, inputs: { n: left } }).n)
      else made.push(p.add(sum, { name, inputs: { left, right }, params: { add: node.param } }).n)
    })
    return Object.fromEntries(made.map((output, i) => [`o${i}`, output]))
  })
