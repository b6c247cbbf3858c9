/**
 * The port of tables: an artifact of kind `table` with one part, an Arrow IPC file whose record batches are cut by content.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type Artifact, ArtifactError } from "../operator/artifact.ts"
import type { Port } from "../operator/port.ts"
import { arrowSchema, load, toRecordBatch } from "./arrow.ts"
import { columns, inWords, type RowSchema } from "./columns.ts"
import { cutByContent } from "./cut.ts"
import { tableDigest } from "./digest.ts"
import * as Ipc from "./ipc.ts"
import { missingColumn } from "./misfit.ts"
import { conform, fromCells, type ReadError, type Table } from "./table.ts"

const KIND = "table"
const PART = "table.arrow"

const toArtifactError = (error: ReadError): ArtifactError => {
  if (error instanceof ArtifactError) return error
  const row = error.row === undefined ? "" : `, row ${error.row}`
  return new ArtifactError({ place: `column "${error.column}"${row}`, message: error.message })
}

/**
 * The port of tables with these rows. A table with more columns than `rowSchema` fits, and shows only those; one with a column less is
 * refused. Throws a `TableError` if a field of `rowSchema` has no Arrow type.
 */
export const of = <Row>(rowSchema: RowSchema<Row>): Port<Table<Row>> => {
  const { all } = columns(rowSchema)
  const schema = Object.fromEntries(all.map((column) => [column.name, inWords(column)]))
  return {
    kind: KIND,
    contract: all.map(({ name }) => [name, schema[name]!]),
    encode: Effect.fnUntraced(function* (table, sink) {
      const arrow = yield* Effect.promise(load)
      const digest = tableDigest(all)
      let batches = 0
      const cells = conform(rowSchema, table.batches, "table").pipe(
        cutByContent(all),
        Stream.mapError(toArtifactError),
        Stream.tap((batch) => {
          digest.add(batch)
          batches++
          // A batch takes some milliseconds: others get their turn after each.
          return Effect.yieldNow
        })
      )
      const ipcSchema = arrowSchema(arrow, all)
      const bytes = Ipc.write(
        arrow,
        ipcSchema,
        Stream.map(cells, (batch) => toRecordBatch(arrow, ipcSchema, all, batch))
      )
      const blob = yield* sink.put(bytes)
      return {
        kind: KIND,
        digest: digest.finish(),
        parts: { [PART]: blob },
        meta: { rows: digest.rows(), batches, schema }
      }
    }),
    decode: Effect.fnUntraced(function* (artifact, source) {
      const { present, rows } = yield* metaOf(artifact)
      const blob = artifact.parts[PART]!
      for (const column of all) {
        if (!present.includes(column.name) && column.missing === "never") {
          return yield* toArtifactError(missingColumn("table", column, present))
        }
      }
      const path = yield* source.path(blob)
      const cells = conform(rowSchema, Ipc.read(path, "table"), "table")
      return fromCells({ rowSchema, numRows: rows, digest: artifact.digest, cells })
    })
  }
}

/** What an artifact says of its table, if it is one. */
const metaOf = (artifact: Artifact) => {
  const { rows, schema } = artifact.meta
  return artifact.kind === KIND &&
    artifact.parts[PART] !== undefined &&
    typeof rows === "number" &&
    typeof schema === "object" &&
    schema !== null
    ? Effect.succeed({ rows, present: Object.keys(schema) })
    : Effect.fail(
        new ArtifactError({
          place: artifact.digest,
          message: `a table was wanted, and this artifact is a ${artifact.kind}`
        })
      )
}
