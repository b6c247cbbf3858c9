import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { mapRows } from "../../operators/map-rows.ts"
import { isWorthKeeping, type KeptPoint, withPoint } from "../../src/executor/kept-points.ts"
import { run } from "../../src/executor/run.ts"
import { makeUpdates } from "../../src/executor/trace.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import { traceOf } from "../../src/lineage/trace.ts"
import * as Operator from "../../src/operator/operator.ts"
import { outputsOf } from "../../src/operator/origins.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { lines, Text } from "../verify/stages.ts"
import { Refused } from "./arithmetic.ts"
import { numberPort } from "./json-port.ts"

const dying = { at: 0 }

const learning = Operator.make("learning", {
  description: "Six updates, each on two rows, with a resume point after each",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { n: numberPort },
  run: Effect.fnUntraced(function* () {
    const stage = yield* Stage
    const saved = yield* stage.resume(numberPort)
    let value = Option.isSome(saved) ? saved.value.value : 0
    for (let step = Option.isSome(saved) ? saved.value.step : 0; step < 6; step++) {
      value = value * 3 + step
      yield* stage.learned({ step: step + 1, loss: value / 7, rows: { n: [[2 * step, 2 * step + 1]] } })
      yield* stage.report({ step: step + 1, steps: 6 })
      yield* stage.save(numberPort, { step: step + 1, value })
      if (dying.at === step + 1) return yield* new Refused({ message: "stopped" })
    }
    return { n: value }
  })
})
const halves = mapRows("halves", {
  description: "Long lines in two",
  from: Text,
  to: Text,
  rows: ({ text }) => (text.includes("x") ? [{ text: text.slice(0, 20) }, { text: text.slice(20) }] : [{ text }])
})

const pipeline = Pipeline.make("learning", {}, (p) => ({ n: p.add(learning).n }))

describe("the trace of a stage", () => {
  it.effect("has every update, also where the stage went on from a resume point, and is part of no result", () =>
    Effect.gen(function* () {
      const root = yield* newFolder
      const traced = Effect.fnUntraced(function* (folder: string, stops: ReadonlyArray<number>) {
        const store = yield* open(`${root}/${folder}`)
        const graph = yield* Pipeline.build(pipeline)
        const again = Effect.provideService(run(graph, { keepPoints: 2 }), Store, store)
        for (const at of stops) {
          dying.at = at
          yield* Effect.flip(again)
        }
        dying.at = 0
        const { stages } = yield* again
        const record = stageRecord(store.journal, stages[0]!.key)!
        return { record, trace: (yield* traceOf(store, record))! }
      })
      const whole = yield* traced("whole", [])
      const resumed = yield* traced("resumed", [2, 5])
      assert.deepStrictEqual(resumed.trace, whole.trace)
      assert.deepStrictEqual(whole.trace.rows, { n: ["0-1", "2-3", "4-5", "6-7", "8-9", "10-11"] })
      assert.strictEqual(whole.trace.losses[2], 5 / 7)
      assert.deepStrictEqual(whole.record.learned, { n: "0-11" })
      assert.deepStrictEqual(resumed.record.outputs, whole.record.outputs)
      assert.deepStrictEqual(resumed.record.points, whole.record.points)
      assert.isAtMost(whole.record.points!.length, 2)
    })
  )

  it.effect("knows the origins of rows that were reused batch by batch as those of rows that were made", () =>
    Effect.gen(function* () {
      const root = yield* newFolder
      const file = path.join(root, "lines.txt")
      const mapped = Pipeline.make("mapped", {}, (p) => {
        const { rows } = p.add(lines, { params: { file } })
        return { rows: p.add(halves, { inputs: { rows } }).rows }
      })
      const texts = Array.from({ length: 4000 }, (_, i) => `line ${i} ${"x".repeat(i % 3 === 0 ? 900 : 0)}`)
      const origins = Effect.fnUntraced(function* (folder: string, texts: ReadonlyArray<string>) {
        const store = yield* open(path.join(root, folder))
        fs.writeFileSync(file, texts.join("\n"))
        const graph = yield* Pipeline.build(mapped)
        const { stages } = yield* Effect.provideService(run(graph), Store, store)
        const record = stageRecord(store.journal, stages[1]!.key)!
        return { origins: (yield* traceOf(store, record))!.origins, batches: record.batches! }
      })
      yield* origins("one", texts)
      const inserted = [...texts.slice(0, 2000), "one more", ...texts.slice(2000)]
      const reused = yield* origins("one", inserted)
      assert.isAbove(reused.batches.reused, 0)
      const made = yield* origins("two", inserted)
      assert.strictEqual(made.batches.reused, 0)
      assert.deepStrictEqual(reused.origins, made.origins)
      // A third of the lines are two rows.
      const rows = inserted.flatMap((text, row) => (text.includes("x") ? [row, row] : [row]))
      const [runs] = Object.values(made.origins["rows"]!)
      for (const row of [0, 1, 1999, 2000, 2001, 3999]) {
        const found = outputsOf(runs!, [[row, row]])
        assert.deepStrictEqual(found, [[rows.indexOf(row), rows.lastIndexOf(row)]])
      }
    })
  )

  it("refuses an update that is noted twice, or left out", () => {
    const updates = makeUpdates()
    updates.add({ step: 1, loss: 1, rows: {} })
    assert.throws(() => updates.add({ step: 1, loss: 1, rows: {} }), /update 1 was noted after update 1/)
    assert.throws(() => updates.add({ step: 3, loss: 1, rows: {} }), /update 3 was noted after update 1/)
  })

  it("a port that some updates leave out keeps its places", () => {
    const updates = makeUpdates()
    updates.add({ step: 1, loss: 1, rows: { a: [[1, 1]] } })
    updates.add({ step: 2, loss: 1, rows: { b: [[5, 6]] } })
    updates.add({ step: 3, loss: 1, rows: { a: [[2, 2]] } })
    assert.deepStrictEqual(updates.trace().rows, { a: ["1", "", "2"], b: ["", "5-6", ""] })
    assert.deepStrictEqual(updates.learned(), { a: "1-2", b: "5-6" })
  })

  it("resume points that are kept are few, and evenly spread over the whole", () => {
    let points: ReadonlyArray<KeptPoint> = []
    for (let step = 10; step <= 1000; step += 10) {
      if (isWorthKeeping(points, step)) points = withPoint(points, 5, { step, artifact: undefined as never })
      assert.isAtMost(points.length, 5)
    }
    const steps = points.map(({ step }) => step)
    const gaps = steps.map((step, i) => step - (steps[i - 1] ?? 0))
    assert.isAbove(points.length, 2)
    assert.isAtMost(Math.max(...gaps), 2 * Math.min(...gaps))
  })
})
