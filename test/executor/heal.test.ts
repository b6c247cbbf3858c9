/** Blobs that are damaged or gone, found while a run reads them. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Event } from "../../src/executor/event.ts"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import type { Blob } from "../../src/operator/artifact.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { constant, half, sum } from "./arithmetic.ts"
import { ran } from "./project.ts"

const pipeline = (add: number) =>
  Pipeline.make("healing", {}, (p) => {
    const a = p.add(constant, { params: { value: 41 } })
    const b = p.add(sum, { name: "b", inputs: { left: a.n, right: a.n }, params: { add: 100 } })
    const c = p.add(half, { name: "c", inputs: { n: b.n } })
    return { n: p.add(sum, { name: "d", inputs: { left: b.n, right: c.n }, params: { add } }).n }
  })

const start = Effect.fnUntraced(function* (folder: string, add: number) {
  const store = yield* open(folder)
  const events: Array<Event> = []
  const graph = yield* Pipeline.build(pipeline(add))
  const onEvent = (event: Event) => Effect.sync(() => events.push(event))
  const report = yield* Effect.provideService(run(graph, { onEvent }), Store, store)
  const read = yield* store.blobs.bytes(report.outputs["n"]!.parts["json"]!)
  return { report, events, value: JSON.parse(Buffer.from(read).toString()) as number }
})

/** The result of a first run, copied to a folder that this process has read nothing of. */
const setUp = Effect.gen(function* () {
  const root = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "ptmflow-heal-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  )
  const first = yield* start(path.join(root, "first"), 0)
  const folder = path.join(root, "store")
  fs.cpSync(path.join(root, "first"), folder, { recursive: true })
  const blobOf = (stage: string): Blob =>
    first.report.stages.find((each) => each.stage === stage)!.artifacts["n"]!.parts["json"]!
  const fileOf = (stage: string) => path.join(folder, "objects", blobOf(stage).digest.slice(0, 2), blobOf(stage).digest)
  const flip = (stage: string) => {
    const bytes = fs.readFileSync(fileOf(stage))
    bytes[0]! ^= 2
    fs.chmodSync(fileOf(stage), 0o644)
    fs.writeFileSync(fileOf(stage), bytes)
  }
  return { folder, blobOf, fileOf, flip }
})

const why = (events: ReadonlyArray<Event>) =>
  events.flatMap((event) =>
    event._tag === "StageStarted" ? [[event.stage, event.reasons.map(({ kind }) => kind).join()] as const] : []
  )

describe("a flipped bit (row 35)", () => {
  it.effect("in what a stage is given: the stage that made it runs again, and then the stage, in one run", () =>
    Effect.gen(function* () {
      const { blobOf, flip, folder } = yield* setUp
      flip("b")
      const { events, report, value } = yield* start(folder, 1)
      assert.strictEqual(value, 182 + 91 + 1)
      assert.deepStrictEqual(why(events), [
        ["d", "parameter"],
        ["b", "blob-lost"],
        ["d", "parameter"]
      ])
      assert.deepStrictEqual(ran(report), ["b", "d"])
      assert.isFalse(events.some(({ _tag }) => _tag === "StageFailed"))
      const quarantined = fs.readdirSync(path.join(folder, "quarantine"))
      assert.deepStrictEqual(
        quarantined.map((name) => name.slice(0, 64)),
        [blobOf("b").digest]
      )
      assert.deepStrictEqual(ran((yield* start(folder, 1)).report), [])
    })
  )

  it.effect("in what that stage in turn is given: both run again", () =>
    Effect.gen(function* () {
      const { flip, folder } = yield* setUp
      for (const stage of ["constant", "b", "c"]) flip(stage)
      const { report, value } = yield* start(folder, 2)
      assert.strictEqual(value, 182 + 91 + 2)
      assert.deepStrictEqual(ran(report), ["constant", "b", "c", "d"])
      assert.deepStrictEqual(ran((yield* start(folder, 2)).report), [])
    })
  )
})

describe("blobs that are gone (row 36)", () => {
  it.effect("all of them: all runs again, and is right", () =>
    Effect.gen(function* () {
      const { folder } = yield* setUp
      fs.rmSync(path.join(folder, "objects"), { recursive: true })
      const { events, report, value } = yield* start(folder, 0)
      assert.strictEqual(value, 182 + 91)
      assert.deepStrictEqual(ran(report), ["constant", "b", "c", "d"])
      assert.isTrue(why(events).every(([, kinds]) => kinds === "blob-lost"))
      assert.deepStrictEqual(ran((yield* start(folder, 0)).report), [])
    })
  )

  it.effect("one that is shorter, or longer, than it was is no hit: the plan says so, and it is made again", () =>
    Effect.gen(function* () {
      for (const edit of [(bytes: Buffer) => bytes.subarray(1), (bytes: Buffer) => Buffer.concat([bytes, bytes])]) {
        const { fileOf, folder } = yield* setUp
        fs.chmodSync(fileOf("b"), 0o644)
        fs.writeFileSync(fileOf("b"), edit(fs.readFileSync(fileOf("b"))))
        const store = yield* open(folder)
        const graph = yield* Pipeline.build(pipeline(0))
        const { stages } = yield* Effect.provideService(plan(graph), Store, store)
        // The result of the last is there: nobody needs the bytes of the others.
        assert.deepStrictEqual(
          stages.filter(({ action }) => action === "run").map(({ reasons, stage }) => [stage, reasons[0]!.kind]),
          [["b", "blob-lost"]]
        )
        const { report, value } = yield* start(folder, 0)
        assert.deepStrictEqual([ran(report), value], [["b"], 182 + 91])
      }
    })
  )

  it.effect("one that goes while the run has begun is made again", () =>
    Effect.gen(function* () {
      const { fileOf, folder } = yield* setUp
      const store = yield* open(folder)
      const graph = yield* Pipeline.build(pipeline(3))
      let gone = false
      const onEvent = (event: Event) =>
        Effect.sync(() => {
          if (event._tag !== "StageStarted" || event.stage !== "d" || gone) return
          gone = true
          fs.rmSync(fileOf("c"))
        })
      const report = yield* Effect.provideService(run(graph, { onEvent }), Store, store)
      assert.deepStrictEqual(ran(report), ["c", "d"])
    })
  )
})
