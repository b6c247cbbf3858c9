/** A remote that several machines share (row 37 of the table of features): each store here is a machine's. */
import * as fs from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { Device } from "../../src/device/device.ts"
import type { Event } from "../../src/executor/event.ts"
import { unpack } from "../../src/executor/packed.ts"
import { plan } from "../../src/executor/plan.ts"
import type { RunReport } from "../../src/executor/report.ts"
import { type RunOptions, run } from "../../src/executor/run.ts"
import { type LineageNode, resolve, upstream } from "../../src/lineage/ledger.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { sha256 } from "../../src/store/digest.ts"
import { folderRemote } from "../../src/store/remote/folder.ts"
import { openRemote } from "../../src/store/remote/open.ts"
import { CurrentRemote, type RemoteObjects, type RemotePolicy } from "../../src/store/remote/remote.ts"
import { serveRemote } from "../../src/store/remote/serve.ts"
import { layer, open } from "../../src/store/store.ts"
import { filesIn, newFolder } from "../store/folder.ts"
import { constant, half, onDevice, refuse, sum } from "./arithmetic.ts"
import { Project, ran, reasons } from "./project.ts"
import { factor, source, split, world } from "./words.ts"

/** a -> b (twice a, and 100) -> c (half) -> d (b and c, and `add`): 41, 182, 91, 273. */
const pipelineOf = (add: number) =>
  Pipeline.make("shared", {}, (p) => {
    const a = p.add(constant, { name: "a", params: { value: 41 } })
    const b = p.add(sum, { name: "b", inputs: { left: a.n, right: a.n }, params: { add: 100 } })
    const c = p.add(half, { name: "c", inputs: { n: b.n } })
    return { n: p.add(sum, { name: "d", inputs: { left: b.n, right: c.n }, params: { add } }).n }
  })

/** What machines do with one remote; `warnings` is what they were told. */
const machines = (objects: RemoteObjects, policy: RemotePolicy = "normal") => {
  const warnings: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))
  const within = <A, E, R>(folder: string, effect: Effect.Effect<A, E, R>) =>
    effect.pipe(
      Effect.provide(layer(folder)),
      Effect.provideService(CurrentRemote, { objects, policy }),
      Effect.provide(Logger.layer([logger]))
    )
  const start = Effect.fnUntraced(function* <R>(
    folder: string,
    pipeline: Pipeline.Pipeline<object, R>,
    options: RunOptions = {}
  ) {
    const events: Array<Event> = []
    const graph = yield* Pipeline.build(pipeline)
    const onEvent = (event: Event) => Effect.sync(() => events.push(event))
    const planned = yield* within(folder, plan(graph))
    const report = yield* within(folder, run(graph, { ...options, onEvent }))
    return { events, planned, report }
  })
  return { start, within, warnings }
}

const numberIn = Effect.fnUntraced(function* (folder: string, report: { readonly outputs: object }) {
  const store = yield* open(folder)
  const [artifact] = Object.values(report.outputs)
  return JSON.parse(Buffer.from(yield* store.blobs.bytes(artifact.parts.json)).toString()) as number
})

/** A remote's folder, and the same through a server. */
const remotes = Effect.gen(function* () {
  const root = yield* newFolder
  const folder = path.join(root, "remote")
  fs.mkdirSync(folder)
  const address = yield* serveRemote({ folder, token: "secret" })
  const served = yield* openRemote(address, "secret")
  return { root, folder, address, served }
})

const actions = (planned: { readonly stages: ReadonlyArray<{ readonly stage: string; readonly action: string }> }) =>
  planned.stages.map(({ action, stage }) => `${stage} ${action}`).join(", ")

const objectsIn = (folder: string, kind: string): ReadonlyArray<string> =>
  filesIn(folder)
    .filter((file) => file.startsWith(kind))
    .map((file) => path.join(folder, file))

const change = (file: string, edit: (bytes: Buffer) => Buffer) => {
  fs.chmodSync(file, 0o644)
  fs.writeFileSync(file, edit(fs.readFileSync(file)))
}
const flipped = (bytes: Buffer) => {
  bytes[bytes.length >> 1]! ^= 4
  return bytes
}

describe("a shared remote (row 37)", () => {
  for (const kind of ["folder", "server"] as const) {
    it.live(`what one machine made, another reuses, with its lineage (${kind})`, () =>
      Effect.gen(function* () {
        const { address, folder, root, served } = yield* remotes
        const objects = kind === "folder" ? folderRemote(folder) : served
        const { start, warnings, within } = machines(objects)
        const [one, two] = [path.join(root, "one"), path.join(root, "two")]
        const first = yield* start(one, pipelineOf(0))
        assert.deepStrictEqual(ran(first.report), ["a", "b", "c", "d"])
        const second = yield* start(two, pipelineOf(0))
        assert.strictEqual(actions(second.planned), "a reuse, b reuse, c reuse, d reuse")
        assert.deepStrictEqual(ran(second.report), [])
        assert.deepStrictEqual(second.report.outputs, first.report.outputs)
        assert.strictEqual(yield* numberIn(two, second.report), 273)
        const place = kind === "folder" ? folder : address
        assert.isTrue(second.planned.stages.every(({ remote }) => remote === place))
        const reused = second.events.filter((event) => event._tag === "StageReused")
        assert.deepStrictEqual(
          reused.map(({ remote }) => remote),
          [place, place, place, place]
        )

        // Nothing is asked of the remote any more, and the lineage is all here.
        fs.rmSync(folder, { recursive: true })
        const third = yield* start(two, pipelineOf(0))
        assert.deepStrictEqual(ran(third.report), [])
        assert.isTrue(third.report.stages.every(({ remote }) => remote === undefined))
        const node = yield* within(two, Effect.flatMap(resolve("d"), upstream))
        const written = ({ inputs, stage }: LineageNode): string =>
          Object.keys(inputs).length === 0 ? stage : `${stage}(${Object.values(inputs).map(written).join(" ")})`
        assert.strictEqual(written(node), "d(b(a a) c(b(a a)))")
        assert.strictEqual(node.run, first.report.run)
        assert.deepStrictEqual(warnings, [])
      })
    )
  }

  it.live("a result that is there once its inputs are known is pulled in the midst of a run", () =>
    Effect.gen(function* () {
      const { folder, root } = yield* remotes
      const { start } = machines(folderRemote(folder))
      const ending = (value: number) =>
        Pipeline.make("ending", {}, (p) => {
          const a = p.add(constant, { name: "a", params: { value } })
          const b = p.add(half, { name: "b", inputs: { n: a.n } })
          return { n: p.add(sum, { name: "c", inputs: { left: b.n, right: b.n } }).n }
        })
      yield* start(path.join(root, "one"), ending(6))
      const { planned, report } = yield* start(path.join(root, "two"), ending(7))
      assert.strictEqual(actions(planned), "a run, b maybe, c maybe")
      assert.deepStrictEqual(ran(report), ["a", "b"])
      assert.strictEqual(report.stages[2]!.remote, folder)
      // The one before the one that is pulled has another key there: its record came along.
      const { start: again } = machines(folderRemote(folder))
      const third = yield* again(path.join(root, "three"), ending(7))
      assert.deepStrictEqual(ran(third.report), [])
    })
  )

  it.live("results of before the remote was there are pushed too", () =>
    Effect.gen(function* () {
      const { folder, root } = yield* remotes
      const one = path.join(root, "one")
      const graph = yield* Pipeline.build(pipelineOf(0))
      yield* Effect.provide(run(graph), layer(one))
      const { start } = machines(folderRemote(folder))
      assert.deepStrictEqual(ran((yield* start(one, pipelineOf(1))).report), ["d"])
      assert.deepStrictEqual(ran((yield* start(path.join(root, "two"), pipelineOf(1))).report), [])
    })
  )

  for (const [what, kind, edit, words] of [
    ["a flipped bit in a blob", "cas", flipped, /came damaged/],
    ["a blob that is cut short", "cas", (bytes: Buffer) => bytes.subarray(1), /came damaged/],
    ["a flipped bit in a record", "ac", flipped, /is damaged/],
    ["a record that is cut short", "ac", (bytes: Buffer) => bytes.subarray(0, bytes.length - 9), /is damaged/]
  ] as const) {
    for (const where of ["folder", "server"] as const) {
      it.live(`${what} is found, told and healed (${where})`, () =>
        Effect.gen(function* () {
          const { folder, root, served } = yield* remotes
          const objects = where === "folder" ? folderRemote(folder) : served
          const { start, warnings } = machines(objects)
          const [one, two, three] = ["one", "two", "three"].map((name) => path.join(root, name))
          const first = yield* start(one!, pipelineOf(0))
          for (const file of objectsIn(folder, kind)) change(file, edit)
          const second = yield* start(two!, pipelineOf(0))
          assert.deepStrictEqual(ran(second.report), ["a", "b", "c", "d"])
          assert.deepStrictEqual(second.report.outputs, first.report.outputs)
          assert.isAtLeast(warnings.length, 4)
          for (const warning of warnings) assert.match(warning, words)
          warnings.length = 0
          const third = yield* start(three!, pipelineOf(0))
          assert.deepStrictEqual([ran(third.report), warnings], [[], []], "what is damaged was pushed again")
          assert.strictEqual(yield* numberIn(three!, third.report), 273)
        })
      )
    }
  }

  it.live("a record of another key is no hit", () =>
    Effect.gen(function* () {
      const { folder, root } = yield* remotes
      const { start, warnings } = machines(folderRemote(folder))
      yield* start(path.join(root, "one"), pipelineOf(0))
      const records = objectsIn(folder, "ac")
      const texts = records.map((file) => fs.readFileSync(file))
      for (const [i, file] of records.entries()) change(file, () => texts[(i + 1) % texts.length]!)
      const { report } = yield* start(path.join(root, "two"), pipelineOf(0))
      assert.deepStrictEqual(ran(report), ["a", "b", "c", "d"])
      assert.match(warnings[0]!, /is another's/)
    })
  )

  it.live("one that cannot be reached: a warning and a run with what is here; where it is required, an error", () =>
    Effect.gen(function* () {
      const root = yield* newFolder
      const closed = yield* Effect.promise(
        () =>
          new Promise<number>((resolve) => {
            const server = createServer().listen(0, "127.0.0.1", () => {
              const { port } = server.address() as AddressInfo
              server.close(() => resolve(port))
            })
          })
      )
      for (const place of [`http://127.0.0.1:${closed}`, path.join(root, "not-mounted")]) {
        const objects = yield* openRemote(place, undefined)
        const name = place.replaceAll(/\W/g, "-")
        const others = place.startsWith("http") ? [] : (["optional", "read-only"] as const)
        for (const policy of ["normal", ...others] as const) {
          const { start, warnings } = machines(objects, policy)
          const { report } = yield* start(path.join(root, `${name}-${policy}`), pipelineOf(0))
          assert.deepStrictEqual(ran(report), ["a", "b", "c", "d"])
          // Once for the plan, once for the run.
          assert.strictEqual(warnings.length, 2)
          assert.match(warnings[0]!, /(cannot be reached|there is no folder).*going on with what is here/)
        }
        const { start } = machines(objects, "required")
        const error = yield* Effect.flip(start(path.join(root, `${name}-required`), pipelineOf(0)))
        assert.deepInclude(error, { _tag: "PlanError", cause: "RemoteError" })
      }
    })
  )

  it.live("a push that is refused fails the run, and loses nothing; where it is optional it is a warning", () =>
    Effect.gen(function* () {
      const { address, folder, root } = yield* remotes
      const wrong = yield* openRemote(address, "guessed")
      const reading = folderRemote(folder)
      const refusing = { ...reading, put: wrong.put }
      const failing = machines(refusing)
      const events: Array<Event> = []
      const graph = yield* Pipeline.build(pipelineOf(0))
      const onEvent = (event: Event) => Effect.sync(() => events.push(event))
      const error = yield* Effect.flip(failing.within(path.join(root, "one"), run(graph, { onEvent })))
      assert.strictEqual(error._tag, "RunError")
      assert.match(error.message, /stage a failed: RemoteError: its result is kept here, and could not be pushed/)
      assert.match(error.message, /PTMFLOW_REMOTE_TOKEN/)
      assert.deepInclude(events.at(-1), { _tag: "RunFinished", status: "failed", ran: 4 })
      assert.deepStrictEqual(filesIn(folder), [])

      const optional = machines(refusing, "optional")
      const second = yield* optional.start(path.join(root, "one"), pipelineOf(0))
      assert.deepStrictEqual(ran(second.report), [])
      assert.match(optional.warnings[0]!, /could not be pushed/)

      const readOnly = machines(refusing, "read-only")
      yield* readOnly.start(path.join(root, "one"), pipelineOf(0))
      assert.deepStrictEqual(readOnly.warnings, [])
    })
  )

  it.live("other numerics are a miss on another machine, which says so; the same are a hit (row 7)", () =>
    Effect.gen(function* () {
      const { folder, root } = yield* remotes
      const pipeline = Pipeline.make("numerics", {}, (p) => {
        const { n } = p.add(constant)
        return { n: p.add(onDevice, { inputs: { n } }).n }
      })
      const runOn = (machine: string, numerics: string) => {
        const shape = { kind: "cpu", description: machine, numerics: Effect.succeed(numerics) }
        const { start } = machines(folderRemote(folder))
        return Effect.provideService(
          start(path.join(root, machine), pipeline),
          Device,
          shape as unknown as Device["Service"]
        )
      }
      yield* runOn("one", "n1")
      const two = yield* runOn("two", "n2")
      assert.deepStrictEqual(ran(two.report), ["onDevice"])
      assert.deepStrictEqual(reasons(two.planned.stages)["onDevice"], [
        "it never ran",
        `same code, other numerics: n1 -> n2 (in ${folder})`
      ])
      assert.deepStrictEqual(reasons(two.report.stages), reasons(two.planned.stages))
      assert.deepStrictEqual(ran((yield* runOn("three", "n1")).report), [])
    })
  )

  it.live("batches that one machine made are at hand on another (row 13)", () =>
    Effect.gen(function* () {
      const { folder, root } = yield* remotes
      const { start } = machines(folderRemote(folder))
      const words = (generation: number, ids: ReadonlyArray<number>) => {
        world.docs = ids.map((id) => ({ id, text: `${id} lorem ipsum `.repeat(600 + ((id * 7919) % 300)) }))
        return Pipeline.make("words", {}, (p) => {
          const { documents } = p.add(source, { params: { generation } })
          const { n } = p.add(factor, { params: { value: 2 } })
          return p.add(split, { inputs: { documents, factor: n }, params: { times: 1 } })
        })
      }
      const ids = Array.from({ length: 200 }, (_, id) => id)
      const first = yield* start(path.join(root, "one"), words(1, ids))
      const { made } = first.report.stages[2]!.batches!
      const two = path.join(root, "two")
      assert.deepStrictEqual(ran((yield* start(two, words(1, ids))).report), [])
      const edited = yield* start(two, words(2, ids.toSpliced(100, 0, 1000)))
      assert.deepStrictEqual(ran(edited.report), ["source", "split"])
      const batches = edited.report.stages[2]!.batches!
      assert.isAtMost(batches.made, 6)
      assert.isAtLeast(batches.reused, made - 6)
      const alone = yield* start(path.join(root, "three"), words(2, ids.toSpliced(100, 0, 1000)))
      assert.deepStrictEqual(alone.report.outputs, edited.report.outputs)
    })
  )

  it.live("a stage that fails is not shared, and a blob that is lost here comes from there", () =>
    Effect.gen(function* () {
      const { folder, root } = yield* remotes
      const { start, within } = machines(folderRemote(folder))
      const one = path.join(root, "one")
      const failing = Pipeline.make("failing", {}, (p) => {
        const { n } = p.add(constant)
        return { n: p.add(refuse, { inputs: { n } }).n }
      })
      yield* Effect.flip(Effect.flatMap(Pipeline.build(failing), (graph) => within(one, run(graph))))
      assert.strictEqual(objectsIn(folder, "ac").length, 1)
      yield* start(one, pipelineOf(0))
      fs.rmSync(path.join(one, "objects"), { recursive: true })
      const { report } = yield* start(one, pipelineOf(0))
      assert.deepStrictEqual(ran(report), [])
      assert.strictEqual(yield* numberIn(one, report), 273)
    })
  )

  it("killed at any instant of a push: nothing half there, and others and the next run go on", async () => {
    const project = new Project()
    const remote = path.join(project.root, "remote")
    fs.mkdirSync(remote)
    try {
      let kills = 0
      for (const [n, when] of [
        [1, "within"],
        [6, "within"],
        [6, "after"],
        [9, "before"],
        [20, "within"],
        [31, "after"],
        [47, "within"]
      ] as const) {
        const environment = { PTMFLOW_TEST_REMOTE: remote, PTMFLOW_TEST_REMOTE_KILL: `${n} ${when}` }
        const { code, errors } = await project.start("run", [`add=${n}`], { environment }).printed
        assert.include([null, 0], code, errors)
        if (code === null) kills++
        for (const file of objectsIn(remote, "cas"))
          assert.strictEqual(sha256(fs.readFileSync(file)), path.basename(file))
        for (const file of objectsIn(remote, "ac")) {
          const { record } = await Effect.runPromise(unpack(fs.readFileSync(file), file))
          for (const { parts } of Object.values(record.outputs)) {
            for (const { digest } of Object.values(parts)) {
              assert.isTrue(fs.existsSync(path.join(remote, "cas", digest.slice(0, 2), digest)), "its blobs came first")
            }
          }
        }
      }
      assert.isAtLeast(kills, 5)
      const environment = { PTMFLOW_TEST_REMOTE: remote }
      const run = async (store: string) => {
        const { code, errors, last } = await project.start("run", ["add=6"], { environment, store }).printed
        assert.strictEqual(code, 0, errors)
        return last as RunReport
      }
      const first = await run(project.store)
      const second = await run(path.join(project.root, "another"))
      assert.deepStrictEqual(ran(second), [])
      assert.deepStrictEqual(second.outputs, first.outputs)
      assert.deepStrictEqual(
        first.outputs,
        (await project.run(["add=6"], { store: path.join(project.root, "alone") })).outputs
      )
    } finally {
      project.remove()
    }
  })
})
