/** Recompute by the batch (rows 12 and 13 of the table of features). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { KeepInterval } from "../../src/executor/batches.ts"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import { collect } from "../../src/lineage/collect.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { CurrentDisk, nodeDisk } from "../../src/store/disk.ts"
import { Processes } from "../../src/store/holder.ts"
import { open, Store, type Store as StoreTag } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"
import { filesIn, newFolder } from "../store/folder.ts"
import { dying } from "./dying.ts"
import { Doc, factor, source, split, world } from "./words.ts"

let generation = 0
const text = (id: number) => `${id} lorem ipsum `.repeat(3).padEnd(9000 + ((id * 7919) % 4000), `${id * 31} dolor `)
const docOf = (id: number) => ({ id, text: text(id) })

const graphOf = (options: { readonly times?: number; readonly factor?: number }) =>
  Pipeline.build(
    Pipeline.make("words", {}, (p) => {
      const { documents } = p.add(source, { params: { generation } })
      const { n } = p.add(factor, { params: { value: options.factor ?? 2 } })
      return p.add(split, { inputs: { documents, factor: n }, params: { times: options.times ?? 1 } })
    })
  )

/** A run over these documents: which were mapped, what the stage counted, and the digests of its outputs. */
const start = Effect.fnUntraced(function* (
  store: StoreTag["Service"],
  ids: ReadonlyArray<number> | ReadonlyArray<typeof Doc.Type>,
  options: { readonly times?: number; readonly factor?: number } = {}
) {
  world.docs = ids.map((each) => (typeof each === "number" ? docOf(each) : each))
  world.mapped = []
  generation++
  const graph = yield* graphOf(options)
  const planned = (yield* Effect.provideService(plan(graph), Store, store)).stages.find(
    ({ stage }) => stage === "split"
  )!
  const report = yield* Effect.provideService(run(graph), Store, store)
  memo ??= fs.readFileSync(path.join(store.folder, "memo"))
  const stage = report.stages.find((each) => each.stage === "split")!
  const documents = report.stages.find((each) => each.stage === "source")!.artifacts["documents"]!
  return {
    planned: planned.batches,
    mapped: world.mapped,
    batches: stage.batches ?? { made: 0, reused: 0 },
    inputs: documents.meta["batches"] as number,
    outputs: Object.fromEntries(Object.entries(stage.artifacts).map(([port, { digest }]) => [port, digest])),
    artifacts: stage.artifacts
  }
})

/** What the operators' code is was found out once: a new store is told. */
let memo: Buffer | undefined

const newStore = Effect.gen(function* () {
  const folder = path.join(yield* newFolder, "store")
  if (memo !== undefined) {
    const made = yield* open(folder)
    yield* made.memo.set("none", "none", null)
    fs.writeFileSync(path.join(folder, "memo"), memo)
  }
  return yield* open(folder)
})
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** Documents of the test at scale: `PTMFLOW_DOCUMENTS=1000000 npx vitest run test/executor/batches.test.ts -t "at scale"`. */
const many = Number(process.env["PTMFLOW_DOCUMENTS"] ?? 20_000)

describe("batches (rows 12, 13)", () => {
  it.live(
    "at scale: a document inserted, changed or removed among many remakes at most three batches",
    () =>
      Effect.gen(function* () {
        const store = yield* newStore
        const text = (id: number) => `${id} lorem ipsum dolor sit amet `.repeat(4)
        const first = Array.from({ length: many }, (_, id) => ({ id, text: text(id) }))
        const middle = many >> 1
        const { batches, inputs } = yield* start(store, first)
        assert.deepStrictEqual(batches, { made: 2 * inputs, reused: 0 })
        // However many batches there are, their records are one file.
        const files = filesIn(store.folder).filter((file) => !file.startsWith("batches.sqlite"))
        assert.isBelow(files.length, 20)
        for (const docs of [
          first.toSpliced(middle, 0, { id: many, text: text(many) }),
          first.with(middle + 7, { id: middle + 7, text: "another" }),
          first.toSpliced(middle - 7, 1)
        ]) {
          const edited = yield* start(store, docs)
          assert.isAtMost(edited.batches.made, 2 * 3)
          assert.strictEqual(edited.batches.made + edited.batches.reused, 2 * edited.inputs)
          assert.deepStrictEqual(edited.outputs, (yield* start(yield* newStore, docs)).outputs)
        }
        if (many > 20_000) console.log(`${many} documents in ${inputs} batches`)
      }).pipe(Effect.scoped),
    3_600_000
  )

  it.live("one document among many remakes at most three, and the result is a full run's", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const first = yield* start(store, range(0, 400))
      assert.isAtLeast(first.inputs, 6)
      assert.deepStrictEqual(first.batches, { made: 2 * first.inputs, reused: 0 })
      for (const ids of [
        [...range(0, 200), 1000, ...range(200, 400)],
        [...range(0, 123), ...range(124, 400)],
        [1001, ...range(0, 400)],
        [...range(0, 400), 1002]
      ]) {
        const edited = yield* start(store, ids)
        // Of each of two outputs.
        assert.strictEqual(edited.planned?.made, "changed")
        assert.approximately(edited.planned?.of ?? 0, edited.batches.made + edited.batches.reused, 6)
        assert.isAtMost(edited.batches.made, 6)
        assert.isAtLeast(edited.batches.reused, 2 * (edited.inputs - 3))
        assert.isBelow(edited.mapped.length, ids.length)
        const full = yield* start(yield* newStore, ids)
        assert.deepStrictEqual(edited.outputs, full.outputs)
        assert.strictEqual(full.batches.reused, 0)
      }
    }).pipe(Effect.scoped)
  )

  it.live("another order of the batches, and rows that were away, take what is there", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      yield* start(store, range(0, 300))
      const turned = [...range(150, 300), ...range(0, 150)]
      const edited = yield* start(store, turned)
      assert.isAtLeast(edited.batches.reused, 2 * (edited.inputs - 4))
      assert.deepStrictEqual(edited.outputs, (yield* start(yield* newStore, turned)).outputs)
      const back = yield* start(store, [...range(0, 300), 5])
      assert.isAtLeast(back.batches.reused, 2 * (back.inputs - 3))
    }).pipe(Effect.scoped)
  )

  it.live("another parameter, and another other input, remake every batch; going back none", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const ids = range(0, 120)
      const first = yield* start(store, ids)
      for (const options of [{ times: 2 }, { factor: 3 }]) {
        const other = yield* start(store, ids, options)
        // What the other input will be is not known when it is planned.
        assert.strictEqual(other.planned?.made, options.times === undefined ? undefined : "all")
        assert.strictEqual(other.batches.reused, 0)
        assert.notDeepEqual(other.outputs, first.outputs)
      }
      // The stage's own key is known: it does not even run.
      assert.deepStrictEqual((yield* start(store, ids)).mapped, [])
      const more = yield* start(store, [...ids, 500])
      assert.isAtMost(more.batches.made, 6)
    }).pipe(Effect.scoped)
  )

  it.live("an index that is lost, damaged or wrong, and a table that is gone, cost time and change nothing", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* newFolder, "store")
      const ids = range(0, 200)
      const store = yield* open(folder)
      const first = yield* start(store, ids)
      const wanted = (yield* start(yield* newStore, [...ids, 900])).outputs
      const index = path.join(folder, "batches.sqlite")
      const whole = fs.readFileSync(index)
      const again = Effect.fnUntraced(function* (id: number) {
        const edited = yield* start(yield* open(folder), [...ids, id])
        return edited
      })

      fs.rmSync(index)
      const lost = yield* again(900)
      assert.strictEqual(lost.batches.reused, 0)
      assert.deepStrictEqual(lost.outputs, wanted)
      assert.isAtLeast((yield* again(901)).batches.reused, 1)

      fs.writeFileSync(index, "this is no database, and it is longer than a header of one would be".repeat(100))
      const damaged = yield* again(902)
      assert.strictEqual(damaged.batches.reused, 0)
      assert.isTrue(fs.existsSync(`${index}.damaged`))

      fs.writeFileSync(index, whole)
      const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
      const database = new DatabaseSync(index)
      database.exec("UPDATE batches SET first = first + 1")
      database.close()
      const wrong = yield* again(903)
      assert.strictEqual(wrong.batches.reused, 0)
      assert.deepStrictEqual(wrong.outputs, (yield* start(yield* newStore, [...ids, 903])).outputs)

      fs.writeFileSync(index, whole)
      const { digest } = Object.values(first.artifacts["even"]!.parts)[0]!
      fs.rmSync(path.join(folder, "objects", digest.slice(0, 2), digest))
      const gone = yield* again(904)
      // The other output's table is there.
      assert.isAtLeast(gone.batches.reused, 1)
      assert.isAtLeast(gone.mapped.length, ids.length)
      assert.deepStrictEqual(gone.outputs, (yield* start(yield* newStore, [...ids, 904])).outputs)
    }).pipe(Effect.scoped)
  )

  it("collection forgets the batches whose rows go, and no other (row 38)", async () => {
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
    const range100 = fc.tuple(fc.nat(60), fc.integer({ min: 30, max: 60 })).map(([from, n]) => range(from, from + n))
    const property = fc.asyncProperty(
      fc.array(range100, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 3 }),
      (all, keep) =>
        Effect.gen(function* () {
          const store = yield* newStore
          for (const ids of all) yield* start(store, ids)
          const places = () => {
            const database = new DatabaseSync(path.join(store.folder, "batches.sqlite"), { readOnly: true })
            const rows = database
              .prepare(
                "SELECT hex(scope) AS scope, hex(batch) AS batch, lower(hex(blobs.digest)) AS blob, bytes FROM batches JOIN blobs ON id = blob ORDER BY 1, 2"
              )
              .all()
            const blobs = database.prepare("SELECT count(*) AS n FROM blobs").get()!["n"]
            database.close()
            return { rows: rows.map((row) => ({ ...row })), blobs }
          }
          const before = places()
          yield* Effect.sleep(3)
          const collected = yield* Effect.provideService(collect({ keep, grace: 0, dryRun: false }), Store, store)
          const there = (blob: unknown) =>
            fs.existsSync(path.join(store.folder, "objects", `${blob}`.slice(0, 2), `${blob}`))
          const after = places()
          assert.deepStrictEqual(
            after.rows,
            before.rows.filter(({ blob }) => there(blob))
          )
          assert.strictEqual(collected.batches, before.rows.length - after.rows.length)
          assert.strictEqual(after.blobs, new Set(after.rows.map(({ blob }) => blob)).size)
          // What the newest run has is all at hand.
          const edited = yield* start(store, [...all.at(-1)!, 5000])
          assert.isAtMost(edited.batches.made, 6)
        }).pipe(Effect.scoped, Effect.runPromise)
    )
    await fc.assert(property, { numRuns: 5 })
  })

  it("under any edits, failures and kills: exactly the batches that were never made are made, and the result is a full run's", async () => {
    const edit = fc.record({
      at: fc.nat(),
      remove: fc.nat(3),
      insert: fc.array(fc.nat(2000), { maxLength: 3 }),
      /** A document that cannot be mapped in this run, or a change of the disk at which its process dies. */
      end: fc.oneof(
        fc.constant({ kind: "none" as const }),
        fc.record({ kind: fc.constant("fail" as const), at: fc.nat() }),
        fc.record({ kind: fc.constant("kill" as const), at: fc.integer({ min: 25, max: 140 }) })
      )
    })
    const counts = { failed: 0, killed: 0, kept: 0 }
    let pid = 0
    const property = fc.asyncProperty(fc.array(edit, { minLength: 2, maxLength: 4 }), (edits) =>
      Effect.gen(function* () {
        const { folder } = yield* newStore
        const seen = new Set<string>()
        const unsure = new Set<string>()
        let ids: ReadonlyArray<number> = range(0, 120)
        let last: { readonly [port: string]: string } = {}
        for (const each of [...edits, undefined]) {
          if (each !== undefined) {
            const at = each.at % ids.length
            ids = ids.toSpliced(at, each.remove, ...each.insert.map((id) => 3000 + id))
          }
          const { end } = each ?? { end: { kind: "none" } as const }
          world.bad = end.kind === "fail" ? ids[end.at % ids.length] : undefined
          const holder = { pid: ++pid, host: "model", space: "model", born: "" }
          const isAlive = (other: typeof holder) => other.pid === pid
          const process = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
            effect.pipe(
              Effect.provideService(Processes, { pid, thisProcess: () => holder, isAlive }),
              Effect.provideService(CurrentDisk, end.kind === "kill" ? dying(end.at) : nodeDisk),
              Effect.provideService(KeepInterval, 0)
            )
          const batches = yield* batchesOf(yield* open(folder), ids)
          const exit = yield* Effect.exit(process(Effect.flatMap(open(folder), (store) => start(store, ids))))
          const made = world.mapped
          const idsOf = (batch: string) => batch.split(" ").map(Number)
          const due = [...new Set(batches)].filter(
            (batch) => !seen.has(batch) && (!unsure.has(batch) || made.includes(idsOf(batch)[0]!))
          )
          const all = due.flatMap(idsOf)
          if (Exit.isSuccess(exit)) {
            // A run over documents that were all seen reuses the stage itself.
            assert.deepStrictEqual(made, all)
            for (const batch of batches) seen.add(batch)
            last = exit.value.outputs
            continue
          }
          assert.notStrictEqual(end.kind, "none")
          counts[end.kind === "kill" ? "killed" : "failed"]++
          // As far as it came it made them in order, and kept each before the next; whether a process that died kept the last is not known.
          assert.deepStrictEqual(made, all.slice(0, made.length))
          let left = made.length
          for (const batch of due) {
            left -= idsOf(batch).length
            if (left > 0 || (left === 0 && end.kind === "fail")) seen.add(batch)
            if (left === 0 && end.kind === "kill") unsure.add(batch)
          }
          counts.kept += seen.size
        }
        world.bad = undefined
        assert.deepStrictEqual(last, (yield* start(yield* newStore, ids)).outputs)
      }).pipe(Effect.scoped, Effect.runPromise)
    )
    await fc.assert(property, { numRuns: 8 })
    for (const [what, times] of Object.entries(counts)) assert.isAbove(times, 0, what)
  })
})

/** The batches that these documents are cut into, each as the ids in it. */
const batchesOf = Effect.fnUntraced(function* (store: StoreTag["Service"], ids: ReadonlyArray<number>) {
  const port = Table.of(Doc)
  const artifact = yield* port.encode(Table.fromRows(Doc, ids.map(docOf)), store.sink)
  const table = yield* port.decode(artifact, store.source)
  const batches = yield* Stream.runCollect(table.batches)
  return batches.map((batch) => Array.from(batch, (row) => Number(row.toJSON()["id"])).join(" "))
})
