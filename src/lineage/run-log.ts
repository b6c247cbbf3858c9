/**
 * The log of a run: what happens in it, while it happens, for whoever looks on from another process.
 *
 * One file a run, `runs/<run>` in the store, of lines framed like the journal's (see store/journal.ts): a line that a crash tore is no entry. It says
 * nothing that a result depends on: what counts is in the journal, and a log may be deleted.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { CurrentDisk } from "../store/disk.ts"
import { look } from "../store/durable.ts"
import { frame, unframe } from "../store/journal.ts"
import type { StoreError } from "../store/storeError.ts"

const at = { stage: Schema.String, time: Schema.Number }

/**
 * The stages of the pipeline, each after its inputs: the first entry. `time` is milliseconds since 1970 everywhere. Of each operator, where it was known,
 * what it does, and where its code is: a URL, and a line of it.
 */
export const GraphEntry = Schema.TaggedStruct("Graph", {
  time: Schema.Number,
  stages: Schema.Array(
    Schema.Struct({
      stage: Schema.String,
      operator: Schema.String,
      inputs: Schema.Record(Schema.String, Schema.Struct({ stage: Schema.String, port: Schema.String }))
    })
  ),
  operators: Schema.optionalKey(
    Schema.Record(
      Schema.String,
      Schema.Struct({ description: Schema.String, file: Schema.String, line: Schema.Number })
    )
  )
})
export type GraphEntry = typeof GraphEntry.Type

/** One thing that happened. A metric that is no finite number is null. */
export const LogEntry = Schema.Union([
  GraphEntry,
  Schema.TaggedStruct("Reused", { ...at, key: Schema.String }),
  Schema.TaggedStruct("Waiting", { ...at, holder: Schema.String }),
  Schema.TaggedStruct("Started", { ...at, key: Schema.String, reasons: Schema.Array(Schema.String) }),
  Schema.TaggedStruct("Progress", {
    ...at,
    seconds: Schema.Number,
    step: Schema.optionalKey(Schema.Number),
    steps: Schema.optionalKey(Schema.Number),
    resumed: Schema.optionalKey(Schema.Boolean),
    metrics: Schema.Record(Schema.String, Schema.NullOr(Schema.Number))
  }),
  Schema.TaggedStruct("Finished", {
    ...at,
    key: Schema.String,
    seconds: Schema.Number,
    metrics: Schema.Record(Schema.String, Schema.NullOr(Schema.Number))
  }),
  Schema.TaggedStruct("Failed", { ...at, cause: Schema.String, message: Schema.String }),
  Schema.TaggedStruct("Skipped", { ...at, because: Schema.String }),
  Schema.TaggedStruct("Ended", {
    time: Schema.Number,
    status: Schema.Literals(["succeeded", "failed", "interrupted"])
  })
])
export type LogEntry = typeof LogEntry.Type

const decode = Schema.decodeUnknownOption(LogEntry)
const encode = Schema.encodeSync(LogEntry)

/** A run's name, and nothing that could lead out of the folder. */
const isRun = (run: string): boolean => /^[\w-]+$/.test(run)

/** The folder of the logs of the store in `folder`. */
export const logFolder = (folder: string): string => path.join(folder, "runs")

/** An entry as a line of the log of `run`. */
export const logLine = (run: string, entry: LogEntry): string =>
  frame({ kind: "entry", key: run, value: encode(entry) as Schema.Json })

/** Entries of a log, and where the next ones begin. */
export interface LogPart {
  readonly entries: ReadonlyArray<LogEntry>
  readonly next: number
}

/** The whole entries of a run's log from byte `from` on, which is where a line begins; none where there is no log. */
export const readLog = Effect.fnUntraced(function* (
  folder: string,
  run: string,
  from = 0
): Effect.fn.Return<LogPart, StoreError> {
  if (!isRun(run)) return { entries: [], next: from }
  const disk = yield* CurrentDisk
  const file = path.join(logFolder(folder), run)
  const bytes = yield* look(file, () => disk.read(file, from))
  const entries: Array<LogEntry> = []
  let next = 0
  for (let end = bytes?.indexOf(10) ?? -1; end >= 0; end = bytes!.indexOf(10, next)) {
    const found = unframe(bytes!.subarray(next, end), from + next)
    next = end + 1
    if (found === undefined) continue
    const entry = decode(found.value())
    if (Option.isSome(entry)) entries.push(entry.value)
  }
  return { entries, next: from + next }
})
