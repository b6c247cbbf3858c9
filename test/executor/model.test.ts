/** Random pipelines under random edits, against a model that evaluates them directly and remembers what was computed. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as fc from "fast-check"
import { plan } from "../../src/executor/plan.ts"
import type { RunError } from "../../src/executor/report.ts"
import { run } from "../../src/executor/run.ts"
import { stageHeads } from "../../src/lineage/records.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { sha256 } from "../../src/store/digest.ts"
import { CurrentDisk, type Disk, nodeDisk } from "../../src/store/disk.ts"
import { Processes } from "../../src/store/holder.ts"
import { IndexedFrom } from "../../src/store/journal.ts"
import { open, Store } from "../../src/store/store.ts"
import { log } from "./arithmetic.ts"
import { dying } from "./dying.ts"
import { type Node, nodeOf, operatorOf, pipelineOf } from "./random-pipeline.ts"

type Edit =
  | { readonly kind: "param"; readonly node: number; readonly param: number }
  | { readonly kind: "rewire"; readonly node: number; readonly left: number }
  | { readonly kind: "lose"; readonly node: number }
  /** The computation of a node, new where it has a parameter, fails in this run. */
  | { readonly kind: "fail"; readonly node: number; readonly param: number }
  /** Nothing changes: what such a run finds is kept in one piece. */
  | { readonly kind: "again" }
  /** A byte of each such piece is another. */
  | { readonly kind: "spoil"; readonly at: number }
  /** The process of this run dies at a change of the disk. */
  | { readonly kind: "kill"; readonly at: number }

const editOf: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant("param" as const), node: fc.nat(), param: fc.nat(3) }),
  fc.record({ kind: fc.constant("rewire" as const), node: fc.nat(), left: fc.nat() }),
  fc.record({ kind: fc.constant("lose" as const), node: fc.nat() }),
  fc.record({ kind: fc.constant("fail" as const), node: fc.nat(), param: fc.integer({ min: 4, max: 99 }) }),
  fc.constant({ kind: "again" as const }),
  fc.record({ kind: fc.constant("spoil" as const), at: fc.nat(2000) }),
  fc.record({ kind: fc.constant("kill" as const), at: fc.nat(60) })
)

/** The value of each node, the name of each computation (operator, parameters and the values of its inputs), and what it writes in `log`. */
const evaluate = (nodes: ReadonlyArray<Node>) => {
  const values: Array<number> = []
  const lines = (name: string) =>
    name
      .split(" ")
      .slice(0, name.startsWith("sum") ? 3 : 2)
      .join(" ")
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
  return { values, names, lines: names.map(lines) }
}

/** The nodes that a node takes something from. */
const sourcesOf = (node: Node, index: number): ReadonlyArray<number> => {
  const operator = operatorOf(node, index)
  if (operator === "constant") return []
  return operator === "half" ? [node.left % index] : [node.left % index, node.right % index]
}

const edited = (nodes: ReadonlyArray<Node>, edit: Edit): ReadonlyArray<Node> => {
  if (edit.kind === "kill" || edit.kind === "again" || edit.kind === "spoil") return nodes
  const at = edit.node % nodes.length
  if (edit.kind === "param" || edit.kind === "fail") return nodes.with(at, { ...nodes[at]!, param: edit.param })
  return edit.kind === "rewire" ? nodes.with(at, { ...nodes[at]!, left: edit.left }) : nodes
}

/** Changes a byte of each file in a folder, and gives how many there are. */
const spoil = (folder: string, at: number): number => {
  const names = fs.existsSync(folder) ? fs.readdirSync(folder) : []
  for (const name of names) {
    const bytes = fs.readFileSync(path.join(folder, name))
    bytes[at % bytes.byteLength]! ^= 1
    fs.writeFileSync(path.join(folder, name), bytes)
  }
  return names.length
}

/** The log, in which a line that is not to be written ends the stage with a defect. */
const failing = (line: string | undefined) => {
  log.length = 0
  log.push = (...lines) => {
    if (lines[0] === line) throw new Error("fails in this run")
    return Array.prototype.push.apply(log, lines)
  }
}

describe("any pipeline under any edits, failures and kills", () => {
  it("gives what direct evaluation gives, and runs exactly what was never recorded or was lost", async () => {
    const memo = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-model-memo-"))
    const known = await Effect.runPromise(open(memo))
    let pid = 0
    const seen = { failed: 0, skipped: 0, cutOff: 0, indexed: 0, settled: 0, spoiled: 0 }
    /** A process that opens the store; what is known of the code is kept elsewhere. */
    const process = Effect.fnUntraced(function* (folder: string, disk: Disk) {
      const holder = { pid: ++pid, host: "model", space: "model", born: "" }
      const store = yield* open(folder).pipe(Effect.provideService(CurrentDisk, disk))
      const processes = { pid, thisProcess: () => holder, isAlive: (other: typeof holder) => other.pid === pid }
      return {
        store: Store.of({ ...store, memo: known.memo, files: known.files }),
        as: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
          effect.pipe(Effect.provideService(Processes, processes), Effect.provideService(CurrentDisk, disk))
      }
    })

    const check = Effect.fnUntraced(function* (folder: string, first: ReadonlyArray<Node>, edits: ReadonlyArray<Edit>) {
      /** Computations that are recorded, and values whose blob is lost. */
      const recorded = new Set<string>()
      const lost = new Set<number>()
      let nodes = first
      for (const edit of [undefined, ...edits]) {
        const before = evaluate(nodes)
        if (edit !== undefined) nodes = edited(nodes, edit)
        const { lines, names, values } = evaluate(nodes)
        const { as, store } = yield* process(folder, edit?.kind === "kill" ? dying(edit.at) : nodeDisk)
        if (edit?.kind === "lose") {
          const value = before.values[edit.node % nodes.length]!
          const { digest } = yield* store.sink.put(new TextEncoder().encode(String(value)))
          fs.rmSync(path.join(store.folder, "objects", digest.slice(0, 2), digest))
          lost.add(value)
        }
        if (edit?.kind === "spoil") seen.spoiled += spoil(path.join(folder, "settled"), edit.at)
        const fails = edit?.kind === "fail" ? lines[edit.node % nodes.length] : undefined
        const never = new Set(names.filter((name) => !recorded.has(name)))
        // Of several computations that gave a lost value, one that runs again heals the others.
        const may = new Set(names.filter((name, i) => never.has(name) || lost.has(values[i]!)))

        /** What must become of each stage; of those in `may` that are not in `never`, one that is healed may be reused. */
        const fate: Array<"reused" | "ran" | "failed" | "skipped" | "either"> = []
        nodes.forEach((node, i) => {
          const stopped = sourcesOf(node, i).some((source) => fate[source] === "failed" || fate[source] === "skipped")
          const due = may.has(names[i]!)
          if (stopped) fate.push("skipped")
          else if (!due) fate.push("reused")
          else if (lines[i] === fails) fate.push(never.has(names[i]!) ? "failed" : "either")
          else fate.push(never.has(names[i]!) ? "ran" : "either")
        })
        const exact = !(fails !== undefined && fate.some((each, i) => each === "either" && lines[i] === fails))

        const graph = yield* Pipeline.build(pipelineOf(nodes))
        const planned = yield* Effect.provideService(plan(graph), Store, store)
        planned.stages.forEach(({ action, stage }, i) => {
          if (action === "reuse") assert.isFalse(may.has(names[i]!), `${stage} is planned as reused`)
          if (action === "run") assert.isTrue(may.has(names[i]!), `${stage} is planned to run`)
        })
        failing(fails)
        const exit = yield* Effect.exit(as(Effect.provideService(run(graph), Store, store)))
        failing(undefined)

        if (Exit.isSuccess(exit)) {
          const report = exit.value
          const done = new Set(names.filter((_, i) => report.stages[i]!.status === "ran"))
          for (const name of never) assert.isTrue(done.has(name), `${name} did not run`)
          for (const name of done) assert.isTrue(may.has(name), `${name} ran for nothing`)
          for (const value of lost) {
            const gave = names.filter((_, i) => values[i] === value)
            assert.isTrue(gave.length === 0 || gave.some((name) => done.has(name)), `${value} was not made again`)
          }
          for (const [i, value] of values.entries()) {
            const bytes = yield* store.source.bytes(report.outputs[`o${i}`]!.parts["json"]!)
            assert.strictEqual(new TextDecoder().decode(bytes), String(value))
          }
          if (exact) assert.isFalse(fate.includes("failed"))
        } else if (edit?.kind === "fail" && exact) {
          const { failures, skipped } = Cause.squash(exit.cause) as RunError
          seen.failed += failures.length
          seen.skipped += skipped.length
          const stagesOf = (wanted: string) => fate.flatMap((each, i) => (each === wanted ? [`s${i}`] : []))
          assert.deepStrictEqual(failures.map(({ stage }) => stage).toSorted(), stagesOf("failed").toSorted())
          assert.deepStrictEqual([...skipped].toSorted(), stagesOf("skipped").toSorted())
        } else assert.isTrue(edit?.kind === "kill" || edit?.kind === "fail", Cause.pretty(exit.cause))

        if (Exit.isFailure(exit) && edit?.kind === "kill") seen.cutOff++

        // What is recorded is what the next run must find: no more than ran, and, where nothing was cut off, all of it.
        const after = yield* open(folder)
        if (after.journal.indexed()) seen.indexed++
        if (fs.existsSync(path.join(folder, "settled"))) seen.settled++
        const heads = new Set(stageHeads(after.journal).map(({ key }) => key))
        const keys = yield* Effect.provideService(
          plan(graph),
          Store,
          Store.of({ ...after, memo: known.memo, files: known.files })
        )
        names.forEach((name, i) => {
          const key = keys.stages[i]!.key
          if (key !== undefined && heads.has(key)) recorded.add(name)
        })
        if (Exit.isSuccess(exit)) for (const name of names) assert.isTrue(recorded.has(name))
        if (edit?.kind === "fail" && exact) {
          fate.forEach((each, i) => {
            assert.isFalse(each === "failed" && recorded.has(names[i]!), "a failure was recorded as a result")
          })
        }
        for (const value of [...lost]) {
          const bytes = new TextEncoder().encode(String(value))
          if (after.blobs.has({ digest: sha256(bytes), bytes: bytes.byteLength })) lost.delete(value)
        }
      }
    })

    const property = fc.asyncProperty(
      fc.array(nodeOf, { minLength: 2, maxLength: 10 }),
      fc.array(editOf, { minLength: 1, maxLength: 9 }),
      // A journal that is read whole, and one that has an index from the first record on.
      fc.constantFrom(Number.POSITIVE_INFINITY, 1),
      async (first, edits, indexedFrom) => {
        const folder = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-model-"))
        try {
          const checked = check(path.join(folder, "store"), first, edits)
          await Effect.runPromise(Effect.provideService(checked, IndexedFrom, indexedFrom))
        } finally {
          fs.rmSync(folder, { recursive: true })
        }
      }
    )
    try {
      await fc.assert(property, { numRuns: 30 })
      for (const [what, times] of Object.entries(seen)) assert.isAbove(times, 0, what)
    } finally {
      fs.rmSync(memo, { recursive: true })
    }
  })
})
