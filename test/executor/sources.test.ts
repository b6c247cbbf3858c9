import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Event } from "../../src/executor/event.ts"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import { resolve, upstream } from "../../src/lineage/ledger.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { constant, lengthOf, meanwhile } from "./arithmetic.ts"
import { ran, reasons } from "./project.ts"

const setUp = Effect.gen(function* () {
  const folder = yield* newFolder
  const store = yield* open(path.join(folder, "store"))
  const files = path.join(folder, "files")
  fs.mkdirSync(files)
  const graph = yield* Pipeline.build(
    Pipeline.make("files", {}, (p) => ({ n: p.add(lengthOf, { params: { folder: files } }).n }))
  )
  const ask = Effect.provideService(Store, store)
  const write = (name: string, text: string) => fs.writeFileSync(path.join(files, name), text)
  const events: Array<Event> = []
  return {
    write,
    files,
    start: ask(run(graph, { onEvent: (event) => Effect.sync(() => events.push(event)) })),
    events,
    store,
    planned: Effect.map(ask(plan(graph)), ({ stages }) => reasons(stages))
  }
})

describe("source files", () => {
  it.effect("count by name and content, not by time; what changed is said (row 5)", () =>
    Effect.gen(function* () {
      const { files, planned, start, write } = yield* setUp
      write("a.txt", "one")
      write("b.txt", "two")
      assert.deepStrictEqual(ran(yield* start), ["lengthOf"])
      write("a.txt", "one")
      assert.deepStrictEqual(ran(yield* start), [])
      write("a.txt", "ten")
      write("c.txt", "more")
      fs.rmSync(path.join(files, "b.txt"))
      assert.deepStrictEqual(yield* planned, {
        lengthOf: ["source file a.txt changed", "source file c.txt was added", "source file b.txt was removed"]
      })
      assert.deepStrictEqual(ran(yield* start), ["lengthOf"])
    })
  )

  it.effect(
    "one that changes while the stage reads it: the result is used, found by no other run, and the reason is shown",
    () =>
      Effect.gen(function* () {
        const { events, files, start, store, write } = yield* setUp
        write("a.txt", "one")
        meanwhile.do = () => fs.writeFileSync(path.join(files, "a.txt"), "another")
        const report = yield* start
        meanwhile.do = () => {}
        const reason = "source file a.txt changed while stage lengthOf read it: its result is used in this run only"
        const finished = events.find((event) => event._tag === "StageFinished")!
        assert.strictEqual((finished as { readonly uncached?: string }).uncached, reason)
        assert.deepInclude(report.stages[0]!, { status: "ran", uncached: reason })
        assert.isTrue(store.blobs.has(report.outputs["n"]!.parts["json"]!))
        const lineage = yield* Effect.provideService(Effect.flatMap(resolve("lengthOf"), upstream), Store, store)
        assert.strictEqual(lineage.stage, "lengthOf")
        assert.deepStrictEqual(ran(yield* start), ["lengthOf"])
        write("a.txt", "one")
        assert.deepStrictEqual(ran(yield* start), ["lengthOf"], "not even with the content that the key says")
        assert.deepStrictEqual(ran(yield* start), [])
      })
  )

  it.effect("one that is not there, or a folder that is not, is named before anything runs", () =>
    Effect.gen(function* () {
      const { files, start } = yield* setUp
      fs.symlinkSync(path.join(files, "nowhere"), path.join(files, "a.txt"))
      const error = yield* Effect.flip(start)
      assert.strictEqual(error._tag, "PlanError")
      assert.include(error.message, `stage lengthOf: ${path.join(files, "a.txt")}: the file is not there`)
      fs.rmSync(files, { recursive: true })
      assert.include((yield* Effect.flip(start)).message, "no folder")
    })
  )
})

describe("code that is not what was loaded", () => {
  it.effect("is refused: what ran would not be what the key says", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const old: typeof constant = { ...constant, definition: { ...constant.definition, time: 0 } }
      const graph = yield* Pipeline.build(Pipeline.make("old", {}, (p) => ({ n: p.add(old).n })))
      const error = yield* Effect.flip(Effect.provideService(plan(graph), Store, store))
      assert.strictEqual(error._tag, "PlanError")
      assert.include(error.message, "arithmetic.ts changed after operator constant was loaded from it")
    })
  )
})
