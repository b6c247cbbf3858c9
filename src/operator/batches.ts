/**
 * What an operator that is pure per batch of rows is given back of what it made before.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import type { Artifact, ArtifactError, BlobSink } from "./artifact.ts"
import type { Origins } from "./origins.ts"

/**
 * One pure map over the batches of a table: `over` is the input port that the table came in through, `output` tells the maps of one operator apart,
 * and `key` is all that the map depends on beside the rows, the operator's parameters and its other inputs.
 */
export interface BatchMap {
  readonly over: string
  readonly output: string
  readonly key: Json
}

/**
 * Rows that a batch gave before: rows `first` to `first + rows` of a table in `file`, whose logical digest is `digest`; `origins`, where they are
 * known, say which of the batch's rows each came from.
 */
export interface KnownRows {
  readonly file: string
  readonly first: number
  readonly rows: number
  readonly digest: string
  readonly origins?: Origins | undefined
}

/**
 * `find`: what a map gave for the batch with this logical digest; undefined where it must be made. `keep`: keeps what was made of some batches, as a
 * table that `encode` writes, so that a stage that is cut off need not make it again; `isDue` says when that is worth its cost. Outside of a run
 * nothing is known, and nothing is kept.
 */
export const BatchMemo = Context.Reference<{
  readonly find: (map: BatchMap, batch: string) => Effect.Effect<KnownRows | undefined>
  readonly isDue: Effect.Effect<boolean>
  readonly keep: (
    map: BatchMap,
    batches: ReadonlyArray<MappedBatch>,
    encode: (sink: BlobSink) => Effect.Effect<Artifact, ArtifactError>
  ) => Effect.Effect<void, ArtifactError>
}>("ptmflow/operator/BatchMemo", {
  defaultValue: () => ({
    find: () => Effect.undefined,
    isDue: Effect.succeed(false),
    keep: () => Effect.void
  })
})

/** What became of one batch of the input: the logical digests of it and of the rows it gave, how many these are, and whether they were made anew. */
export interface MappedBatch {
  readonly batch: string
  readonly digest: string
  readonly rows: number
  readonly made: boolean
  /** Which of the batch's rows each came from, where that is known. */
  readonly origins?: Origins | undefined
}

/** How a table came about batch by batch, in order; `complete` once all of it was read. */
export interface BatchTrace {
  readonly map: BatchMap
  batches: ReadonlyArray<MappedBatch>
  complete: boolean
}

/** The trace of a value, where it is a table that was mapped batch by batch. */
export const traceOf = (value: unknown): BatchTrace | undefined =>
  typeof value === "object" && value !== null && "trace" in value ? (value.trace as BatchTrace | undefined) : undefined
