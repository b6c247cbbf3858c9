import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { Device } from "../../src/device/device.ts"
import { Event } from "../../src/executor/event.ts"
import { plan } from "../../src/executor/plan.ts"
import type { RunReport } from "../../src/executor/report.ts"
import { type RunOptions, run } from "../../src/executor/run.ts"
import { newestRun } from "../../src/lineage/run-status.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer, Store } from "../../src/store/store.ts"
import { constant, device, half, log, onDevice, refuse, sum } from "./arithmetic.ts"
import { ran, reasons } from "./project.ts"
import { documents, lengths, made, total } from "./tables.ts"

/** An effect in a new store, which goes with it. */
const inNewStore = <A, E>(effect: Effect.Effect<A, E, Store>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "ptmflow-run-"))),
    (folder) => effect.pipe(Effect.provide(layer(path.join(folder, "store")))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  )

const settingsOf = (settings: { readonly [path: string]: unknown }) =>
  Object.entries(settings).map(([at, value]) => ({ path: at, value: String(value) }))

const start = <P, R>(
  pipeline: Pipeline.Pipeline<P, R>,
  settings: { readonly [path: string]: unknown } = {},
  options?: RunOptions
) => Effect.flatMap(Pipeline.build(pipeline, settingsOf(settings)), (graph) => run(graph, options))

const planOf = <P, R>(pipeline: Pipeline.Pipeline<P, R>, settings: { readonly [path: string]: unknown } = {}) =>
  Effect.flatMap(Pipeline.build(pipeline, settingsOf(settings)), plan)

const numberOf = Effect.fnUntraced(function* (report: RunReport, output: string) {
  const store = yield* Store
  const bytes = yield* store.source.bytes(report.outputs[output]!.parts["json"]!)
  return JSON.parse(new TextDecoder().decode(bytes)) as number
})

const Params = Schema.Struct({
  a: Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(4))),
  b: Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(10))),
  add: Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0)))
})

/** a -> half -\
 *              sum -> last (sum with b again)
 *  b ----------/                                  */
const diamond = Pipeline.make("diamond", { params: Params }, (p, params) => {
  const a = p.add(constant, { name: "a", params: { value: params.a } })
  const b = p.add(constant, { name: "b", params: { value: params.b } })
  const halved = p.add(half, { inputs: { n: a.n } })
  const both = p.add(sum, { inputs: { left: halved.n, right: b.n }, params: { add: params.add } })
  const last = p.add(sum, { name: "last", inputs: { left: both.n, right: b.n } })
  return { result: last.n }
})

describe("run", () => {
  beforeEach(() => {
    log.length = 0
    device.most = 0
  })

  it.effect("runs every stage once, and the second time none", () =>
    inNewStore(
      Effect.gen(function* () {
        const first = yield* start(diamond)
        assert.deepStrictEqual(ran(first), ["a", "b", "half", "sum", "last"])
        assert.strictEqual(yield* numberOf(first, "result"), 22)
        assert.strictEqual(log.length, 5)
        const second = yield* start(diamond)
        assert.deepStrictEqual(ran(second), [])
        assert.strictEqual(log.length, 5)
        assert.deepStrictEqual(second.outputs, first.outputs)
      })
    )
  )

  it.effect("a changed parameter reruns its stage and what hangs on it, and going back is a hit (row 11)", () =>
    inNewStore(
      Effect.gen(function* () {
        const before = yield* start(diamond)
        const changed = yield* start(diamond, { add: 5 })
        assert.deepStrictEqual(ran(changed), ["sum", "last"])
        assert.strictEqual(yield* numberOf(changed, "result"), 27)
        const back = yield* start(diamond)
        assert.deepStrictEqual(ran(back), [])
        assert.deepStrictEqual(back.outputs, before.outputs)
        const again = yield* start(diamond, { add: 6 })
        assert.deepStrictEqual(reasons(again.stages)["sum"], ["parameter add: 0 -> 6"])
      })
    )
  )

  it.effect("a stage that gives the same bytes stops the change there, within one run (row 10)", () =>
    inNewStore(
      Effect.gen(function* () {
        yield* start(diamond, { a: 4 })
        const report = yield* start(diamond, { a: 5 })
        assert.deepStrictEqual(ran(report), ["a", "half"])
      })
    )
  )

  it.effect("a parameter that is left out and one that says its default are the same", () =>
    inNewStore(
      Effect.gen(function* () {
        const make = (params: { readonly value?: number; readonly note?: ReadonlyArray<string> }) =>
          Pipeline.make("defaults", {}, (p) => ({ n: p.add(constant, { params }).n }))
        yield* start(make({}))
        assert.deepStrictEqual(ran(yield* start(make({ value: 1, note: [] }))), [])
        assert.deepStrictEqual(ran(yield* start(make({ value: 1, note: ["x"] }))), ["constant"])
      })
    )
  )

  it.effect("two stages with one key run once, under any names and in any pipeline (row 14)", () =>
    inNewStore(
      Effect.gen(function* () {
        const twins = Pipeline.make("twins", {}, (p) => {
          const left = p.add(constant, { name: "left", params: { value: 3 } })
          const right = p.add(constant, { name: "right", params: { value: 3 } })
          return { n: p.add(sum, { inputs: { left: left.n, right: right.n } }).n }
        })
        const report = yield* start(twins)
        assert.deepStrictEqual(log, ["constant 3", "sum 3 3"])
        assert.strictEqual(ran(report).length, 2)
        const elsewhere = Pipeline.make("elsewhere", {}, (p) => ({ n: p.add(constant, { params: { value: 3 } }).n }))
        assert.deepStrictEqual(ran(yield* start(elsewhere)), [])
      })
    )
  )

  it.effect("a lost blob is found by plan and made again, and what hangs on it stays", () =>
    inNewStore(
      Effect.gen(function* () {
        const report = yield* start(diamond)
        const store = yield* Store
        const { digest } = report.stages.find(({ stage }) => stage === "half")!.artifacts["n"]!.parts["json"]!
        fs.rmSync(path.join(store.folder, "objects", digest.slice(0, 2), digest))
        const planned = yield* planOf(diamond)
        assert.deepStrictEqual(
          planned.stages.map(({ action }) => action),
          ["reuse", "reuse", "run", "maybe", "maybe"]
        )
        assert.include(reasons(planned.stages)["half"]![0], "is not in the store")
        assert.deepStrictEqual(ran(yield* start(diamond)), ["half"])
        assert.deepStrictEqual(ran(yield* start(diamond)), [])
      })
    )
  )

  it.effect("a damaged blob is made again by the run that finds it (rows 35, 36)", () =>
    inNewStore(
      Effect.gen(function* () {
        const report = yield* start(diamond)
        const { folder } = yield* Store
        // Another folder, as values of this one are still in memory.
        const copy = path.join(path.dirname(folder), "copy")
        fs.cpSync(folder, copy, { recursive: true })
        const { digest } = report.stages.find(({ stage }) => stage === "half")!.artifacts["n"]!.parts["json"]!
        const file = path.join(copy, "objects", digest.slice(0, 2), digest)
        fs.chmodSync(file, 0o644)
        fs.writeFileSync(file, "3")
        const inCopy = Effect.provide(layer(copy), { local: true })
        assert.deepStrictEqual(ran(yield* inCopy(start(diamond))), [])
        const healed = yield* inCopy(start(diamond, { b: 11 }))
        assert.deepStrictEqual(ran(healed), ["b", "half", "sum", "last"])
        assert.include(reasons(healed.stages)["half"]![0], digest.slice(0, 12))
        assert.strictEqual(yield* inCopy(numberOf(healed, "result")), 24)
      })
    )
  )

  it.effect("plan says what run does, and why, in the same words", () =>
    inNewStore(
      Effect.gen(function* () {
        const check = Effect.fnUntraced(function* (settings: { readonly [path: string]: unknown }) {
          const planned = yield* planOf(diamond, settings)
          const before = log.length
          const report = yield* start(diamond, settings)
          const ranNow = new Set(ran(report))
          for (const { action, reasons, stage } of planned.stages) {
            if (action === "reuse") assert.isFalse(ranNow.has(stage), `${stage} was planned as reused`)
            if (action === "run") {
              assert.isTrue(ranNow.has(stage), `${stage} was planned to run`)
              const said = reasons.filter(({ kind }) => kind !== "input-pending")
              const done = report.stages.find((each) => each.stage === stage)!.reasons
              assert.deepStrictEqual(
                done.filter(({ kind }) => kind !== "input" || !reasons.some((each) => each.kind === "input-pending")),
                said
              )
            }
          }
          assert.strictEqual(log.length - before, ranNow.size)
          return planned
        })
        const first = yield* check({})
        assert.isTrue(first.stages.every(({ action }) => action === "run"))
        assert.isTrue((yield* check({})).stages.every(({ action }) => action === "reuse"))
        const some = yield* check({ add: 2, a: 5 })
        assert.deepStrictEqual(
          some.stages.map(({ action }) => action),
          ["run", "reuse", "maybe", "run", "maybe"]
        )
        yield* check({ add: 2, a: 4 })
        yield* check({ b: 11 })
        yield* check({ b: 10, add: 2, a: 7 })
      })
    )
  )

  it.live("a failing stage stops what needs it and nothing else", () =>
    inNewStore(
      Effect.gen(function* () {
        const events: Array<Event> = []
        const pipeline = (how: "fail" | "die" | "pass") =>
          Pipeline.make("failing", {}, (p) => {
            const a = p.add(constant)
            const bad = p.add(refuse, { inputs: { n: a.n }, params: { how } })
            const after = p.add(half, { inputs: { n: bad.n } })
            const end = p.add(sum, { name: "end", inputs: { left: after.n, right: a.n } })
            const apart = p.add(sum, { name: "apart", inputs: { left: a.n, right: a.n }, params: { delay: 20 } })
            return { end: end.n, apart: apart.n }
          })
        const error = yield* Effect.flip(
          start(pipeline("fail"), {}, { onEvent: (event) => Effect.sync(() => events.push(event)) })
        )
        if (error._tag !== "RunError") return assert.fail(error.message)
        assert.deepStrictEqual(error.failures, [
          { stage: "refuse", operator: "refuse", cause: "Refused", message: "the number is odd" }
        ])
        assert.deepStrictEqual([...error.skipped].sort(), ["end", "half"])
        assert.include(error.message, "stage refuse failed: Refused: the number is odd")
        assert.include(log, "sum 1 1")
        assert.deepInclude(events.at(-1), { _tag: "RunFinished", status: "failed", ran: 2, failed: 1, skipped: 2 })
        assert.isTrue(
          events.some((event) => event._tag === "StageSkipped" && event.stage === "end" && event.because === "refuse")
        )
        const status = (yield* newestRun)!
        assert.strictEqual(status.status, "failed")
        assert.deepStrictEqual(Object.fromEntries(status.stages.map((each) => [each.stage, each.status])), {
          constant: "ran",
          apart: "ran",
          refuse: "failed",
          half: "skipped",
          end: "skipped"
        })

        const died = yield* Effect.flip(start(pipeline("die")))
        if (died._tag !== "RunError") return assert.fail(died.message)
        assert.strictEqual(died.failures[0]!.cause, "Defect")
        assert.include(died.failures[0]!.message, "TypeError: a bug")

        const good = yield* start(pipeline("pass"))
        assert.deepStrictEqual(ran(good), ["refuse", "half", "end"])
      })
    )
  )

  it.live("independent stages run side by side; those that use the device one at a time", () =>
    inNewStore(
      Effect.gen(function* () {
        const pipeline = Pipeline.make("wide", {}, (p) => {
          const a = p.add(constant)
          const each = [1, 2, 3, 4].map((i) => {
            const { n } = p.add(onDevice, { name: `device${i}`, inputs: { n: a.n }, params: { add: i } })
            p.add(sum, { name: `sum${i}`, inputs: { left: a.n, right: a.n }, params: { delay: 30, add: i } })
            return [`d${i}`, n] as const
          })
          const sums = [1, 2, 3, 4].map((i) =>
            p.add(sum, { name: `wait${i}`, inputs: { left: a.n, right: a.n }, params: { delay: 100, add: i } })
          )
          return { ...Object.fromEntries(each), ...Object.fromEntries(sums.map(({ n }, i) => [`s${i}`, n])) }
        })
        let now = 0
        let most = 0
        const onEvent = (event: Event) =>
          Effect.sync(() => {
            if (event._tag === "StageStarted" && event.stage.startsWith("wait")) most = Math.max(most, ++now)
            if (event._tag === "StageFinished" && event.stage.startsWith("wait")) now--
          })
        const shape = {
          kind: "cpu",
          description: "a device",
          numerics: Effect.succeed("n1")
        } as unknown as Device["Service"]
        yield* start(pipeline, {}, { onEvent, concurrency: 6 }).pipe(Effect.provideService(Device, shape))
        assert.strictEqual(device.most, 1)
        assert.strictEqual(most, 4)
        const same = yield* start(pipeline).pipe(
          Effect.provideService(Device, { ...shape, description: "another of the same class" })
        )
        assert.deepStrictEqual(ran(same), [])
        const other = yield* start(pipeline).pipe(
          Effect.provideService(Device, { ...shape, numerics: Effect.succeed("n2") })
        )
        assert.deepStrictEqual([...ran(other)].sort(), ["device1", "device2", "device3", "device4"])
        assert.deepStrictEqual(reasons(other.stages)["device1"], ["same code, other numerics: n1 -> n2"])
      })
    )
  )

  it.live("a pipeline that accepts any numerics shares its results with every device (row 7)", () =>
    inNewStore(
      Effect.gen(function* () {
        const shape = { kind: "cpu", description: "a device" } as unknown as Device["Service"]
        const made = (numerics: "same" | "any") =>
          Pipeline.make(numerics, { numerics }, (p) => {
            const { n } = p.add(constant)
            return { n: p.add(onDevice, { inputs: { n } }).n }
          })
        const runOn = (pipeline: ReturnType<typeof made>, numerics: string) =>
          Effect.provideService(start(pipeline), Device, { ...shape, numerics: Effect.succeed(numerics) })
        assert.deepStrictEqual(ran(yield* runOn(made("any"), "n1")), ["constant", "onDevice"])
        assert.deepStrictEqual(ran(yield* runOn(made("any"), "n2")), [])
        assert.deepStrictEqual(ran(yield* runOn(made("same"), "n2")), ["onDevice"])
        assert.deepStrictEqual(ran(yield* runOn(made("same"), "n1")), ["onDevice"])
      })
    )
  )

  it.live("an interrupted run keeps what finished and says so", () =>
    inNewStore(
      Effect.gen(function* () {
        const pipeline = Pipeline.make("slow", {}, (p) => {
          const a = p.add(constant)
          const b = p.add(sum, { inputs: { left: a.n, right: a.n }, params: { delay: 10_000 } })
          return { n: b.n }
        })
        const events: Array<Event> = []
        const started = yield* Effect.forkChild(
          start(pipeline, {}, { onEvent: (event) => Effect.sync(() => events.push(event)) })
        )
        while (!events.some((event) => event._tag === "StageStarted" && event.stage === "sum")) yield* Effect.sleep(2)
        yield* Fiber.interrupt(started)
        assert.deepInclude(events.at(-1), { _tag: "RunFinished", status: "interrupted", ran: 1 })
        const status = (yield* newestRun)!
        assert.strictEqual(status.status, "interrupted")
        assert.deepStrictEqual(
          status.stages.map(({ stage }) => stage),
          ["constant"]
        )
        const store = yield* Store
        assert.deepStrictEqual(fs.readdirSync(path.join(store.folder, "leases")), [])
        assert.deepStrictEqual(fs.readdirSync(path.join(store.folder, "temporary")), [])
      })
    )
  )

  it.effect(
    "tables pass between stages: rows are made once, and how they are cut into batches changes nothing (row 5)",
    () =>
      inNewStore(
        Effect.gen(function* () {
          const pipeline = Pipeline.make(
            "tables",
            { params: Schema.Struct({ count: Schema.Int, batchRows: Schema.Int }) },
            (p, params) => {
              const read = p.add(documents, { params })
              const counted = p.add(lengths, { inputs: read })
              const again = p.add(lengths, { name: "again", inputs: read })
              return {
                n: p.add(total, { inputs: counted }).n,
                again: p.add(total, { name: "total2", inputs: again }).n
              }
            }
          )
          made.rows = 0
          const report = yield* start(pipeline, { count: 3000, batchRows: 100 })
          assert.strictEqual(made.rows, 3000)
          const expected = Array.from({ length: 3000 }, (_, i) => 5 * ((i + 1) % 7)).reduce((a, b) => a + b)
          assert.strictEqual(yield* numberOf(report, "n"), expected)
          assert.strictEqual(yield* numberOf(report, "again"), expected)
          const cut = yield* start(pipeline, { count: 3000, batchRows: 77 })
          assert.deepStrictEqual(ran(cut), ["documents"])
          assert.deepStrictEqual(ran(yield* start(pipeline, { count: 2999, batchRows: 77 })).length, 3)
        })
      )
  )

  it.live("the order of rows is the same whatever runs at once (row 21)", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("order", {}, (p) => {
        const read = [100, 77, 33].map((batchRows, i) =>
          p.add(documents, { name: `read${i}`, params: { count: 500, batchRows } })
        )
        const counted = read.map((each, i) => p.add(lengths, { name: `lengths${i}`, inputs: each }).lengths)
        return { a: counted[0]!, b: counted[1]!, c: counted[2]! }
      })
      const digests = (concurrency: number) =>
        inNewStore(
          Effect.map(start(pipeline, {}, { concurrency }), ({ outputs }) =>
            Object.values(outputs).map(({ digest }) => digest)
          )
        )
      const one = yield* digests(1)
      assert.deepStrictEqual(yield* digests(8), one)
      assert.strictEqual(new Set(one).size, 1)
    })
  )

  it.effect("events encode to JSON and back", () =>
    inNewStore(
      Effect.gen(function* () {
        const events: Array<Event> = []
        yield* start(diamond, {}, { onEvent: (event) => Effect.sync(() => events.push(event)) })
        yield* start(diamond, { add: 1 }, { onEvent: (event) => Effect.sync(() => events.push(event)) })
        for (const event of events) {
          const text = JSON.stringify(Schema.encodeSync(Event)(event))
          assert.deepStrictEqual(Schema.decodeUnknownSync(Event)(JSON.parse(text)), event)
        }
        assert.strictEqual(new Set(events.map(({ _tag }) => _tag)).size, 6)
      })
    )
  )
})
