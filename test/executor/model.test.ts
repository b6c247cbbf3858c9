/** Random pipelines under random edits, against a model that evaluates them directly and remembers what was computed. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import type { Output } from "../../src/pipeline/output.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { constant, half, log, sum } from "./arithmetic.ts"
import { ran } from "./project.ts"

interface Node {
  readonly operator: "constant" | "half" | "sum"
  readonly param: number
  readonly left: number
  readonly right: number
}

type Edit =
  | { readonly kind: "param"; readonly node: number; readonly param: number }
  | { readonly kind: "rewire"; readonly node: number; readonly left: number }
  | { readonly kind: "lose"; readonly node: number }

const nodeOf: fc.Arbitrary<Node> = fc.record({
  operator: fc.constantFrom("constant", "half", "sum", "sum"),
  param: fc.nat(3),
  left: fc.nat(),
  right: fc.nat()
})

const editOf: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant("param" as const), node: fc.nat(), param: fc.nat(3) }),
  fc.record({ kind: fc.constant("rewire" as const), node: fc.nat(), left: fc.nat() }),
  fc.record({ kind: fc.constant("lose" as const), node: fc.nat() })
)

const operatorOf = (node: Node, index: number) => (index === 0 ? "constant" : node.operator)

/** The value of each node, and the name of each computation: operator, parameters and the values of its inputs. */
const evaluate = (nodes: ReadonlyArray<Node>) => {
  const values: Array<number> = []
  const names = nodes.map((node, i) => {
    const [left, right] = [values[node.left % i]!, values[node.right % i]!]
    switch (operatorOf(node, i)) {
      case "constant":
        values.push(node.param)
        return `constant ${node.param}`
      case "half":
        values.push(Math.floor(left / 2))
        return `half ${left}`
      default:
        values.push(left + right + node.param)
        return `sum ${left} ${right} ${node.param}`
    }
  })
  return { values, names }
}

const pipelineOf = (nodes: ReadonlyArray<Node>) =>
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

const edited = (nodes: ReadonlyArray<Node>, edit: Edit): ReadonlyArray<Node> => {
  const at = edit.node % nodes.length
  if (edit.kind === "param") return nodes.with(at, { ...nodes[at]!, param: edit.param })
  return edit.kind === "rewire" ? nodes.with(at, { ...nodes[at]!, left: edit.left }) : nodes
}

describe("any pipeline under any edits", () => {
  it("gives what direct evaluation gives, and runs exactly what was never computed or was lost", async () => {
    const property = fc.asyncProperty(
      fc.array(nodeOf, { minLength: 2, maxLength: 10 }),
      fc.array(editOf, { minLength: 1, maxLength: 5 }),
      async (first, edits) => {
        const folder = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-model-"))
        try {
          await Effect.runPromise(
            Effect.gen(function* () {
              const store = yield* open(path.join(folder, "store"))
              /** What each computation gave, and values whose blob is lost. */
              const known = new Set<string>()
              const lost = new Set<number>()
              let nodes: ReadonlyArray<Node> = first
              for (const edit of [undefined, ...edits]) {
                const before = evaluate(nodes)
                if (edit !== undefined) nodes = edited(nodes, edit)
                const { names, values } = evaluate(nodes)
                if (edit?.kind === "lose") {
                  const value = before.values[edit.node % nodes.length]!
                  const { digest } = yield* store.sink.put(new TextEncoder().encode(String(value)))
                  fs.rmSync(path.join(store.folder, "objects", digest.slice(0, 2), digest))
                  lost.add(value)
                }
                const never = new Set(names.filter((name) => !known.has(name)))
                // Of several computations that gave a lost value, one that runs again heals the others.
                const may = new Set(names.filter((name, i) => never.has(name) || lost.has(values[i]!)))
                const graph = yield* Pipeline.build(pipelineOf(nodes))
                const planned = yield* Effect.provideService(plan(graph), Store, store)
                log.length = 0
                const report = yield* Effect.provideService(run(graph), Store, store)
                const ranNow = new Set(ran(report))
                planned.stages.forEach(({ action, stage }, i) => {
                  if (action === "reuse") assert.isFalse(may.has(names[i]!), `${stage} is planned as reused`)
                  if (action === "run") assert.isTrue(may.has(names[i]!), `${stage} is planned to run`)
                })
                const done = new Set(names.filter((_, i) => ranNow.has(`s${i}`)))
                assert.strictEqual(log.length, done.size)
                for (const name of never) assert.isTrue(done.has(name), `${name} did not run`)
                for (const name of done) assert.isTrue(may.has(name), `${name} ran for nothing`)
                for (const [i, value] of values.entries()) {
                  const bytes = yield* store.source.bytes(report.outputs[`o${i}`]!.parts["json"]!)
                  assert.strictEqual(new TextDecoder().decode(bytes), String(value))
                  known.add(names[i]!)
                  lost.delete(value)
                }
              }
            })
          )
        } finally {
          fs.rmSync(folder, { recursive: true })
        }
      }
    )
    await fc.assert(property, { numRuns: 15 })
  })
})
