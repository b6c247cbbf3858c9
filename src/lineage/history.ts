/**
 * What happened in a run: its log, and where that was not kept, what the records say of it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { isAlive } from "../store/holder.ts"
import type { Journal } from "../store/journal.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { LineageError, runsAsOf } from "./ledger.ts"
import type { RunRecord, StageRecord } from "./record.ts"
import { keysOf, stageRecord } from "./records.ts"
import { type LogEntry, readLog } from "./run-log.ts"

/** A run as it was last recorded, and what happened in it, in order: first the graph, last the end unless it goes on. */
export interface RunHistory {
  readonly run: RunRecord
  readonly entries: ReadonlyArray<LogEntry>
}

/**
 * The history of a run, by the beginning of its name (default: the newest). Logs are kept of the newest 200 runs that the command line ran in which
 * something was to be done; of others there are no reports, the stages are in an order of need, and the times of failures are that of the end.
 */
export const historyOf = Effect.fnUntraced(function* (
  name?: string
): Effect.fn.Return<RunHistory, LineageError | StoreError, Store> {
  const { folder, journal } = yield* Store
  yield* journal.refresh
  for (const run of yield* runsAsOf(journal, name)) {
    const { entries } = yield* readLog(folder, run.run)
    const known = entries[0]?._tag === "Graph" ? entries : rebuilt(journal, run)
    const end = known.some(({ _tag }) => _tag === "Ended") ? undefined : endOf(run, known.at(-1)!.time)
    return { run, entries: end === undefined ? known : [...known, end] }
  }
  const message = "there is no run: nothing has run yet in this store"
  return yield* new LineageError({ reference: name ?? "newest", candidates: [], message })
})

/** The end of a run of which no log tells: of one whose process died it is the last that is known. */
const endOf = ({ holder, seconds, status, time }: RunRecord, last: number): LogEntry | undefined => {
  if (status !== "running") return { _tag: "Ended", time: time + 1000 * (seconds ?? 0), status }
  return isAlive(holder) === false ? { _tag: "Ended", time: last, status: "interrupted" } : undefined
}

const rebuilt = (journal: Journal, run: RunRecord): ReadonlyArray<LogEntry> => {
  const found = [...keysOf(journal, run)].flatMap(([stage, key]): ReadonlyArray<readonly [string, StageRecord]> => {
    const record = stageRecord(journal, key)
    return record === undefined ? [] : [[stage, record]]
  })
  const stageOf = new Map(found.map(([stage, { key }]) => [key, stage]))
  const nodes = found.map(([stage, { inputs, preimage }]) => ({
    stage,
    operator: preimage.operator.name,
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([port, { key, port: from }]) => [port, { stage: stageOf.get(key) ?? "", port: from }])
    )
  }))
  const failed = run.failures.map(({ operator, stage }) => ({ stage, operator, inputs: {} }))
  const skipped = run.skipped.map((stage) => ({ stage, operator: "", inputs: {} }))
  const end = run.time + 1000 * (run.seconds ?? 0)
  const ran = new Set(run.ran)
  const stages = found.flatMap(([stage, record]): Array<LogEntry> => {
    const { key, metrics, reasons, seconds } = record
    if (record.run !== run.run && !ran.has(stage)) return [{ _tag: "Reused", stage, time: run.time, key }]
    // What was made again since is recorded as that.
    const time = record.run === run.run ? record.time : run.time
    return [
      { _tag: "Started", stage, time, key, reasons: reasons.map(({ message }) => message) },
      { _tag: "Finished", stage, time: time + 1000 * seconds, key, seconds, metrics }
    ]
  })
  return [
    { _tag: "Graph", time: run.time, stages: [...nodes, ...failed, ...skipped] },
    ...stages,
    ...run.failures.map(
      ({ cause, message, stage }): LogEntry => ({ _tag: "Failed", stage, time: end, cause, message })
    ),
    ...run.skipped.map((stage): LogEntry => ({ _tag: "Skipped", stage, time: end, because: "" }))
  ]
}

/**
 * What the stages of a run reported, in the order of time; of those that it reused, what they reported in the run that made their results, as if it were of this
 * one. Of a stage whose reports were not kept there is one, with the last value of each metric.
 */
export const reportsOf = Effect.fnUntraced(function* ({
  entries
}: RunHistory): Effect.fn.Return<ReadonlyArray<LogEntry>, StoreError, Store> {
  const { folder, journal } = yield* Store
  const found = entries.filter(({ _tag }) => _tag === "Progress")
  const told = new Set(found.flatMap((entry) => ("stage" in entry ? [entry.stage] : [])))
  const logs = new Map<string, ReadonlyArray<LogEntry>>()
  for (const entry of entries) {
    if ((entry._tag !== "Reused" && entry._tag !== "Finished") || told.has(entry.stage)) continue
    const record = stageRecord(journal, entry.key)
    if (record === undefined) continue
    const { metrics, run, seconds, time } = record
    if (!logs.has(run)) logs.set(run, (yield* readLog(folder, run)).entries)
    const { stage } = entry
    const reports = logs.get(run)!.flatMap((each): Array<LogEntry> => {
      return each._tag === "Progress" && each.stage === record.stage ? [{ ...each, stage }] : []
    })
    const last: LogEntry = { _tag: "Progress", stage, time: time + 1000 * seconds, seconds, metrics }
    found.push(...(reports.length > 0 ? reports : Object.keys(metrics).length > 0 ? [last] : []))
  }
  return found.toSorted((a, b) => a.time - b.time)
})
