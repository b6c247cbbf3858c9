/** A disk that fills up: the n-th change of the disk and all after it fail, for every n in turn. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import { stageHeads, stageRecord } from "../../src/lineage/records.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { CurrentDisk, type Disk, nodeDisk, type OpenFile } from "../../src/store/disk.ts"
import { open, Store } from "../../src/store/store.ts"
import { fromCause, type StoreError } from "../../src/store/storeError.ts"
import { constant, log, sum } from "./arithmetic.ts"
import { Project, ran } from "./project.ts"
import { saving } from "./saving.ts"

/** The disk of this machine, of which the `left`-th change and all after it fail. Reading, and taking away, is always possible. */
const limited = (code: "ENOSPC" | "EROFS", budget: { left: number }): Disk => {
  const spend = <A>(place: string, operation: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.suspend(() =>
      budget.left-- > 0 ? operation : Effect.fail(fromCause(place, Object.assign(new Error(code), { code })))
    )
  const spending = (file: string, opened: OpenFile): OpenFile => ({
    ...opened,
    // A disk that fills up in the middle of a write leaves half of it.
    write: (data) =>
      budget.left === 0 && data.byteLength > 1
        ? Effect.tap(opened.write(data.subarray(0, data.byteLength >> 1)), () => Effect.sync(() => budget.left--))
        : spend(file, opened.write(data)),
    sync: spend(file, opened.sync)
  })
  return {
    ...nodeDisk,
    open: (file, how) =>
      spend(
        file,
        Effect.map(nodeDisk.open(file, how), (opened) => spending(file, opened))
      ),
    makeFolder: (folder) => spend(folder, nodeDisk.makeFolder(folder)),
    rename: (from, to) => spend(to, nodeDisk.rename(from, to)),
    touch: (file, time) => spend(file, nodeDisk.touch(file, time)),
    syncFolder: (folder) => spend(folder, nodeDisk.syncFolder(folder))
  }
}

const pipeline = Pipeline.make("small", {}, (p) => {
  const a = p.add(constant, { params: { value: 20 } })
  const b = p.add(sum, { inputs: { left: a.n, right: a.n }, params: { add: 2 } })
  return { n: p.add(saving, { inputs: { n: b.n } }).n }
})

/** What is known of the code is kept elsewhere: it is not what is tested. */
const start = Effect.fnUntraced(function* (folder: string, known: Store["Service"], disk: Disk = nodeDisk) {
  const opened = yield* Effect.provideService(open(folder), CurrentDisk, disk)
  const store = Store.of({ ...opened, memo: known.memo, files: known.files })
  const report = yield* Effect.provideService(
    Effect.flatMap(Pipeline.build(pipeline), (graph) => run(graph)),
    Store,
    store
  )
  const bytes = yield* store.source.bytes(report.outputs["n"]!.parts["json"]!)
  return { report, value: JSON.parse(new TextDecoder().decode(bytes)) as number }
})

/** What is recorded must be there, whole. */
const check = (folder: string) =>
  Effect.gen(function* () {
    const store = yield* open(folder)
    for (const { key } of stageHeads(store.journal)) {
      for (const { parts } of Object.values(stageRecord(store.journal, key)!.outputs)) {
        for (const blob of Object.values(parts)) yield* store.blobs.bytes(blob)
      }
    }
  })

const newFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "ptmflow-full-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

describe("a disk that fills up (row 19)", () => {
  it.live(
    "at any change of it: a typed error that names the place, nothing half-written, and the next run goes on",
    () =>
      Effect.gen(function* () {
        const folder = yield* newFolder
        const known = yield* open(path.join(folder, "known"))
        let failed = 0
        let n = 0
        for (; ; n++) {
          const store = path.join(folder, `${n}`)
          const budget = { left: n }
          log.length = 0
          const result = yield* Effect.result(start(store, known, limited("ENOSPC", budget)))
          if (result._tag === "Failure") {
            failed++
            assert.include(["StoreError", "RunError"], result.failure._tag)
            assert.include(result.failure.message, "disk is full")
            assert.include(result.failure.message, folder)
          }
          yield* check(store)
          const { report, value } = yield* start(store, known)
          assert.strictEqual(value, 42)
          assert.deepStrictEqual(ran((yield* start(store, known)).report), [])
          assert.isAtLeast(log.length, ran(report).length)
          const left = ["temporary", "leases"].flatMap((name) => {
            const at = path.join(store, name)
            return fs.existsSync(at) ? fs.readdirSync(at) : []
          })
          assert.deepStrictEqual(left, [])
          if (budget.left >= 0) break
        }
        assert.isAbove(n, 60)
        // What fails unseen is what need not be written: the memo, and a lease's sign of life.
        assert.isAbove(failed, 0.6 * n)
      })
  )
})

describe("a store that cannot be written", () => {
  it.live("a typed error that names it, nothing is changed, and what only looks works", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* newFolder, "store")
      const known = yield* open(`${folder}-known`)
      const first = yield* start(folder, known)
      const before = fs.readFileSync(path.join(folder, "records"))
      const disk = limited("EROFS", { left: 0 })
      const error = yield* Effect.flip(start(folder, known, disk))
      assert.strictEqual(error._tag, "StoreError")
      assert.include(error.message, path.join(folder, "records"))
      assert.include(error.message, "the file system is read-only")
      assert.deepStrictEqual(fs.readFileSync(path.join(folder, "records")), before)
      const store = yield* Effect.provideService(open(folder), CurrentDisk, disk)
      const graph = yield* Pipeline.build(pipeline)
      const planned = yield* Effect.provideService(plan(graph), Store, store)
      assert.deepStrictEqual(
        planned.stages.map(({ action }) => action),
        ["reuse", "reuse", "reuse"]
      )
      assert.deepStrictEqual(yield* store.source.bytes(first.report.outputs["n"]!.parts["json"]!), Buffer.from("42"))
    })
  )
})

describe("a process that may not write large files (ulimit -f)", () => {
  it("fails with the file's name, and a process that may goes on from what is whole", async () => {
    const project = new Project()
    try {
      await project.run(["add=1"])
      const { size } = fs.statSync(path.join(project.store, "records"))
      const most = Math.ceil(size / 1024)
      const limited = await project.start("run", ["add=2"], {
        before: ["bash", "-c", `ulimit -f ${most}; exec "$@"`, "-"]
      }).printed
      assert.strictEqual(limited.code, 1)
      assert.match(JSON.stringify(limited.last), /records: .*ulimit -f/)
      await Effect.runPromise(check(project.store))
      const after = await project.run(["add=2"])
      const fresh = await project.run(["add=2"], { store: path.join(project.root, "fresh") })
      assert.deepStrictEqual(after.outputs, fresh.outputs)
    } finally {
      project.remove()
    }
  })
})
