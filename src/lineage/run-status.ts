/**
 * The state of runs and of their stages: what was reused, what ran, and what it gave.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Artifact } from "../operator/artifact.ts"
import { isAlive } from "../store/holder.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { withIndex } from "./artifact-index.ts"
import { keysOf, type RecordedRun, runRecords, type StageBrief } from "./records.ts"
import type { Shown, StageRow } from "./shown.ts"

/** One run: which of its stages were reused and which ran. A run whose process died counts as interrupted. */
export interface RunStatus {
  readonly run: string
  readonly pipeline: string
  readonly status: "running" | "succeeded" | "failed" | "interrupted"
  readonly time: number
  readonly seconds: number | null
  readonly settings: ReadonlyArray<{ readonly path: string; readonly value: string }>
  /** What its stages computed on. */
  readonly devices: ReadonlyArray<string>
  /** How many stages the pipeline has; those that were not reached are not listed. */
  readonly size: number
  readonly stages: ReadonlyArray<StageStatus>
}

/** What became of a stage; `key` and what follows it are there where it has a result. */
export interface StageStatus {
  readonly stage: string
  readonly status: "reused" | "ran" | "failed" | "skipped"
  readonly operator: string | undefined
  readonly message: string | undefined
  readonly key: string | undefined
  readonly seconds: number | undefined
  readonly metrics: { readonly [name: string]: number }
  readonly artifacts: { readonly [port: string]: Artifact }
}

/** The same, with what the stage took: from which stage of the run, or of none where it is not in it. `time` is when it began. */
export interface StageOutcome extends Omit<StageStatus, "artifacts"> {
  readonly time: number | undefined
  readonly inputs: { readonly [port: string]: { readonly stage: string; readonly port: string } }
}

/** A stage of a run that has a result, as the ledger has it: null where its record was lost. */
export interface StageResult {
  readonly stage: string
  readonly status: "reused" | "ran"
  readonly key: string
  readonly found: StageRow | null
}

/** Up to where the records are that a run has to do with; undefined of one that goes on. */
export const endOf = ({ position, status }: RecordedRun): number | undefined =>
  status === "running" ? undefined : position

/** The newest run, if there was one. */
export const newestRun: Effect.Effect<RunStatus | undefined, StoreError, Store> = Effect.gen(function* () {
  const { journal } = yield* Store
  yield* journal.refresh
  for (const run of runRecords(journal)) return yield* runStatus(run)
  return undefined
})

/** What became of a run and its stages. */
export const runStatus = (run: RecordedRun): Effect.Effect<RunStatus, never, Store> =>
  Effect.map(runStatuses([run]), ([status]) => status!)

/** What became of runs and their stages. */
export const runStatuses = Effect.fnUntraced(function* (
  runs: Iterable<RecordedRun>
): Effect.fn.Return<ReadonlyArray<RunStatus>, never, Store> {
  const { journal } = yield* Store
  return yield* withIndex((index) => Array.from(runs, (run) => statusOf(keysOf(journal, run), index, run)))
})

/**
 * The stages of a run (default: all) with what became of them, and which took from which, each after what it took where all have a result.
 */
export const runGraph = Effect.fnUntraced(function* (
  run: RecordedRun,
  stage?: string
): Effect.fn.Return<ReadonlyArray<StageOutcome>, never, Store> {
  const { journal } = yield* Store
  const keys = keysOf(journal, run)
  const wanted = stage === undefined ? keys : new Map([...keys].filter(([name]) => name === stage))
  const found = yield* withIndex(({ nodes }) => nodes([...wanted.values()], endOf(run)))
  const from = new Map(Array.from(keys, ([stage, key]) => [key, stage]))
  const finished = resultsOf(wanted, run, found).map(({ found, key, stage, status }): StageOutcome => {
    const inputs: { [port: string]: { readonly stage: string; readonly port: string } } = {}
    for (const port in found?.inputs) {
      const input = found.inputs[port]!
      const stage = from.get(input.key)
      if (stage !== undefined) inputs[port] = { stage, port: input.port }
    }
    const { metrics = {}, operator, seconds, time } = found ?? {}
    return { stage, status, operator, message: undefined, key, seconds, metrics, time, inputs }
  })
  return [...finished, ...unfinished(run).map((outcome) => ({ ...outcome, time: undefined, inputs: {} }))]
})

/** The stages of a run that have a result, as the ledger has them. */
export const runResults = Effect.fnUntraced(function* (
  run: RecordedRun
): Effect.fn.Return<ReadonlyArray<StageResult>, never, Store> {
  const { journal } = yield* Store
  const keys = keysOf(journal, run)
  return resultsOf(keys, run, yield* withIndex(({ rows }) => rows([...keys.values()], endOf(run))))
})

/** Of each stage of a run that has a result whether the run made it, and what was found of it. */
const resultsOf = <A extends { readonly run: string }>(
  keys: ReadonlyMap<string, string>,
  { ran, run }: RecordedRun,
  results: ReadonlyArray<A | null>
) => {
  const made = new Set(ran)
  const all: Array<{ stage: string; status: "ran" | "reused"; key: string; found: A | null }> = []
  for (const [stage, key] of keys) {
    const found = results[all.length] ?? null
    all.push({ stage, status: made.has(stage) || found?.run === run ? "ran" : "reused", key, found })
  }
  return all
}

/** The stages of a run that failed, or were skipped for that. */
const unfinished = ({ failures, skipped }: RecordedRun): ReadonlyArray<Omit<StageStatus, "artifacts">> => {
  const nothing = { key: undefined, seconds: undefined, metrics: {} }
  return [
    ...failures.map(({ cause, message, operator, stage }) => {
      return { stage, status: "failed" as const, operator, message: `${cause}: ${message}`, ...nothing }
    }),
    ...skipped.map((stage) => {
      return { stage, status: "skipped" as const, operator: undefined, message: undefined, ...nothing }
    })
  ]
}

const statusOf = (keys: ReadonlyMap<string, string>, { briefs }: Shown, run: RecordedRun): RunStatus => {
  const found: ReadonlyArray<StageBrief | null> = briefs([...keys.values()], endOf(run))
  const finished = resultsOf(keys, run, found).map(({ found, key, stage, status }): StageStatus => {
    const { metrics = {}, operator, outputs = {}, seconds } = found ?? {}
    return { stage, status, operator, message: undefined, key, seconds, metrics, artifacts: outputs }
  })
  return {
    run: run.run,
    pipeline: run.pipeline,
    status: run.status === "running" && isAlive(run.holder) === false ? "interrupted" : run.status,
    time: run.time,
    seconds: run.seconds,
    settings: run.settings,
    devices: run.devices ?? [],
    size: run.stages,
    stages: [...finished, ...unfinished(run).map((outcome) => ({ ...outcome, artifacts: {} }))]
  }
}
