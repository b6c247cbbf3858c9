/**
 * Trainings made up for the questions of which rows were seen: of each of `runs` runs a pretraining on random windows of one tokenized corpus, and a fine-tuning
 * from it, with what they note of each update.
 */
import * as Effect from "effect/Effect"
import { philox } from "../src/device/philox.ts"
import { makeUpdates } from "../src/executor/trace.ts"
import { type Made, resolve } from "../src/lineage/ledger.ts"
import type { StageRecord } from "../src/lineage/record.ts"
import { rowSeen, seenBy, seenOnlyBy } from "../src/lineage/seen.ts"
import { encodeTrace, type StageTrace } from "../src/lineage/trace.ts"
import type { Artifact } from "../src/operator/artifact.ts"
import { makeOrigins, type Origins } from "../src/operator/origins.ts"
import { rangesOf } from "../src/operator/row-ranges.ts"
import { sha256 } from "../src/store/digest.ts"
import type { NewEntry } from "../src/store/journal.ts"
import { Store } from "../src/store/store.ts"

const [DOCUMENTS, SEGMENTS, DEMONSTRATIONS] = [10_000, 3, 8_000]
const [UPDATES, WINDOWS] = [1000, 16]
const [TUNINGS, ANSWERS] = [250, 32]
/** So many kinds of trainings differ in what they learned from. */
const KINDS = 20

const port = { contract: "rows" }
const artifactOf = (kind: string, name: string, rows?: number): Artifact => ({
  kind,
  digest: sha256(name),
  parts: { part: { digest: sha256(`part of ${name}`), bytes: 64 } },
  meta: rows === undefined ? {} : { rows }
})
const drawn = (seed: number, at: number, limit: number): number => philox([seed, 1], [at, 0, 0, 0])[0]! % limit

const recordOf = (
  stage: string,
  run: number,
  inputs: { readonly [name: string]: { readonly record: StageRecord; readonly port: string } },
  outputs: StageRecord["outputs"]
): StageRecord => ({
  key: sha256(`key of ${stage} in ${run}`),
  recipe: sha256(`recipe of ${stage} in ${run}`),
  preimage: {
    _tag: "StageKey",
    schema: 3,
    operator: { _tag: "Operator", name: stage, version: 1 },
    code: sha256("code"),
    packages: sha256("packages"),
    params: { learningRate: 1 / (1 + run), steps: UPDATES, layers: 4, width: 128 },
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([name, from]) => {
        const { digest, kind } = from.record.outputs[from.port]!
        return [name, { _tag: "Input", kind, ...port, digest }]
      })
    ),
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([name, { kind }]) => [name, { _tag: "Output", kind, ...port }])
    ),
    sources: [],
    numerics: null
  },
  reasons: [{ kind: "never-ran", place: "stage", message: "it never ran" }],
  run: `run-${run}`,
  pipeline: "trainings",
  stage,
  inputs: Object.fromEntries(
    Object.entries(inputs).map(([name, from]) => [name, { key: from.record.key, port: from.port }])
  ),
  outputs,
  metrics: { loss: 1 / (1 + run) },
  device: null,
  time: run,
  seconds: 60,
  runSeconds: 60
})

/** Adds them to a store. */
export const fillTrainings = Effect.fnUntraced(function* (runs: number) {
  const { journal, sink } = yield* Store
  const entries: Array<NewEntry> = []
  const add = (record: StageRecord) => {
    entries.push({ kind: "stage", key: record.key, value: record as never })
    return record
  }
  const noted = Effect.fnUntraced(function* (trace: Partial<StageTrace>, learned?: StageRecord["learned"]) {
    const bytes = yield* encodeTrace({ losses: [], rows: {}, origins: {}, ...trace })
    return { trace: yield* sink.put(bytes), ...(learned === undefined ? {} : { learned }) }
  })
  const training = (seed: number, name: string, updates: number, each: number, of: (at: number) => number) => {
    const updatesOf = makeUpdates()
    for (let step = 0; step < updates; step++) {
      const rows = Array.from({ length: each }, (_, i) => of(step * each + i))
      updatesOf.add({ step: step + 1, loss: 1 / (1 + step + seed), rows: { [name]: rangesOf(rows) } })
    }
    return noted(updatesOf.trace(), updatesOf.learned())
  }
  const documents = add(recordOf("documents", 0, {}, { rows: artifactOf("table", "documents", DOCUMENTS) }))
  const from = { record: documents, port: "rows" }
  const segments: Origins = (() => {
    const origins = makeOrigins()
    for (let row = 0; row < DOCUMENTS; row++) origins.add([[row, row]], SEGMENTS)
    return origins.runs()
  })()
  const tokens = add({
    ...recordOf("tokenize", 0, { documents: from }, { train: artifactOf("table", "tokens", DOCUMENTS * SEGMENTS) }),
    ...(yield* noted({ origins: { train: { documents: segments } } }))
  })
  const dealt = makeOrigins()
  for (let i = 0; i < DEMONSTRATIONS; i++) {
    const row = drawn(7, i, DOCUMENTS)
    dealt.add([[row, row]])
  }
  const demonstrations = add({
    ...recordOf("demonstrations", 0, { documents: from }, { rows: artifactOf("table", "cut", DEMONSTRATIONS) }),
    ...(yield* noted({ origins: { rows: { documents: dealt.runs() } } }))
  })
  const half = (DOCUMENTS * SEGMENTS) / 2
  /** Every other has only the second half of the corpus. */
  const kinds = yield* Effect.forEach(Array.from({ length: KINDS }).keys(), (kind) =>
    Effect.all({
      pretrain: training(kind, "train", UPDATES, WINDOWS, (at) =>
        kind % 2 === 0 ? drawn(kind, at, 2 * half) : half + drawn(kind, at, half)
      ),
      sft: training(kind, "demonstrations", TUNINGS, ANSWERS, (at) => drawn(kind + 1, at, DEMONSTRATIONS))
    })
  )
  for (let run = 0; run < runs; run++) {
    const noted = kinds[run % KINDS]!
    const checkpoint = artifactOf("checkpoint", `pretrained in ${run}`)
    const pretrained = add({
      ...recordOf("pretrain", run, { train: { record: tokens, port: "train" } }, { checkpoint }),
      ...noted.pretrain
    })
    const inputs = {
      checkpoint: { record: pretrained, port: "checkpoint" },
      demonstrations: { record: demonstrations, port: "rows" }
    }
    add({ ...recordOf("sft", run, inputs, { checkpoint: artifactOf("checkpoint", `tuned in ${run}`) }), ...noted.sft })
  }
  yield* journal.append(entries, { durable: false })
})

const named = (name: string) => resolve(sha256(name))
const pair = (a: string, b: string) => Effect.all([named(a), named(b)])

/** What is asked. */
export const rowQuestions: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown, Store>]> = [
  [
    "which checkpoints saw a row of the corpus",
    Effect.flatMap(named("documents"), (made: Made) => Effect.scoped(rowSeen(made, 12)))
  ],
  ["all rows that a checkpoint saw, back to the corpus", Effect.flatMap(named("tuned in 10"), seenBy)],
  [
    "the rows that it saw and another did not",
    Effect.flatMap(pair("tuned in 10", "tuned in 11"), ([a, b]) => seenOnlyBy(a, b))
  ]
]
