/** A run says the same as its plan did, whatever was edited (rows 25 to 28 of the table of features). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import type { Event } from "../../src/executor/event.ts"
import { Plan, plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import { Why, WhyNot, why, whyNot } from "../../src/executor/why.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { filesIn, newFolder } from "../store/folder.ts"
import { type Node, nodeOf, pipelineOf } from "./random-pipeline.ts"

/** One node becomes another, or a blob is lost. */
const editOf = fc.record({ node: fc.nat(), to: fc.option(nodeOf, { freq: 4 }) })

const isOwn = ({ kind }: { readonly kind: string }) => kind !== "input-pending"

/** Plans, looks closer at each stage, runs, and compares. */
const check = Effect.fnUntraced(function* (nodes: ReadonlyArray<Node>) {
  const store = yield* Store
  const graph = yield* Pipeline.build(pipelineOf(nodes))
  /** Files with their contents, but for what may be deleted and what says that there is a store. */
  const kept = () =>
    fs.existsSync(store.folder)
      ? filesIn(store.folder)
          .filter((file) => !["memo", "format", ".gitignore"].includes(file))
          .map((file) => [file, fs.readFileSync(path.join(store.folder, file), "utf8")])
      : []
  const before = kept()
  const planned = yield* plan(graph)
  const byName = new Map(planned.stages.map((each) => [each.stage, each]))
  const nodeOf = new Map(graph.stages.map((each) => [each.name, each]))
  const above = (stage: string): ReadonlyArray<string> =>
    Object.values(nodeOf.get(stage)!.inputs).flatMap((source) => [source.stage, ...above(source.stage)])

  for (const { action, cause, inputs, reasons, stage } of planned.stages) {
    assert.deepStrictEqual(inputs, nodeOf.get(stage)!.inputs)
    assert.strictEqual(reasons.length === 0, action === "reuse", stage)
    assert.strictEqual(cause !== undefined, action !== "reuse" && !reasons.some(isOwn), stage)
    if (cause === undefined) continue
    assert.include(above(stage), cause.stage)
    const first = byName.get(cause.stage)!
    assert.include(
      first.reasons.filter(isOwn).map(({ message }) => message),
      cause.message
    )
  }
  const { inputs: _, ...asked } = planned.stages.at(-1)!
  const answer = yield* why(graph, asked.stage)
  assert.deepStrictEqual(answer.plan, asked)
  assert.deepStrictEqual(answer.chain.at(-1), asked.action === "reuse" ? undefined : asked)
  assert.deepStrictEqual(
    answer.chain[0]?.stage,
    asked.action === "reuse" ? undefined : (asked.cause?.stage ?? asked.stage)
  )
  const other = yield* whyNot(graph, asked.stage)
  assert.deepStrictEqual(other.plan, asked)
  for (const { changes } of other.nearest) {
    assert.isAtLeast(changes.length, asked.action === "run" && asked.key !== undefined ? 1 : 0)
  }
  Schema.decodeUnknownSync(Schema.fromJsonString(Plan))(JSON.stringify(planned))
  Schema.decodeUnknownSync(Schema.fromJsonString(Why))(JSON.stringify(answer))
  Schema.decodeUnknownSync(Schema.fromJsonString(WhyNot))(JSON.stringify(other))

  // Looking left nothing behind (row 25).
  assert.deepStrictEqual(kept(), before)

  const events: Array<Event> = []
  const report = yield* run(graph, { onEvent: (event) => Effect.sync(() => events.push(event)) })
  assert.deepStrictEqual(
    events.flatMap((event) => (event._tag === "StagePlanned" ? [event] : [])),
    planned.stages.map(({ inputs: _, key: __, ...each }) => ({ _tag: "StagePlanned" as const, ...each }))
  )
  const ran = new Set(report.stages.filter(({ status }) => status === "ran").map(({ key }) => key))
  for (const { key, reasons, stage, status } of report.stages) {
    const said = byName.get(stage)!
    if (said.action === "reuse") assert.strictEqual(status, "reused", stage)
    // Of two stages with one key one runs, and the other takes its result.
    if (said.action === "run") assert.isTrue(ran.has(key), `${stage} was planned to run`)
    if (said.key !== undefined) assert.strictEqual(key, said.key)
    if (status === "reused") continue
    const started = events.find((event) => event._tag === "StageStarted" && event.stage === stage)
    assert.deepStrictEqual(started !== undefined && "reasons" in started ? started.reasons : [], reasons)
    const pending = new Set(said.reasons.filter((reason) => !isOwn(reason)).map(({ place }) => place))
    if (pending.size === 0) assert.deepStrictEqual(reasons, said.reasons, stage)
    else if (reasons.every(({ kind }) => kind !== "blob-lost")) {
      const learned = reasons.filter(({ kind, place }) => kind === "input" && pending.has(place))
      assert.deepStrictEqual(
        reasons.filter((reason) => !learned.includes(reason)),
        said.reasons.filter(isOwn),
        stage
      )
    }
  }
  return report
})

describe("plan and run (rows 25 to 28)", () => {
  it("say the same, under any edits", async () => {
    const property = fc.asyncProperty(
      fc.array(nodeOf, { minLength: 2, maxLength: 8 }),
      fc.array(editOf, { minLength: 1, maxLength: 4 }),
      (first, edits) =>
        Effect.gen(function* () {
          const store = yield* open(path.join(yield* newFolder, "store"))
          let nodes: ReadonlyArray<Node> = first
          let report = yield* Effect.provideService(check(nodes), Store, store)
          for (const { node, to } of edits) {
            const at = node % nodes.length
            if (to === null) {
              const { digest } = report.stages[at]!.artifacts["n"]!.parts["json"]!
              fs.rmSync(path.join(store.folder, "objects", digest.slice(0, 2), digest), { force: true })
            } else nodes = nodes.with(at, to)
            report = yield* Effect.provideService(check(nodes), Store, store)
          }
        }).pipe(Effect.scoped, Effect.runPromise)
    )
    await fc.assert(property, { numRuns: 8 })
  })

  it.live("say what changed as old and new, the first cause, and what each stage took last time", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const nodes: ReadonlyArray<Node> = [
        { operator: "constant", param: 4, left: 0, right: 0 },
        { operator: "half", param: 0, left: 0, right: 0 },
        { operator: "sum", param: 1, left: 1, right: 1 },
        { operator: "sum", param: 2, left: 2, right: 2 }
      ]
      const inStore = Effect.provideService(Store, store)
      yield* inStore(check(nodes))
      const graph = yield* Pipeline.build(pipelineOf(nodes.with(0, { ...nodes[0]!, param: 9 })))
      const [s0, s1, s2, s3] = (yield* inStore(plan(graph))).stages
      assert.deepInclude(s0!.reasons[0], { kind: "parameter", place: "value", from: 4, to: 9 })
      assert.deepStrictEqual(
        [s0, s1, s2, s3].map((each) => each!.action),
        ["run", "maybe", "maybe", "maybe"]
      )
      for (const each of [s1, s2, s3]) {
        assert.deepStrictEqual(each!.cause, { stage: "s0", message: "parameter value: 4 -> 9" })
        assert.isNumber(each!.seconds)
      }
      const answer = yield* inStore(why(graph, "s3"))
      assert.deepStrictEqual(
        answer.chain.map(({ stage }) => stage),
        ["s0", "s1", "s2", "s3"]
      )
      assert.deepStrictEqual(
        answer.made!.reasons.map(({ kind }) => kind),
        ["never-ran"]
      )
      const near = yield* inStore(whyNot(graph, "s0"))
      assert.deepStrictEqual(
        near.nearest.map(({ changes }) => changes.map(({ message }) => message)),
        [["parameter value: 4 -> 9"]]
      )
      const missing = yield* Effect.flip(inStore(why(graph, "s9")))
      assert.include(missing.message, "has no stage s9; did you mean s0")
    }).pipe(Effect.scoped)
  )
})
