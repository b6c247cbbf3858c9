/** What garbage collection keeps, and that it takes the rest (row 38). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import { run } from "../../src/executor/run.ts"
import { make as makeLog } from "../../src/executor/run-log.ts"
import { bindingOf } from "../../src/lineage/binding.ts"
import { collect } from "../../src/lineage/collect.ts"
import { runsAsOf } from "../../src/lineage/ledger.ts"
import { addStage, stageRecord } from "../../src/lineage/records.ts"
import { pin } from "../../src/lineage/roots.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { constant, half, refuse, sum } from "../executor/arithmetic.ts"
import { ran } from "../executor/project.ts"
import { filesIn, newFolder } from "../store/folder.ts"

interface Made {
  readonly name: string
  readonly value: number
  readonly fails: boolean
}

const pipelineOf = ({ fails, name, value }: Made) =>
  Pipeline.make(name, {}, (p) => {
    const a = p.add(constant, { params: { value } })
    const b = p.add(sum, { inputs: { left: a.n, right: a.n }, params: { add: 1000 } })
    const c = p.add(half, { inputs: { n: b.n } })
    const d = p.add(refuse, { inputs: { n: c.n }, params: { how: fails ? "fail" : "pass" } })
    return { n: d.n, b: b.n }
  })

/** A new store that knows the code already: that is not what is tested. */
const newStore = Effect.fnUntraced(function* (known: Store["Service"] | undefined) {
  const store = yield* open(path.join(yield* newFolder, "store"))
  return known === undefined ? store : Store.of({ ...store, memo: known.memo, files: known.files })
})

const start = (store: Store["Service"], made: Made) =>
  Effect.provideService(
    Effect.flatMap(Pipeline.build(pipelineOf(made)), (graph) => run(graph)),
    Store,
    store
  )

const blobsOf = (store: Store["Service"], keys: Iterable<string>) =>
  new Set(
    [...keys].flatMap((key) =>
      Object.values(stageRecord(store.journal, key)!.outputs).flatMap(({ parts }) =>
        Object.values(parts).map(({ digest }) => digest)
      )
    )
  )

const objects = (store: Store["Service"]) =>
  new Set(filesIn(path.join(store.folder, "objects")).map((file) => path.basename(file)))

describe("garbage collection (row 38)", () => {
  it("of any runs, pins and limits: removes nothing that a kept run has, and all else", async () => {
    const scope = Scope.makeUnsafe()
    const known = await Effect.runPromise(Scope.provide(newStore(undefined), scope))
    const madeOf = fc.record({ name: fc.constantFrom("p", "q"), value: fc.nat(6), fails: fc.boolean() })
    const property = fc.asyncProperty(
      fc.array(madeOf, { minLength: 1, maxLength: 7 }),
      fc.array(fc.nat(), { maxLength: 2 }),
      fc.integer({ min: 0, max: 3 }),
      (all, pins, keep) =>
        Effect.runPromise(
          Effect.scoped(
            Effect.gen(function* () {
              const store = yield* newStore(known)
              const ask = Effect.provideService(Store, store)
              const runs: Array<{ readonly made: Made; readonly run: string; readonly keys: ReadonlyArray<string> }> =
                []
              for (const made of all) {
                const result = yield* Effect.result(start(store, made))
                const entry = store.journal.all("run").at(-1)!
                const record = entry.value() as { binding: string }
                const binding = bindingOf(store.journal, record.binding)
                runs.push({ made, run: entry.key, keys: binding.map(({ key }) => key) })
                assert.strictEqual(result._tag, made.fails ? "Failure" : "Success")
              }
              const pinned = new Set(pins.map((n) => runs[n % runs.length]!.run))
              for (const each of pinned) yield* ask(pin(each, true))
              const kept = runs.filter(({ made, run }, i) => {
                const later = runs.slice(i + 1).filter((r) => r.made.name === made.name && r.made.fails === made.fails)
                return pinned.has(run) || later.length < keep
              })
              const reachable = blobsOf(store, new Set(kept.flatMap(({ keys }) => keys)))
              const before = objects(store)
              yield* Effect.sleep(3)

              const young = yield* ask(collect({ keep, grace: 60_000, dryRun: false }))
              assert.deepStrictEqual([young.garbage, objects(store)], [[], before], "nothing young goes")
              const dry = yield* ask(collect({ keep, grace: 0, dryRun: true }))
              assert.deepStrictEqual(objects(store), before, "a dry run removes nothing")
              const real = yield* ask(collect({ keep, grace: 0, dryRun: false }))
              assert.deepStrictEqual(real.garbage, dry.garbage)
              assert.deepStrictEqual(new Set(real.roots.map(({ run }) => run)), new Set(kept.map(({ run }) => run)))

              const after = objects(store)
              for (const digest of reachable) assert.isTrue(after.has(digest), `${digest} was reachable`)
              assert.deepStrictEqual(after, reachable)
              for (const { made } of kept) {
                if (!made.fails) assert.deepStrictEqual(ran(yield* start(store, made)), [])
              }
              for (const { made } of runs) yield* Effect.ignore(start(store, made))
              assert.deepStrictEqual(objects(store), before, "what was taken is made again")
            })
          )
        )
    )
    await fc.assert(property, { numRuns: 12 })
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  it.live("a run that is going on, and what is younger than its lease, is kept", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const ask = Effect.provideService(Store, store)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* store.lease("somebody's", () => Effect.void)
          yield* Effect.sleep(3)
          const fresh = yield* store.sink.put(Buffer.from("not recorded yet"))
          yield* Effect.sleep(3)
          yield* ask(collect({ keep: 0, grace: 0, dryRun: false }))
          assert.isTrue(store.blobs.has(fresh))
        })
      )
      yield* ask(collect({ keep: 0, grace: 0, dryRun: false }))
      assert.deepStrictEqual(objects(store), new Set())
    })
  )

  it.live("resume points of finished stages go, those of unfinished ones stay", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const ask = Effect.provideService(Store, store)
      const { stages } = yield* start(store, { name: "p", value: 1, fails: false })
      const save = (key: string) =>
        store.resumePoints.save(key, (sink) => Effect.as(sink.put(Buffer.from("state")), { step: 1 }))
      yield* save(stages[0]!.key)
      yield* save("unfinished")
      yield* Effect.sleep(3)
      const { garbage } = yield* ask(collect({ keep: 5, grace: 0, dryRun: false }))
      assert.deepStrictEqual(
        garbage.map(({ kind, name }) => [kind, name]),
        [["resume points", stages[0]!.key]]
      )
      assert.deepStrictEqual(fs.readdirSync(path.join(store.folder, "resume")), ["unfinished"])
    })
  )

  it.live("logs stay of the runs that are kept, and of those that made what these have; others go", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const ask = Effect.provideService(Store, store)
      const logs = path.join(store.folder, "runs")
      const logged = (made: Made) =>
        Effect.scoped(
          Effect.gen(function* () {
            const graph = yield* Pipeline.build(pipelineOf(made))
            const log = yield* makeLog(store.folder, graph)
            return (yield* ask(run(graph, { onEvent: log }))).run
          })
        )
      const first = yield* logged({ name: "p", value: 1, fails: false })
      const other = yield* logged({ name: "p", value: 2, fails: false })
      const pinned = yield* logged({ name: "p", value: 3, fails: false })
      // All that it has was made by the first.
      const last = yield* logged({ name: "p", value: 1, fails: false })
      assert.sameMembers(fs.readdirSync(logs), [first, other, pinned, last])
      yield* ask(pin(pinned, true))
      yield* Effect.sleep(3)
      const young = yield* ask(collect({ keep: 1, grace: 60_000, dryRun: false }))
      assert.deepStrictEqual(young.garbage, [])
      const { garbage } = yield* ask(collect({ keep: 1, grace: 0, dryRun: false }))
      assert.deepStrictEqual(
        garbage.flatMap(({ kind, name }) => (kind === "log" ? [name] : [])),
        [other]
      )
      assert.sameMembers(fs.readdirSync(logs), [first, pinned, last])
      // Lineage stays: only what was reported while it ran is gone.
      const [still] = yield* runsAsOf(store.journal, other)
      assert.strictEqual(still!.run, other)
    })
  )

  it.live("what a stage notes beside its result is kept with it: its trace, and the resume points that it kept", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const ask = Effect.provideService(Store, store)
      const { stages } = yield* start(store, { name: "p", value: 1, fails: false })
      const trace = yield* store.sink.put(Buffer.from("a trace"))
      const point = yield* store.sink.put(Buffer.from("a resume point"))
      const stray = yield* store.sink.put(Buffer.from("nobody's"))
      const record = stageRecord(store.journal, stages[0]!.key)!
      const artifact = { kind: "json", digest: "d", parts: { json: point }, meta: {} }
      yield* addStage(store.journal, { ...record, trace, points: [{ step: 1, artifact }] }, [])
      yield* Effect.sleep(3)
      yield* ask(collect({ keep: 1, grace: 0, dryRun: false }))
      assert.deepStrictEqual(
        [trace, point, stray].map((blob) => store.blobs.has(blob)),
        [true, true, false]
      )
    })
  )
})
