/** What the check of a store finds and repairs (rows 35 and 36). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "../../src/executor/run.ts"
import { check } from "../../src/lineage/check.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { constant, half, sum } from "../executor/arithmetic.ts"
import { ran } from "../executor/project.ts"
import { filesIn, newFolder } from "../store/folder.ts"

const pipeline = Pipeline.make("checked", {}, (p) => {
  const a = p.add(constant, { params: { value: 8 } })
  const b = p.add(sum, { inputs: { left: a.n, right: a.n } })
  return { n: p.add(half, { inputs: { n: b.n } }).n, b: b.n }
})

const start = (store: Store["Service"]) =>
  Effect.provideService(
    Effect.flatMap(Pipeline.build(pipeline), (graph) => run(graph)),
    Store,
    store
  )

describe("fsck", () => {
  it.live("finds every kind of damage, changes nothing unless asked to, and after a repair a run heals the store", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const ask = Effect.provideService(Store, store)
      const { stages } = yield* start(store)
      const whole = yield* ask(check({ quick: false, repair: false }))
      assert.deepInclude(whole, { stages: 3, runs: 1, blobs: 2, problems: [] })

      const at = (...names: ReadonlyArray<string>) => path.join(store.folder, ...names)
      const fileOf = (n: number) => {
        const { digest } = stages[n]!.artifacts["n"]!.parts["json"]!
        return at("objects", digest.slice(0, 2), digest)
      }
      // 8 and 8 are one blob, of constant and half; 16 is the other.
      const flipped = fs.readFileSync(fileOf(1))
      flipped[0]! ^= 1
      fs.chmodSync(fileOf(1), 0o644)
      fs.writeFileSync(fileOf(1), flipped)
      fs.chmodSync(fileOf(0), 0o644)
      fs.truncateSync(fileOf(0), 0)
      fs.appendFileSync(at("records"), "half a rec")
      fs.appendFileSync(at("records"), "\n")
      fs.mkdirSync(at("leases"), { recursive: true })
      fs.writeFileSync(
        at("leases", "key.1-x"),
        JSON.stringify({ holder: { pid: 1, host: "h", space: "h", born: "" }, since: 0 })
      )
      fs.utimesSync(at("leases", "key.1-x"), 1, 1)
      fs.writeFileSync(at("temporary", "half"), "")
      fs.utimesSync(at("temporary", "half"), 1, 1)
      yield* store.resumePoints.save("key", (sink) => Effect.as(sink.put(Buffer.from("x")), { step: 1 }))
      const point = filesIn(at("resume", "key")).find((name) => !name.endsWith("point"))!
      fs.chmodSync(at("resume", "key", point), 0o644)
      fs.writeFileSync(at("resume", "key", point), "y")

      const before = filesIn(store.folder)
      const quick = yield* ask(check({ quick: true, repair: false }))
      const found = yield* ask(check({ quick: false, repair: false }))
      assert.deepStrictEqual(filesIn(store.folder), before)
      const words = (problems: typeof found.problems) => problems.map(({ message }) => message.replace(/;.*/, ""))
      assert.deepStrictEqual(words(found.problems).toSorted(), [
        "1 line is no record: torn by a crash, or damaged",
        "a file that a process had not finished",
        "its bytes have another digest",
        "its bytes have another digest",
        "none of its resume points is whole",
        "the lease of process 1, which is gone"
      ])
      assert.strictEqual(found.problems.filter(({ kind }) => kind === "damage").length, 4)
      // What is cut short is found by its size, what is flipped only by reading it.
      assert.include(words(quick.problems).join(), "has 0 bytes in place of 1")
      assert.notInclude(words(quick.problems).join(), "another digest")

      const repaired = yield* ask(check({ quick: false, repair: true }))
      assert.deepStrictEqual(
        repaired.problems.filter((problem) => !problem.repaired).map(({ place }) => place),
        [at("records")]
      )
      // The blob that constant gives again is half's too.
      assert.deepStrictEqual(ran(yield* start(store)), ["constant", "sum"])
      const after = yield* ask(check({ quick: false, repair: false }))
      assert.deepStrictEqual(words(after.problems), ["1 line is no record: torn by a crash, or damaged"])
    })
  )

  it.live("a result whose record is damaged is reused while its copy is whole, and after a repair made again", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* newFolder, "store")
      const again = Effect.flatMap(open(folder), (store) => Effect.map(start(store), ran))
      assert.deepStrictEqual(yield* again, ["constant", "sum", "half"])
      const records = path.join(folder, "records")
      const lines = fs.readFileSync(records, "utf8").split("\n")
      const isOfHalf = (line: string) => line.split(" ")[2] === "stage" && line.includes('"stage":"half"')
      fs.writeFileSync(records, lines.map((line) => (isOfHalf(line) ? line.replace("half", "h_lf") : line)).join("\n"))
      assert.deepStrictEqual(yield* again, [])
      const store = yield* open(folder)
      const { problems } = yield* Effect.provideService(check({ quick: false, repair: true }), Store, store)
      assert.deepStrictEqual(
        problems.map(({ message }) => message),
        ["1 line is no record: torn by a crash, or damaged; what they held runs again"]
      )
      assert.deepStrictEqual(yield* again, ["half"])
      assert.deepStrictEqual(yield* again, [])
    })
  )
})
