import * as fs from "node:fs"
import * as path from "node:path"
import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Device } from "../../src/device/device.ts"
import { run } from "../../src/executor/run.ts"
import { type Made, resolve, upstream } from "../../src/lineage/ledger.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import { verificationsOf } from "../../src/lineage/verified.ts"
import type { Graph } from "../../src/pipeline/graph.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { type VerifyOptions, verify } from "../../src/verify/verify.ts"
import { filesIn, newFolder } from "../store/folder.ts"
import { hidden, otherwise, pipeline, STEPS, without } from "./stages.ts"

beforeEach(() => {
  Object.assign(hidden, { word: "", update: 0, fails: false, done: 0, rows: 0 })
})

const deviceOf = (numerics: string) =>
  Device.of({
    kind: "cpu",
    description: "a device",
    numerics: Effect.succeed(numerics)
  } as unknown as Device["Service"])

/** A store in which the pipeline ran on some hundred lines, and ways to verify what is in it. */
const ran = Effect.fnUntraced(function* (
  options: { readonly count?: number; readonly keepPoints?: number; readonly of?: typeof pipeline } = {}
) {
  const folder = yield* newFolder
  const file = path.join(folder, "lines.txt")
  const { count = 100, keepPoints = 0 } = options
  fs.writeFileSync(
    file,
    Array.from({ length: count }, (_, i) => `line ${i} ${"x".repeat(count > 100 ? 900 : 0)}`).join("\n")
  )
  const store = yield* open(path.join(folder, "store"))
  const settings = [{ path: "file", value: file }]
  const onDevice = (numerics: string) => Effect.provideService(Device, deviceOf(numerics))
  const graph = yield* Pipeline.build(options.of ?? pipeline, settings)
  yield* run(graph, { keepPoints }).pipe(Effect.provideService(Store, store), onDevice("bits"))
  const ask = Effect.provideService(Store, store)
  const proves = Effect.fnUntraced(function* (
    reference: string,
    options: VerifyOptions & { readonly numerics?: string; readonly of?: Pipeline.AnyPipeline<Device> } = {}
  ) {
    const made: Made = yield* ask(resolve(reference))
    const { numerics = "bits", of = pipeline, ...rest } = options
    const graphOf = (): Effect.Effect<Graph<Device>, unknown> => Pipeline.build(of, settings)
    hidden.done = 0
    hidden.rows = 0
    return yield* verify(made, graphOf, rest).pipe(ask, onDevice(numerics))
  })
  return { ask, file, folder, graph, proves, store }
})

describe("verify", () => {
  it.effect("what gives the same bytes again is proven, nothing that is kept changes, and the proof is recorded", () =>
    Effect.gen(function* () {
      const { ask, proves, store } = yield* ran()
      const before = fs.readFileSync(path.join(store.folder, "records"))
      const kept = () =>
        ["objects", "resume", "leases", "temporary"].map((each) => {
          const at = path.join(store.folder, each)
          return fs.existsSync(at) ? fs.readdirSync(at, { recursive: true }).sort() : []
        })
      const files = kept()
      const found = yield* proves("train.weights")
      assert.isTrue(found.proven)
      assert.deepStrictEqual(
        found.stages.map(({ stage, verdict }) => [stage, verdict]),
        [["train", "proven"]]
      )
      assert.strictEqual(hidden.done, STEPS)
      assert.deepStrictEqual(kept(), files)
      const all = yield* proves("on-device", { depth: Number.POSITIVE_INFINITY })
      assert.isTrue(all.proven)
      assert.deepStrictEqual(
        all.stages.map(({ stage }) => stage),
        ["lines", "spell", "train", "on-device"]
      )
      assert.strictEqual(all.stages[3]!.numerics, "bits")
      const two = yield* proves("on-device", { depth: 2 })
      assert.deepStrictEqual(
        two.stages.map(({ stage }) => stage),
        ["train", "on-device"]
      )
      // Records were added, and none of before is another.
      assert.deepStrictEqual(fs.readFileSync(path.join(store.folder, "records")).subarray(0, before.length), before)
      const made = yield* ask(resolve("train.weights"))
      assert.strictEqual([...verificationsOf(store.journal, made)].length, 3)
      const node = yield* ask(upstream(made))
      assert.strictEqual(node.verified!.verdict, "proven")
      assert.strictEqual(node.verified!.holder.pid, process.pid)
      assert.deepStrictEqual(
        node.verified!.outputs.map(({ found, recorded }) => found === recorded),
        [true, true]
      )
      assert.strictEqual(node.inputs["rows"]!.verified!.verdict, "proven")
    })
  )

  it.effect("a result that any device may reuse is proven on one of the same numerics only", () =>
    Effect.gen(function* () {
      const of = { ...pipeline, numerics: "any" as const }
      const { proves } = yield* ran({ of })
      assert.isTrue((yield* proves("on-device", { of })).proven)
      const [other] = (yield* proves("on-device", { of, numerics: "other bits" })).stages
      assert.strictEqual(other!.verdict, "unverifiable")
      assert.deepStrictEqual(
        other!.reasons.map(({ kind }) => kind),
        ["numerics"]
      )
    })
  )

  it.effect(
    "the first difference: of a table by row and column, of weights by tensor and value, of a report by its path",
    () =>
      Effect.gen(function* () {
        const { proves } = yield* ran()
        hidden.word = "line 57 "
        const table = yield* proves("spell")
        assert.isFalse(table.proven)
        const { difference } = table.stages[0]!.outputs[0]!
        assert.strictEqual(difference!.message, "table.arrow, row 57, column letters, value 2: 110 -> 0")
        hidden.word = ""
        hidden.update = 30
        const weights = yield* proves("train.weights")
        const [of, report] = weights.stages[0]!.outputs
        assert.strictEqual(of!.difference!.place, "tensor w, value [1, 1]")
        assert.strictEqual((of!.difference!.found as number) - (of!.difference!.recorded as number), 0.5)
        assert.deepStrictEqual([of!.difference!.differing, of!.difference!.of, of!.difference!.largest], [1, 6, 0.5])
        assert.strictEqual(report!.difference!.place, "loss")
        assert.match(report!.difference!.message, /^json, loss: [\d.]+ -> [\d.]+$/)
        // A difference is no error, and the stage after it is still what its input gives.
        const all = yield* proves("on-device", { depth: 2 })
        assert.deepStrictEqual(
          all.stages.map(({ verdict }) => verdict),
          ["differs", "proven"]
        )
        assert.isFalse(all.proven)
      })
  )

  it.effect(
    "what cannot run as it ran then is not verifiable, and why: code, parameters, files, numerics, the stage itself",
    () =>
      Effect.gen(function* () {
        const { ask, file, folder, proves, store } = yield* ran()
        const reasons = (found: Effect.Success<ReturnType<typeof proves>>) => {
          assert.isFalse(found.proven)
          const [verified] = found.stages
          assert.strictEqual(verified!.verdict, "unverifiable")
          return verified!.reasons.map(({ kind, message }) => `${kind}: ${message}`)
        }
        const code = reasons(yield* proves("train.weights", { of: otherwise as never }))
        assert.match(code[0]!, /^code: code of test\/verify\/stages.ts (lost|gained|changed)/)
        assert.deepStrictEqual(reasons(yield* proves("train.weights", { of: without as never })), [
          "operator: pipeline verified has no stage train of operator train today"
        ])
        assert.deepStrictEqual(reasons(yield* proves("on-device", { numerics: "other bits" })), [
          "numerics: same code, other numerics: bits -> other bits"
        ])
        const made = yield* ask(resolve("train.weights"))
        const faster = yield* Pipeline.build(pipeline, [
          { path: "file", value: file },
          { path: "rate", value: "0.25" }
        ])
        const other = yield* verify(made, () => Effect.succeed(faster)).pipe(
          ask,
          Effect.provideService(Device, deviceOf("bits"))
        )
        assert.deepStrictEqual(
          other.stages[0]!.reasons.map(({ message }) => message),
          ["parameter rate: 0.5 -> 0.25"]
        )
        const text = fs.readFileSync(file)
        fs.appendFileSync(file, "one more")
        assert.deepStrictEqual(reasons(yield* proves("lines")), ["source: source file lines.txt changed"])
        fs.rmSync(file)
        assert.match(reasons(yield* proves("lines"))[0]!, /^source: stage lines: there is no /)
        fs.writeFileSync(file, text)
        assert.isTrue((yield* proves("lines")).proven)
        // Nothing of these was run, and all of it is told by the records.
        assert.isTrue([...verificationsOf(store.journal, made)].every(({ verdict }) => verdict === "unverifiable"))
        assert.deepStrictEqual(fs.readdirSync(path.join(folder, "store", "temporary")), [])
      })
  )

  it.effect(
    "inputs come from the store, checked: a lost one is told, unless what gave it is verified too; a damaged one fails",
    () =>
      Effect.gen(function* () {
        const { ask, proves, store } = yield* ran()
        const { artifact } = yield* ask(resolve("spell"))
        const blob = artifact.parts["table.arrow"]!.digest
        const at = path.join(store.folder, "objects", blob.slice(0, 2), blob)
        const bytes = fs.readFileSync(at)
        const damaged = Buffer.from(bytes)
        damaged[damaged.length >> 1]! ^= 1
        fs.chmodSync(at, 0o600)
        fs.writeFileSync(at, damaged)
        const broken = yield* proves("train.weights")
        assert.strictEqual(broken.stages[0]!.verdict, "failed")
        assert.include(broken.stages[0]!.failure!.message, "is damaged")
        // It was put aside, as when a run finds it.
        assert.isFalse(fs.existsSync(at))
        const lost = yield* proves("train.weights")
        assert.deepStrictEqual(
          lost.stages[0]!.reasons.map(({ kind, place }) => [kind, place]),
          [["blob-lost", "rows"]]
        )
        const deeper = yield* proves("train.weights", { depth: 2 })
        assert.deepStrictEqual(
          deeper.stages.map(({ verdict }) => verdict),
          ["proven", "proven"]
        )
        assert.isFalse(fs.existsSync(at))
      })
  )

  it.effect("a stage that fails when it runs again is told", () =>
    Effect.gen(function* () {
      const { proves } = yield* ran()
      hidden.fails = true
      const found = yield* proves("train.weights")
      assert.deepStrictEqual(found.stages[0]!.failure, { cause: "OperatorError", message: "no luck" })
      assert.strictEqual(found.stages[0]!.verdict, "failed")
    })
  )

  it.effect(
    "a sample of a map over batches makes that share of the batches, and finds what is wrong in one of them",
    () =>
      Effect.gen(function* () {
        const { ask, proves, store } = yield* ran({ count: 6000 })
        const made = yield* ask(resolve("lines"))
        const batches = made.artifact.meta["batches"] as number
        assert.isAbove(batches, 9)
        const found = yield* proves("spell", { sample: { share: 0.25, seed: 1 } })
        assert.isTrue(found.proven)
        const sampled = found.stages[0]!.sampled!
        assert.deepStrictEqual([sampled.of, sampled.total], ["batches", batches])
        assert.approximately(sampled.made, batches / 4, 1)
        assert.isBelow(hidden.rows, 0.6 * 6000)
        assert.isAbove(hidden.rows, 0)
        // Every batch is in the sample of some seed, and there the difference is found; elsewhere it is not.
        hidden.word = `line 4000 ${"x".repeat(900)}`
        const verdicts = new Set<string>()
        for (let seed = 1; verdicts.size < 2 && seed <= 20; seed++) {
          const { stages } = yield* proves("spell", { sample: { share: 0.25, seed } })
          verdicts.add(stages[0]!.verdict)
          if (stages[0]!.verdict !== "differs") continue
          assert.include(stages[0]!.outputs[0]!.difference!.message, "row 4000, column letters, value 2: 110 -> 0")
        }
        assert.deepStrictEqual([...verdicts].sort(), ["differs", "proven"])
        // Where the index is lost nothing can be taken from elsewhere, and the sample is the whole.
        hidden.word = ""
        fs.rmSync(path.join(store.folder, "batches.sqlite"))
        const whole = yield* proves("spell", { sample: { share: 0.25, seed: 1 } })
        assert.strictEqual(whole.stages[0]!.sampled!.made, batches)
      })
  )

  it.effect(
    "a sample of a training runs updates from its start and from kept resume points, and compares each bit by bit",
    () =>
      Effect.gen(function* () {
        const { proves, store, ask } = yield* ran({ keepPoints: 3 })
        const made = yield* ask(resolve("train.weights"))
        const points = stageRecord(store.journal, made.key)!.points!.map(({ step }) => step)
        assert.isAtLeast(points.length, 2)
        const found = yield* proves("train.weights", { sample: { share: 0.2, seed: 1 } })
        const [verified] = found.stages
        assert.strictEqual(verified!.verdict, "proven")
        const ranges = verified!.sampled!.ranges!.split(",").map((range) => range.split("-").map(Number))
        assert.deepStrictEqual(
          ranges.map(([first]) => first! - 1),
          [0, ...points.filter((step) => step < STEPS)]
        )
        assert.strictEqual(verified!.sampled!.made, 8)
        // The update after the last of a range is begun by none.
        assert.isAtMost(hidden.done, 8)
        // An update in the sample differs, and it is named; one outside is not seen.
        const [, second] = ranges
        hidden.update = second![0]!
        const differs = yield* proves("train.weights", { sample: { share: 0.2, seed: 1 } })
        assert.strictEqual(differs.stages[0]!.verdict, "differs")
        assert.strictEqual(differs.stages[0]!.update!.place, `update ${second![0]}, loss`)
        hidden.update = second![1]! + 1
        assert.isTrue((yield* proves("train.weights", { sample: { share: 0.2, seed: 1 } })).proven)
        // A share of all goes to the end, and there the outputs are compared too.
        hidden.update = 0
        const all = yield* proves("train.weights", { sample: { share: 1, seed: 1 } })
        assert.deepStrictEqual(all.stages[0]!.sampled!.ranges, `1-${STEPS}`)
        assert.strictEqual(all.stages[0]!.outputs.length, 2)
        assert.isTrue(all.proven)
      })
  )

  it.effect("without kept points the sample is the first updates", () =>
    Effect.gen(function* () {
      const { proves } = yield* ran()
      const found = yield* proves("train.weights", { sample: { share: 0.05, seed: 3 } })
      assert.deepStrictEqual(found.stages[0]!.sampled, { of: "updates", made: 2, total: STEPS, ranges: "1-2" })
    })
  )

  it.effect("one that is stopped leaves nothing behind, and no record", () =>
    Effect.gen(function* () {
      const { ask, proves, store } = yield* ran()
      const made = yield* ask(resolve("train.weights"))
      const files = filesIn(path.join(store.folder, "temporary"))
      let seen = 0
      const fiber = yield* Effect.forkChild(
        proves("train.weights", {
          onProgress: (_, { step }) => {
            seen = step ?? 0
            return seen === 5 ? Effect.never : Effect.void
          }
        })
      )
      while (seen < 5) yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(filesIn(path.join(store.folder, "temporary")), files)
      assert.deepStrictEqual(fs.readdirSync(path.join(store.folder, "temporary")), [])
      assert.deepStrictEqual([...verificationsOf(store.journal, made)], [])
    })
  )
})
