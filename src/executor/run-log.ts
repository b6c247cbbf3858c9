/**
 * Writes the log of a run (see lineage/run-log.ts) from its events.
 *
 * Events are taken in memory and written a few times a second beside the run, unflushed: a run never waits for its log, nor fails with it.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type LogEntry, logFolder, logLine } from "../lineage/run-log.ts"
import type { Graph } from "../pipeline/graph.ts"
import type { Event } from "./event.ts"

/** Between two writes. */
const PAUSE = Duration.millis(250)

/** Reports of one stage that are kept between two writes; of more only the last. */
const MOST_REPORTS = 32

/** Logs that a store keeps, the newest ones. */
const MOST_LOGS = 200

/** Hears the events of a run of `graph` in the store in `folder`, until the scope closes. */
export const make = Effect.fnUntraced(function* (
  folder: string,
  graph: Graph<unknown>
): Effect.fn.Return<(event: Event) => Effect.Effect<void>, never, Scope.Scope> {
  let run = ""
  let waiting: Array<LogEntry> = []
  const reports = new Map<string, number>()

  const take = (entry: LogEntry): void => {
    if (entry._tag === "Progress") {
      const count = (reports.get(entry.stage) ?? 0) + 1
      reports.set(entry.stage, count)
      if (count > MOST_REPORTS) {
        const last = waiting.findLastIndex((each) => each._tag === "Progress" && each.stage === entry.stage)
        waiting[last] = entry
        return
      }
    }
    waiting.push(entry)
  }

  const write = Effect.promise(async () => {
    if (waiting.length === 0) return
    // What a crash tore before is a line of its own.
    const text = `\n${waiting.map((entry) => logLine(run, entry)).join("")}`
    waiting = []
    reports.clear()
    const logs = logFolder(folder)
    try {
      await fs.appendFile(path.join(logs, run), text)
    } catch {
      await fs.mkdir(logs, { recursive: true }).then(
        () => fs.appendFile(path.join(logs, run), text),
        () => undefined
      )
      await forget(logs)
    }
  }).pipe(Effect.ignoreCause)

  yield* Effect.addFinalizer(() => write)
  yield* Effect.forkScoped(Effect.repeat(write, Schedule.spaced(PAUSE)))
  return (event) =>
    Effect.map(Clock.currentTimeMillis, (time) => {
      if (event._tag === "RunStarted") run = event.run
      const entry = entryOf(graph, event, time)
      if (entry !== undefined) take(entry)
    })
})

/** Removes the oldest logs: names begin with the time. */
const forget = async (logs: string): Promise<void> => {
  const names = (await fs.readdir(logs)).toSorted()
  await Promise.all(names.slice(0, -MOST_LOGS).map((name) => fs.rm(path.join(logs, name), { force: true })))
}

const graphEntry = ({ stages }: Graph<unknown>, time: number): LogEntry => ({
  _tag: "Graph",
  time,
  stages: stages.map(({ inputs, name, operator }) => ({ stage: name, operator: operator.name, inputs })),
  operators: Object.fromEntries(
    stages.map(({ operator: { definition, description, name } }) => {
      const { file, line } = definition.calls[0] ?? { file: "", line: 0 }
      return [name, { description, file: file.startsWith("/") ? pathToFileURL(file).href : file, line }]
    })
  )
})

const finite = (metrics: { readonly [name: string]: number }): { readonly [name: string]: number | null } =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, Number.isFinite(value) ? value : null]))

/** What the log of a run of `graph` says of an event that is heard at `time`; undefined: nothing. */
export const entryOf = (graph: Graph<unknown>, event: Event, time: number): LogEntry | undefined => {
  switch (event._tag) {
    case "RunStarted":
      return graphEntry(graph, time)
    case "StageReused":
      return { _tag: "Reused", stage: event.stage, time, key: event.key }
    case "StageWaiting":
      return { _tag: "Waiting", stage: event.stage, time, holder: `process ${event.pid} on ${event.host}` }
    case "StageStarted":
      return {
        _tag: "Started",
        stage: event.stage,
        time,
        key: event.key,
        reasons: event.reasons.map(({ message }) => message)
      }
    case "StageProgress": {
      const { metrics, resumed, seconds, stage, step, steps } = event
      return {
        _tag: "Progress",
        stage,
        time,
        seconds,
        ...(step === undefined ? {} : { step }),
        ...(steps === undefined ? {} : { steps }),
        ...(resumed === undefined ? {} : { resumed }),
        metrics: finite(metrics)
      }
    }
    case "StageFinished": {
      const { key, metrics, seconds, stage } = event
      return { _tag: "Finished", stage, time, key, seconds, metrics: finite(metrics) }
    }
    case "StageFailed":
      return { _tag: "Failed", stage: event.stage, time, cause: event.cause, message: event.message }
    case "StageSkipped":
      return { _tag: "Skipped", stage: event.stage, time, because: event.because }
    case "RunFinished":
      return { _tag: "Ended", time, status: event.status }
    default:
      return undefined
  }
}
