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
import { paramsOf, placeOf, type RunRecord } from "../../lineage/record.ts"
import { type RecordedRun, recordUpTo, runNames, runRecords } from "../../lineage/records.ts"
import { type LogEntry, readLog } from "../../lineage/run-log.ts"
import { runGraph, runResults, runStatus, type StageOutcome } from "../../lineage/run-status.ts"
import { isAlive } from "../../store/holder.ts"
import { Store } from "../../store/store.ts"
import {
  type Curves,
  LiveEvent,
  type Run,
  type RunArtifacts,
  type RunSummary,
  type Runs,
  type StageDetail,
  type StageView
} from "../answers.ts"
import { advance, collect, type Growing, pending, seriesId } from "../progress.ts"
import { artifactView } from "./artifact.ts"
import { missing } from "./refusal.ts"
import { runText } from "./run-text.ts"

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
  const names = runNames(journal)
  const page: Array<RunSummary> = []
  for (const run of names[offset] === undefined ? [] : runRecords(journal, names[offset])) {
    if (page.push(summaryOf(run)) >= limit) break
  }
  const view: Runs = { offset, total: names.length, runs: page }
  return view
})

/** The record of a run, by its name, the beginning of it, or `newest`. */
const recordOf = Effect.fnUntraced(function* (name: string) {
  const { journal } = yield* opened
  const run = runNames(journal).find((run) => name === "newest" || run.startsWith(name))
  const found = run === undefined ? undefined : runRecords(journal, run).next().value
  if (found !== undefined) return found
  return yield* missing(name, `there is no run ${name}`, "The list of runs has those that there are.")
})

/** What a log says of its run so far: each stage, and why those that ran did. It grows with the log. */
interface Told {
  next: number
  readonly stages: Map<string, StageView>
  readonly reasons: Map<string, ReadonlyArray<string>>
}

/** What the logs of runs that go on have said, so that each entry is read once. */
const going = new WeakMap<Store["Service"], Map<string, Told>>()

const told = Effect.fnUntraced(function* ({ run, status }: RecordedRun) {
  const store = yield* Store
  const known = going.get(store) ?? new Map<string, Told>()
  going.set(store, known)
  const log = known.get(run) ?? { next: 0, stages: new Map(), reasons: new Map() }
  if (status === "running") known.set(run, log)
  else known.delete(run)
  const { entries, next } = yield* readLog(store.folder, run, log.next)
  // Another request may have been as far meanwhile.
  if (next > log.next) {
    log.next = next
    for (const entry of entries) {
      if (entry._tag === "Graph") {
        for (const { inputs, operator, stage } of entry.stages) log.stages.set(stage, pending(stage, operator, inputs))
      } else if (entry._tag !== "Ended") {
        const stage = log.stages.get(entry.stage)
        if (stage !== undefined) log.stages.set(entry.stage, advance(stage, entry))
        if (entry._tag === "Started") log.reasons.set(entry.stage, entry.reasons)
      }
    }
  }
  return log
})

/** Stages as the journal has them: what is durable counts, whatever the log says. */
const settle = (logged: ReadonlyMap<string, StageView>, outcomes: ReadonlyArray<StageOutcome>) => {
  const stages = new Map(logged)
  for (const { inputs, key, message, metrics, operator, seconds, stage, status, time } of outcomes) {
    const known = logged.get(stage) ?? pending(stage, operator ?? "", inputs)
    stages.set(stage, {
      ...known,
      state: status,
      key: key ?? known.key,
      seconds: seconds ?? known.seconds,
      time: status === "ran" ? (time ?? known.time) : known.time,
      message: message ?? (status === "skipped" ? known.message : null),
      metrics: { ...known.metrics, ...metrics }
    })
  }
  return stages
}

/** The stages of a run, or one of them. */
const stagesOf = Effect.fnUntraced(function* (record: RecordedRun, log: Told, stage?: string) {
  const outcomes = yield* runGraph(record, stage)
  const stages = [...settle(log.stages, outcomes).values()]
  return summaryOf(record).state === "running"
    ? stages
    : stages.map(
        (stage): StageView =>
          stage.state === "running" || stage.state === "waiting" ? { ...stage, state: "stopped" } : stage
      )
})

/** Runs that succeeded, as they were answered last: by where their records are, which with all before them never change. */
const answered = new WeakMap<Store["Service"], Map<number, Uint8Array>>()
const ANSWERED = 8

/** A run with all its stages. Of one that succeeded the records have them all, and its log is not looked at. */
export const run = Effect.fnUntraced(function* (name: string) {
  const store = yield* Store
  const record = yield* recordOf(name)
  if (record.status !== "succeeded") {
    const log = yield* told(record)
    const detail = yield* stagesOf(record, log)
    const view: Run = { ...summaryOf(record), detail, outputs: record.outputs, next: log.next }
    return view
  }
  const known = answered.get(store) ?? new Map<number, Uint8Array>()
  answered.set(store, known)
  const before = known.get(record.position)
  if (before !== undefined) return before
  const view = { ...summaryOf(record), outputs: record.outputs, next: 0 }
  const text =
    runText(view, yield* runResults(record)) ??
    JSON.stringify({ ...view, detail: yield* stagesOf(record, { next: 0, stages: new Map(), reasons: new Map() }) })
  const bytes = Buffer.from(text)
  if (known.size >= ANSWERED) known.delete(known.keys().next().value!)
  known.set(record.position, bytes)
  return bytes
})

/** Runs that are made ready before anyone asks: what that costs of ten thousand stages, the first time in a process, is more than a person should wait for. */
const READY = 3

/** Answers for the newest runs, before they are asked for. */
export const ready = Effect.gen(function* () {
  const { journal } = yield* opened
  for (const name of runNames(journal).slice(0, READY)) yield* run(name)
})

/** One stage of a run, with why it ran, its parameters, and what it gave. */
export const stageDetail = Effect.fnUntraced(function* (name: string, stage: string) {
  const { journal } = yield* Store
  const record = yield* recordOf(name)
  const log = yield* told(record)
  const found = (yield* stagesOf(record, log, stage)).find((each) => each.stage === stage)
  if (found === undefined) return yield* missing("name", `run ${record.run} has no stage ${stage}`)
  const { key, state } = found
  const made =
    key === null ? undefined : recordUpTo(journal, key, record.status === "running" ? undefined : record.position)
  const reasons =
    state === "reused" ? [] : (log.reasons.get(stage) ?? made?.reasons.map(({ message }) => message) ?? [])
  const view: StageDetail = {
    ...found,
    reasons,
    artifacts: Object.entries(made?.outputs ?? {}).map(([port, artifact]) => artifactView(artifact, stage, key!, port)),
    params: made === undefined ? {} : paramsOf(made.preimage),
    made: made === undefined ? null : { run: made.run, stage: made.stage, time: made.time, device: placeOf(made) }
  }
  return view
})

/** Which outputs of a run are meant: of a kind, with a text in their names, with these columns; all where they are empty. */
export interface Wanted {
  readonly kind: string
  readonly match: string
  readonly columns: ReadonlyArray<string>
  readonly limit: number
}

/** Outputs of a run's stages. */
export const runArtifacts = Effect.fnUntraced(function* (name: string, { columns, kind, limit, match }: Wanted) {
  const record = yield* recordOf(name)
  const { stages } = yield* runStatus(record)
  const all = stages.flatMap(({ artifacts, key, stage }) =>
    Object.entries(artifacts).flatMap(([port, artifact]) =>
      (kind === "" || artifact.kind === kind) && `${stage}.${port}`.includes(match)
        ? [artifactView(artifact, stage, key ?? "", port)]
        : []
    )
  )
  const found = all.filter((each) => columns.every((column) => each.columns.includes(column)))
  const view: RunArtifacts = { run: record.run, total: found.length, artifacts: found.slice(0, limit) }
  return view
})

/** All metrics of a run: what its log has of them, and of stages that were reused what they ended with. */
export const curves = Effect.fnUntraced(function* (name: string) {
  const { folder } = yield* opened
  const record = yield* recordOf(name)
  const { entries, next } = yield* readLog(folder, record.run)
  const series = new Map<string, Growing>()
  for (const entry of entries) collect(series, entry)
  for (const { metrics, stage, time } of yield* runGraph(record)) {
    for (const [metric, value] of Object.entries(metrics)) {
      const id = seriesId(stage, metric)
      if (series.has(id) || !Number.isFinite(value)) continue
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
