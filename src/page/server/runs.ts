/**
 * Runs: the list of them, one with its stages, its curves, and its events as they come.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type RunStatus, runStatus } from "../../lineage/ledger.ts"
import type { RunRecord } from "../../lineage/record.ts"
import { runRecords, stageRecord } from "../../lineage/records.ts"
import { type LogEntry, readLog } from "../../lineage/run-log.ts"
import { isAlive } from "../../store/holder.ts"
import type { Journal } from "../../store/journal.ts"
import { Store } from "../../store/store.ts"
import { type Curves, LiveEvent, type Run, type RunSummary, type Runs, type StageView } from "../answers.ts"
import { advance, collect, type Growing, pending, seriesId } from "../progress.ts"
import { artifactView } from "./artifact.ts"
import { missing } from "./refusal.ts"

const summaryOf = (run: RunRecord): RunSummary => ({
  run: run.run,
  pipeline: run.pipeline,
  state: run.status === "running" && isAlive(run.holder) === false ? "interrupted" : run.status,
  time: run.time,
  seconds: run.seconds,
  settings: run.settings,
  stages: run.stages,
  ran: run.ran.length,
  failed: run.failures.length
})

const opened = Effect.gen(function* () {
  const store = yield* Store
  yield* store.journal.refresh
  return store
})

/** Runs from number `offset` (0: the newest) on. */
export const runs = Effect.fnUntraced(function* (offset: number, limit: number) {
  const { journal } = yield* opened
  const all = [...runRecords(journal)]
  const page: Runs = { offset, total: all.length, runs: all.slice(offset, offset + limit).map(summaryOf) }
  return page
})

/** The record of a run, by its name, the beginning of it, or `newest`. */
const recordOf = Effect.fnUntraced(function* (name: string) {
  const { journal } = yield* opened
  for (const run of runRecords(journal)) if (name === "newest" || run.run.startsWith(name)) return run
  return yield* missing(name, `there is no run ${name}`, "The list of runs has those that there are.")
})

const stateOf = { reused: "reused", ran: "ran", failed: "failed", skipped: "skipped" } as const

/** Stages as the journal has them: what is durable counts, whatever the log says. */
const settle = (journal: Journal, stages: Map<string, StageView>, status: RunStatus): void => {
  const stageOfKey = new Map(status.stages.flatMap(({ key, stage }) => (key === undefined ? [] : [[key, stage]])))
  for (const { artifacts, key, message, metrics, operator, seconds, stage, status: state } of status.stages) {
    const logged = stages.get(stage)
    // What the log says already is not looked for in the record, as there may be thousands.
    const told = logged !== undefined && (state !== "ran" || logged.reasons.length > 0)
    const record = key === undefined || told ? undefined : stageRecord(journal, key)
    const inputs = Object.entries(record?.inputs ?? {}).flatMap(([port, input]) => {
      const from = stageOfKey.get(input.key)
      return from === undefined ? [] : [[port, { stage: from, port: input.port }] as const]
    })
    const known = logged ?? pending(stage, operator ?? "", Object.fromEntries(inputs))
    stages.set(stage, {
      ...known,
      state: stateOf[state],
      key: key ?? known.key,
      seconds: seconds ?? known.seconds,
      time: state === "ran" ? (record?.time ?? known.time) : known.time,
      message: message ?? (state === "skipped" ? known.message : null),
      reasons: state === "ran" && record !== undefined ? record.reasons.map(({ message }) => message) : known.reasons,
      metrics: { ...known.metrics, ...metrics },
      artifacts: Object.entries(artifacts).map(([port, artifact]) => artifactView(artifact, stage, key ?? "", port))
    })
  }
}

/** A run with all its stages. */
export const run = Effect.fnUntraced(function* (name: string) {
  const { folder, journal } = yield* opened
  const record = yield* recordOf(name)
  const { entries, next } = yield* readLog(folder, record.run)
  const stages = new Map<string, StageView>()
  for (const entry of entries) {
    if (entry._tag === "Graph") {
      for (const { inputs, operator, stage } of entry.stages) stages.set(stage, pending(stage, operator, inputs))
    } else if (entry._tag !== "Ended") {
      const known = stages.get(entry.stage)
      if (known !== undefined) stages.set(entry.stage, advance(known, entry))
    }
  }
  const status = yield* runStatus(record)
  settle(journal, stages, status)
  const ended = status.status !== "running"
  const detail = [...stages.values()].map(
    (stage): StageView =>
      ended && (stage.state === "running" || stage.state === "waiting") ? { ...stage, state: "stopped" } : stage
  )
  const view: Run = { ...summaryOf(record), detail, outputs: record.outputs, next }
  return view
})

/** All metrics of a run: what its log has of them, and of stages that were reused what they ended with. */
export const curves = Effect.fnUntraced(function* (name: string) {
  const { folder, journal } = yield* opened
  const record = yield* recordOf(name)
  const { entries, next } = yield* readLog(folder, record.run)
  const series = new Map<string, Growing>()
  for (const entry of entries) collect(series, entry)
  for (const { key, metrics, stage } of (yield* runStatus(record)).stages) {
    for (const [metric, value] of Object.entries(metrics)) {
      const id = seriesId(stage, metric)
      if (series.has(id) || !Number.isFinite(value)) continue
      const time = key === undefined ? undefined : stageRecord(journal, key)?.time
      series.set(id, { stage, metric, points: [[null, null, value, time ?? record.time]] })
    }
  }
  const view: Curves = { run: record.run, series: [...series.values()], next }
  return view
})

/** Between two looks at the log, and between two signs of life where nothing happens. */
const LOOK = Duration.millis(300)
const QUIET_LOOKS = 50

const encode = Schema.encodeSync(Schema.fromJsonString(LiveEvent))

const messageOf = (next: number, entries: ReadonlyArray<LogEntry>): string =>
  `id: ${next}\ndata: [${entries.map((entry) => encode(entry)).join(",")}]\n\n`

/**
 * The entries of a run's log from `from` on as server-sent events, each with the entries that came at once; `done` when the run is over. A browser that
 * lost the connection asks again from the `id` of the last.
 */
export const events = Effect.fnUntraced(function* (name: string, from: number) {
  const store = yield* opened
  const { run: id } = yield* recordOf(name)
  let quiet = 0
  const look = Effect.fnUntraced(function* (at: number) {
    const over = summaryOf(yield* recordOf(id)).state !== "running"
    const { entries, next } = yield* readLog(store.folder, id, at)
    quiet = entries.length > 0 ? 0 : quiet + 1
    const text =
      (entries.length > 0 ? messageOf(next, entries) : "") +
      (over ? `event: done\nid: ${next}\ndata: {}\n\n` : quiet % QUIET_LOOKS === 1 ? ": still there\n\n" : "")
    return [[text], over ? Option.none<number>() : Option.some(next)] as const
  })
  let first = true
  return Stream.paginate(from, (at: number) => {
    const looking = first ? look(at) : Effect.delay(look(at), LOOK)
    first = false
    return looking
  })
})
