/**
 * The metrics of a run as TensorBoard's event files: a folder for each stage in a folder for the run, which TensorBoard shows as a run of its own.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs/promises"
import { hostname } from "node:os"
import * as path from "node:path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { LogEntry } from "../lineage/run-log.ts"
import { scalarsRecord, versionRecord } from "./tensorboard-record.ts"

/** The files cannot be written. */
export class TensorBoardError extends Schema.TaggedError<TensorBoardError>()("TensorBoardError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** A name as that of a folder: different names are different folders. */
const folderOf = (name: string): string =>
  encodeURIComponent(name).replace(/^\.+$/, (dots) => "%2E".repeat(dots.length))

/**
 * Takes entries of a run's log, and gives, by stage, the records that are not written yet. A report without a step is of the last step that its stage
 * named; where it named none, reports are counted from 0. What was no finite number when it was logged is NaN.
 */
export const recorder = () => {
  /** The step of a report without one, and whether the stage names steps. */
  const steps = new Map<string, { readonly next: number; readonly named: boolean }>()
  const waiting = new Map<string, Array<Buffer>>()
  return {
    take: (entry: LogEntry): void => {
      if (entry._tag !== "Progress" || Object.keys(entry.metrics).length === 0) return
      const { metrics, stage, time } = entry
      const records = waiting.get(stage) ?? []
      const before = steps.get(stage)
      if (before === undefined) records.push(versionRecord(time))
      const step = entry.step ?? before?.next ?? 0
      const named = entry.step !== undefined || before?.named === true
      const scalars = Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, value ?? Number.NaN]))
      records.push(scalarsRecord(time, step, scalars))
      steps.set(stage, { next: named ? step : step + 1, named })
      waiting.set(stage, records)
    },
    rest: (): ReadonlyArray<readonly [stage: string, records: Buffer]> => {
      const records = Array.from(waiting, ([stage, each]) => [stage, Buffer.concat(each)] as const)
      waiting.clear()
      return records
    }
  }
}

/** What writes records into `folder/run/stage`, to one file a stage: `time` (milliseconds since 1970) is in its name. */
const makeFiles = (folder: string, run: string, time: number) => {
  const name = `events.out.tfevents.${Math.floor(time / 1000)}.${hostname()}.${process.pid}`
  return (records: ReadonlyArray<readonly [stage: string, records: Buffer]>): Effect.Effect<void, TensorBoardError> =>
    Effect.tryPromise({
      try: async () => {
        for (const [stage, bytes] of records) {
          const stageFolder = path.join(folder, run, folderOf(stage))
          await fs.mkdir(stageFolder, { recursive: true })
          await fs.appendFile(path.join(stageFolder, name), bytes)
        }
      },
      catch: (cause) => new TensorBoardError({ place: folder, message: (cause as Error).message })
    })
}

/** Writes the metrics of a run's `entries`; gives the names of the stages that have any. */
export const writeMetrics = Effect.fnUntraced(function* (
  folder: string,
  run: string,
  entries: ReadonlyArray<LogEntry>
): Effect.fn.Return<ReadonlyArray<string>, TensorBoardError> {
  const { rest, take } = recorder()
  for (const entry of entries) take(entry)
  const records = rest()
  const there = yield* Effect.promise(() => fs.readdir(path.join(folder, run)).catch(() => []))
  if (there.length > 0) {
    const message = `it has files of run ${run}, and TensorBoard would show both: name another folder, or remove ${path.join(folder, run)}`
    return yield* new TensorBoardError({ place: folder, message })
  }
  yield* makeFiles(folder, run, entries[0]?.time ?? 0)(records)
  return records.map(([stage]) => stage)
})

/** Between two writes. */
const PAUSE = Duration.seconds(1)

/**
 * What hears the entries of a run while it goes on and writes them each second, until the scope closes. A run never fails with it: `onFailure` hears
 * the first error, and no more is written then.
 */
export const live = Effect.fnUntraced(function* (
  folder: string,
  onFailure: (error: TensorBoardError) => Effect.Effect<void>
): Effect.fn.Return<(run: string, entry: LogEntry) => void, never, Scope.Scope> {
  const { rest, take } = recorder()
  let files: ReturnType<typeof makeFiles> | undefined
  let failed = false
  const write = Effect.suspend(() => {
    const records = rest()
    return records.length === 0 || files === undefined || failed ? Effect.void : files(records)
  }).pipe(
    Effect.catch((error) => {
      failed = true
      return onFailure(error)
    })
  )
  yield* Effect.addFinalizer(() => write)
  yield* Effect.forkScoped(Effect.repeat(write, Schedule.spaced(PAUSE)))
  return (run, entry) => {
    files ??= makeFiles(folder, run, entry.time)
    take(entry)
  }
})
