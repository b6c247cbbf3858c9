/**
 * What is in a store, as values: runs, tables batch by batch, checkpoints, reports and metrics.
 *
 * An artifact is named as on the command line: by the first 6 or more digits of its digest, or, of the newest run that has it, by `stage.output`, by a
 * stage with one output or one checkpoint among them, or by the name of an output of the pipeline.
 *
 * @since 0.1.0
 */
import type { Schema as ArrowSchema, RecordBatch } from "apache-arrow"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { type Checkpoint, CheckpointPort } from "../../operators/checkpoint.ts"
import { type Report, ReportPort } from "../../operators/report.ts"
import { layout, type ModelConfig } from "../engine/model.ts"
import { historyOf, type RunHistory } from "../lineage/history.ts"
import { LineageError, type Made, resolve, runsAsOf } from "../lineage/ledger.ts"
import { runRecords, stageRecord } from "../lineage/records.ts"
import { readLog } from "../lineage/run-log.ts"
import { type RunStatus, runStatus, runStatuses } from "../lineage/run-status.ts"
import * as Seen from "../lineage/seen.ts"
import type { TraceError } from "../lineage/trace.ts"
import { ArtifactError } from "../operator/artifact.ts"
import type { Port } from "../operator/port.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import * as Ipc from "../table/ipc.ts"

/** A table as it is kept: `batches` reads its Arrow record batches one at a time, each time that it is run. */
export interface StoredTable extends Made {
  readonly rows: number
  readonly schema: ArrowSchema
  readonly batches: Stream.Stream<RecordBatch, ArtifactError>
}

/** A parameter of a model: `values` (row-major) view the checkpoint's. */
export interface NamedWeight {
  readonly shape: ReadonlyArray<number>
  readonly values: Float32Array
}

/** A checkpoint: its value as operators have it, and its parameters by name. */
export interface StoredCheckpoint extends Made {
  readonly config: ModelConfig
  readonly tokenizer: Checkpoint["tokenizer"]
  readonly weights: ReadonlyMap<string, NamedWeight>
  readonly checkpoint: Checkpoint
}

/** What a stage reported: `seconds` since its start; a metric that was no finite number is null. */
export interface Measured {
  readonly step: number | undefined
  readonly seconds: number
  readonly metrics: { readonly [name: string]: number | null }
}

/** All reports of a stage that were kept, and the last value of each metric. */
export interface Metrics {
  readonly last: { readonly [name: string]: number }
  readonly reports: ReadonlyArray<Measured>
}

/** All runs, newest first: their settings, and of each stage what became of it, its key, its last metrics and its artifacts. */
export const runs: Effect.Effect<ReadonlyArray<RunStatus>, StoreError, Store> = Effect.gen(function* () {
  const { journal } = yield* Store
  yield* journal.refresh
  return yield* runStatuses(runRecords(journal))
})

const recordOf = Effect.fnUntraced(function* (name: string | undefined) {
  const { journal } = yield* Store
  yield* journal.refresh
  for (const record of yield* runsAsOf(journal, name)) return record
  const message = "there is no run: nothing has run yet in this store"
  return yield* new LineageError({ reference: name ?? "newest", candidates: [], message })
})

/** One run, by the beginning of its name (default: the newest). */
export const run = Effect.fnUntraced(function* (
  name?: string
): Effect.fn.Return<RunStatus, LineageError | StoreError, Store> {
  const record = yield* recordOf(name)
  return yield* runStatus(record)
})

/**
 * What happened in a run (default: the newest), in order: its graph, and of each stage what became of it and what it reported, each with its time. Of runs whose log is not
 * kept there are no reports.
 */
export const history = (name?: string): Effect.Effect<RunHistory, LineageError | StoreError, Store> => historyOf(name)

/** The artifact that `reference` names, as it was known after the run `asOf` (default: the newest), and the stage that made it. */
export const artifact = (reference: string, asOf?: string): Effect.Effect<Made, LineageError | StoreError, Store> =>
  resolve(reference, { asOf })

/** The same, of a kind (`table`, `checkpoint`, ...); what is there but of another kind is named as that. */
export const artifactOf = Effect.fnUntraced(function* (
  kind: string,
  reference: string,
  asOf?: string
): Effect.fn.Return<Made, LineageError | StoreError, Store> {
  return yield* Effect.catchTag(resolve(reference, { kind, asOf }), "LineageError", (error) =>
    Effect.matchEffect(resolve(reference, { asOf }), {
      onFailure: () => Effect.fail(error),
      onSuccess: ({ artifact, port, stage }) => {
        const { candidates } = error
        const others = candidates.length === 0 ? "" : `; there is ${candidates.join(", ")}`
        const message = `${stage}.${port} is a ${artifact.kind}, not a ${kind}${others}`
        return Effect.fail(new LineageError({ reference, candidates, message }))
      }
    })
  )
})

/** The value of an artifact through any port, such as `Table.of(Row)` for typed rows. */
export const read = Effect.fnUntraced(function* <A>(
  port: Port<A>,
  reference: string
): Effect.fn.Return<A, ArtifactError | LineageError | StoreError, Store> {
  const { artifact } = yield* artifactOf(port.kind, reference)
  return yield* port.decode(artifact, (yield* Store).source)
})

/** A table, checked against its digest in pieces and never loaded whole. */
export const table = Effect.fnUntraced(function* (
  reference: string
): Effect.fn.Return<StoredTable, ArtifactError | LineageError | StoreError, Store> {
  const made = yield* artifactOf("table", reference)
  const { artifact } = made
  const place = `table ${artifact.digest}`
  const blob = artifact.parts["table.arrow"]
  if (blob === undefined) return yield* new ArtifactError({ place, message: `${place} has no part table.arrow` })
  const path = yield* (yield* Store).source.path(blob)
  const schema = yield* Ipc.schema(path, place)
  return { ...made, rows: Number(artifact.meta["rows"]), schema, batches: Ipc.read(path, place) }
})

/** A checkpoint, with its weights in memory. */
export const checkpoint = Effect.fnUntraced(function* (
  reference: string
): Effect.fn.Return<StoredCheckpoint, ArtifactError | LineageError | StoreError, Store> {
  const made = yield* artifactOf("checkpoint", reference)
  const value = yield* CheckpointPort.decode(made.artifact, (yield* Store).source)
  const { config, values } = value.weights
  const weights = new Map(
    layout(config).parameters.map(({ name, offset, shape }) => {
      const size = shape.reduce((product, n) => product * n, 1)
      return [name, { shape, values: values.subarray(offset, offset + size) }] as const
    })
  )
  return { ...made, config, tokenizer: value.tokenizer, weights, checkpoint: value }
})

/** A report: figures, samples and plots. */
export const report = (reference: string): Effect.Effect<Report, ArtifactError | LineageError | StoreError, Store> =>
  read(ReportPort, reference)

/** Which checkpoints saw a row of a table, from 0, and what it became: see `ptmflow seen`. */
export const rowSeen = (
  reference: string,
  row: number
): Effect.Effect<Seen.RowSeen, LineageError | StoreError | TraceError, Store> =>
  Effect.scoped(Effect.flatMap(artifact(reference), (made) => Seen.rowSeen(made, row)))

/** The rows that a checkpoint saw, by table; with `not`, those that this other checkpoint did not see. */
export const seen = Effect.fnUntraced(function* (
  reference: string,
  not?: string
): Effect.fn.Return<ReadonlyArray<Seen.SeenTable>, LineageError | StoreError | TraceError, Store> {
  const made = yield* artifactOf("checkpoint", reference)
  return yield* not === undefined ? Seen.seenBy(made) : Seen.seenOnlyBy(made, yield* artifactOf("checkpoint", not))
})

/**
 * What a stage of a run (default: the newest) reported while it ran; of a reused one, in the run that made its result. Logs of old runs are not kept: of those
 * there is only `last`.
 */
export const metrics = Effect.fnUntraced(function* (
  stage: string,
  name?: string
): Effect.fn.Return<Metrics, LineageError | StoreError, Store> {
  const { folder, journal } = yield* Store
  const record = yield* recordOf(name)
  const status = yield* runStatus(record)
  const found = status.stages.find((each) => each.stage === stage)
  const made = found?.key === undefined ? undefined : stageRecord(journal, found.key)
  // A stage that is reused ran before, maybe under another name.
  const source = made === undefined ? { run: record.run, stage } : made
  const { entries } = yield* readLog(folder, source.run)
  const reports = entries.flatMap((entry) => {
    if (entry._tag !== "Progress" || entry.stage !== source.stage) return []
    const { metrics, seconds, step } = entry
    return [{ step, seconds, metrics }]
  })
  if (found === undefined && reports.length === 0) {
    const candidates = status.stages.map((each) => each.stage)
    const message = `run ${record.run} has no stage ${stage}; there ${candidates.length === 1 ? "is" : "are"} ${candidates.join(", ")}`
    return yield* new LineageError({ reference: stage, candidates, message })
  }
  return { last: found?.metrics ?? {}, reports }
})
