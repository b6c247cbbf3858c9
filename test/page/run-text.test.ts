/** The text of a run's answer against the graph of the run, whose values are put together one by one. */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { StageRecord } from "../../src/lineage/record.ts"
import { addRun, runRecords } from "../../src/lineage/records.ts"
import { runGraph, runResults } from "../../src/lineage/run-status.ts"
import { runText } from "../../src/page/server/run-text.ts"
import { sha256 } from "../../src/store/digest.ts"
import { thisProcess } from "../../src/store/holder.ts"
import { open, Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"

interface Bound {
  readonly stage: string
  readonly key: string
}

const recordOf = (
  { key, stage }: Bound,
  run: string,
  inputs: StageRecord["inputs"],
  more: Partial<StageRecord> = {}
): StageRecord => ({
  key,
  recipe: sha256(`recipe of ${key}`),
  preimage: {
    _tag: "StageKey",
    schema: 3,
    operator: { _tag: "Operator", name: `operator "${Object.keys(inputs).length}"`, version: 1 },
    code: sha256("code"),
    packages: sha256("packages"),
    params: {},
    inputs: {},
    outputs: {},
    sources: [],
    numerics: null
  },
  reasons: [],
  run,
  pipeline: "p",
  stage,
  inputs,
  outputs: {},
  metrics: { loss: 1e-7, 'a "metric"': 3, "7": -0.5 },
  device: null,
  time: 1_764_000_000_123,
  seconds: 0.25,
  runSeconds: 0.25,
  ...more
})

const rest = {
  run: "r",
  pipeline: "p",
  state: "succeeded",
  time: 1,
  seconds: 2,
  settings: [],
  stages: 3,
  ran: 1
} as const
const view = { ...rest, failed: 0, outputs: { last: { stage: "tuned", port: "checkpoint" } }, next: 0 }

const setUp = Effect.gen(function* () {
  const store = yield* open(path.join(yield* newFolder, "store"))
  const add = (record: StageRecord) =>
    store.journal.append([{ kind: "stage", key: record.key, value: record as never }], { durable: false })
  const end = (run: string, bound: ReadonlyArray<Bound>, ran: ReadonlyArray<string>) =>
    addRun(
      store.journal,
      {
        run,
        pipeline: "p",
        status: "succeeded",
        time: 1,
        seconds: 2,
        settings: [],
        params: {},
        holder: thisProcess(),
        stages: bound.length,
        ran: [...ran],
        failures: [],
        skipped: [],
        outputs: {}
      },
      bound,
      { durable: false }
    )
  return { store, add, end }
})

/** The stages of a run as its text has them, or undefined, and as its graph does. */
const both = (store: Store["Service"], name: string) =>
  Effect.gen(function* () {
    const run = runRecords(store.journal, name).next().value!
    const text = runText(view, yield* runResults(run))
    const expected = (yield* runGraph(run)).map(({ inputs, key, metrics, operator, seconds, stage, status, time }) => ({
      ...{ stage, operator: operator ?? "", state: status, inputs, key, step: null, steps: null },
      ...{ seconds: seconds ?? null, time: status === "ran" ? (time ?? null) : null, message: null, metrics }
    }))
    return { text, expected }
  }).pipe(Effect.provideService(Store, store))

describe("the text of a run", () => {
  it.effect("is what its graph says, whatever stages are called, and of any run", () =>
    Effect.gen(function* () {
      const { add, end, store } = yield* setUp
      const corpus = { stage: 'the "corpus"\n', key: sha256("corpus") }
      const other = { stage: "é[1]", key: sha256("other") }
      const tuned = { stage: "tuned", key: sha256("tuned") }
      yield* add(recordOf(corpus, "first", {}))
      yield* add(recordOf(other, "first", { 'in "a"': { key: corpus.key, port: 'text "b"' } }))
      const taken = { a: { key: corpus.key, port: "t" }, b: { key: other.key, port: "t" } }
      yield* add(recordOf(tuned, "first", taken))
      yield* end("first", [corpus, other, tuned], [corpus.stage, other.stage, tuned.stage])
      // Another name for a stage, two with one key, and an input that is of no stage of the run.
      const renamed = { stage: "constructor", key: other.key }
      yield* end("second", [renamed, { stage: "twin", key: other.key }, tuned], [])
      // What a key gave again counts from then on.
      yield* add(recordOf(corpus, "third", {}, { seconds: 7, metrics: {} }))
      yield* end("third", [corpus, other, tuned], [])
      const seen = new Set<string>()
      for (const name of ["first", "second", "third"]) {
        const { expected, text } = yield* both(store, name)
        assert.deepStrictEqual(JSON.parse(text!), { ...view, detail: expected })
        seen.add(JSON.stringify(expected))
      }
      assert.strictEqual(seen.size, 3)
    })
  )

  it.effect("is none where the record of a stage, or of what it took, was lost", () =>
    Effect.gen(function* () {
      const { add, end, store } = yield* setUp
      const [lost, found] = [
        { stage: "lost", key: sha256("lost") },
        { stage: "found", key: sha256("found") }
      ]
      yield* add(recordOf(found, "first", { a: { key: lost.key, port: "t" } }))
      yield* end("first", [found], [found.stage])
      yield* end("second", [lost, found], [])
      for (const name of ["first", "second"]) assert.isUndefined((yield* both(store, name)).text)
      const [, taker] = (yield* both(store, "second")).expected
      assert.deepStrictEqual(taker!.inputs, { a: { stage: "lost", port: "t" } })
    })
  )
})
