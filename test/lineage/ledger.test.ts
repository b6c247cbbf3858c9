import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "../../src/executor/run.ts"
import { downstream, type LineageNode, resolve, runsAsOf, upstream } from "../../src/lineage/ledger.ts"
import { newestRun, runStatus } from "../../src/lineage/run-status.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { filesIn, newFolder } from "../store/folder.ts"
import { both, fickle, given, one, pipelineOf } from "./lines.ts"

/** A store in which the pipeline ran with each of the settings in turn. */
const ranWith = Effect.fnUntraced(function* (...runs: ReadonlyArray<{ readonly [path: string]: number }>) {
  const folder = yield* newFolder
  const file = path.join(folder, "corpus.txt")
  fs.writeFileSync(file, "ten bytes!")
  const store = yield* open(path.join(folder, "store"))
  const pipeline = pipelineOf(file)
  const reports = yield* Effect.forEach(runs, (settings) =>
    Effect.flatMap(
      Pipeline.build(
        pipeline,
        Object.entries(settings).map(([at, value]) => ({ path: at, value: `${value}` }))
      ),
      (graph) => Effect.provideService(run(graph), Store, store)
    )
  )
  const ask = Effect.provideService(Store, store)
  return { store, reports, ask, file }
})

describe("references", () => {
  it.effect("are digests, stages, ports or outputs of the newest run that has them", () =>
    Effect.gen(function* () {
      const { ask, reports } = yield* ranWith({}, { add: 2 })
      const old = reports[0]!.outputs["policy"]!
      const now = reports[1]!.outputs["policy"]!
      assert.strictEqual((yield* ask(resolve("policy"))).artifact.digest, now.digest)
      assert.strictEqual((yield* ask(resolve("ppo.3.n"))).artifact.digest, now.digest)
      assert.strictEqual((yield* ask(resolve("ppo.3", { kind: "json" }))).artifact.digest, now.digest)
      const byDigest = yield* ask(resolve(old.digest.slice(0, 8)))
      assert.deepStrictEqual([byDigest.artifact.digest, byDigest.stage, byDigest.port], [old.digest, "ppo.3", "n"])
      assert.strictEqual((yield* ask(resolve("read"))).port, "n")
    })
  )

  it.effect("that name several things or nothing are refused with what could be meant", () =>
    Effect.gen(function* () {
      const { ask } = yield* ranWith({})
      const several = yield* Effect.flip(ask(resolve("ppo.3")))
      assert.strictEqual(several._tag, "LineageError")
      if (several._tag !== "LineageError") return
      assert.deepStrictEqual(
        several.candidates.map((each) => each.split(" ")[0]),
        ["ppo.3.n", "ppo.3.report"]
      )
      const nothing = yield* Effect.flip(ask(resolve("ppo.9")))
      if (nothing._tag !== "LineageError") return assert.fail()
      assert.include(nothing.candidates, "ppo.3.n")
      assert.notInclude(nothing.candidates, "read.n")
      const digest = yield* Effect.flip(ask(resolve("0123456")))
      assert.include(digest.message, "there is no 0123456")
      const empty = yield* open(path.join(yield* newFolder, "store"))
      const none = yield* Effect.flip(Effect.provideService(resolve("x"), Store, empty))
      assert.include(none.message, "nothing has run yet")
    })
  )
})

describe("lineage", () => {
  it.effect("upstream goes back to the files, with what each stage was given and what it reported", () =>
    Effect.gen(function* () {
      const { ask } = yield* ranWith({ add: 2 })
      const node = yield* ask(Effect.flatMap(resolve("policy"), upstream))
      const path: Array<LineageNode> = []
      for (let at: LineageNode | undefined = node; at !== undefined; at = at.inputs["n"]) path.push(at)
      assert.deepStrictEqual(
        path.map(({ stage }) => stage),
        ["ppo.3", "ppo.2", "ppo.1", "read"]
      )
      assert.deepStrictEqual(path[0]!.params, { add: 2 })
      assert.deepStrictEqual(path[0]!.metrics, { loss: 2, rate: 1 })
      assert.deepStrictEqual(
        path[3]!.sources.map(({ name }) => name),
        ["corpus.txt"]
      )
      assert.isNull(path[0]!.device)
    })
  )

  it.effect("a chain of many rounds is linear to walk: what several came from is one node", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const twice = Pipeline.make("twice", {}, (p) => {
        const start = p.add(one)
        return { n: p.iterate(40, start.n, (n) => p.add(both, { inputs: { left: n, right: n } }).n) }
      })
      yield* Effect.provideService(
        Effect.flatMap(Pipeline.build(twice), (graph) => run(graph)),
        Store,
        store
      )
      const node = yield* Effect.provideService(Effect.flatMap(resolve("n"), upstream), Store, store)
      const seen = new Set<LineageNode>([node])
      for (const each of seen) for (const input of Object.values(each.inputs)) seen.add(input)
      assert.strictEqual(seen.size, 41)
    })
  )

  it.effect("downstream finds all that came from an artifact, nearest first", () =>
    Effect.gen(function* () {
      const { ask } = yield* ranWith({}, { add: 10 })
      const found = yield* ask(Effect.flatMap(resolve("read"), downstream))
      assert.deepStrictEqual(
        found
          .filter(({ port }) => port === "n")
          .map(({ distance, stage }) => `${stage} ${distance}`)
          .sort(),
        ["aside 1", "ppo.1 1", "ppo.1 1", "ppo.2 2", "ppo.2 2", "ppo.3 3", "ppo.3 3"]
      )
      assert.deepStrictEqual(
        [...found].sort((a, b) => a.distance - b.distance),
        found
      )
    })
  )

  it.effect("past records stay as they were when newer runs come (row 34)", () =>
    Effect.gen(function* () {
      const { ask, file, store } = yield* ranWith({})
      const made = yield* ask(resolve("policy"))
      const before = yield* ask(upstream(made))
      const bytes = fs.readFileSync(path.join(store.folder, "records"))
      const blobs = filesIn(path.join(store.folder, "objects"))
      const again = yield* open(store.folder)
      const changed = yield* Pipeline.build(pipelineOf(file), [{ path: "add", value: "7" }])
      yield* Effect.provideService(run(changed), Store, again)
      assert.deepStrictEqual(fs.readFileSync(path.join(store.folder, "records")).subarray(0, bytes.length), bytes)
      assert.deepStrictEqual(
        blobs.filter((blob) => !filesIn(path.join(store.folder, "objects")).includes(blob)),
        []
      )
      assert.deepStrictEqual(yield* ask(upstream(made)), before)
    })
  )

  it.effect("as of a past run, names mean what they meant then (row 34)", () =>
    Effect.gen(function* () {
      const { ask, file, store } = yield* ranWith({})
      const then = (yield* ask(newestRun))!
      const made = yield* ask(resolve("policy"))
      const graph = yield* ask(upstream(made))
      const again = yield* open(store.folder)
      const changed = yield* Pipeline.build(pipelineOf(file), [{ path: "add", value: "7" }])
      yield* Effect.provideService(run(changed), Store, again)
      const asOf = then.run
      assert.notStrictEqual((yield* ask(resolve("policy"))).artifact.digest, made.artifact.digest)
      const past = yield* ask(resolve("policy", { asOf }))
      assert.deepStrictEqual(past, made)
      assert.deepStrictEqual(yield* ask(upstream(past)), graph)
      const [first] = yield* runsAsOf(again.journal, asOf.slice(0, -2))
      assert.deepStrictEqual(yield* Effect.provideService(runStatus(first!), Store, again), then)
      const missing = yield* Effect.flip(ask(resolve("policy", { asOf: "1999" })))
      assert.include(missing.message, `there is no run 1999; there is `)
      assert.include(missing.message, asOf)
    })
  )

  it.effect("a stage that runs again and gives other bytes changes no graph of the past", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      const store = yield* open(path.join(folder, "store"))
      const pipeline = Pipeline.make("fickle", {}, (p) => {
        const { n } = p.add(fickle)
        return { n, twice: p.add(both, { inputs: { left: n, right: n } }).n }
      })
      const ask = Effect.provideService(Store, store)
      const start = ask(Effect.flatMap(Pipeline.build(pipeline), (graph) => run(graph)))
      const { run: first } = yield* start
      const then = {
        status: yield* ask(newestRun),
        made: yield* ask(resolve("n")),
        graph: yield* ask(Effect.flatMap(resolve("twice"), upstream))
      }
      given.n++
      fs.rmSync(path.join(store.folder, "objects"), { recursive: true })
      yield* start
      const now = yield* ask(resolve("n"))
      assert.strictEqual(now.key, then.made.key)
      assert.notStrictEqual(now.artifact.digest, then.made.artifact.digest)

      const [past] = yield* runsAsOf(store.journal, first)
      assert.deepStrictEqual(yield* ask(runStatus(past!)), then.status)
      assert.deepStrictEqual(yield* ask(resolve("n", { asOf: first })), then.made)
      assert.deepStrictEqual(yield* ask(resolve(then.made.artifact.digest.slice(0, 12))), then.made)
      const twice = yield* ask(resolve("twice", { asOf: first }))
      assert.deepStrictEqual(yield* ask(upstream(twice)), then.graph)
      const graph = yield* ask(Effect.flatMap(resolve("twice"), upstream))
      assert.strictEqual(graph.inputs["left"]!.artifact.digest, now.artifact.digest)
    })
  )

  it.effect("the newest run's status says what was reused and what ran", () =>
    Effect.gen(function* () {
      const { ask, store } = yield* ranWith({}, { other: 6 })
      const status = (yield* ask(newestRun))!
      assert.strictEqual(status.status, "succeeded")
      assert.deepStrictEqual(status.settings, [{ path: "other", value: "6" }])
      assert.deepStrictEqual(
        status.stages.map((each) => `${each.stage} ${each.status}`),
        ["read reused", "ppo.1 reused", "ppo.2 reused", "ppo.3 reused", "aside ran"]
      )
      assert.strictEqual(status.size, 5)
      const empty = yield* open(path.join(store.folder, "..", "empty"))
      assert.isUndefined(yield* Effect.provideService(newestRun, Store, empty))
    })
  )
})
