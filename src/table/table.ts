/**
 * A table: a sequence of Arrow record batches with one schema, whose rows have the type of an Effect `Schema.Struct`.
 *
 * @since 0.1.0
 */
import type { RecordBatch } from "apache-arrow"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { ArtifactError } from "../operator/artifact.ts"
import type { Port } from "../operator/port.ts"
import type { TableError } from "./table-error.ts"

/** A struct schema whose fields have an Arrow type: see `columns.ts` for which. */
export type RowSchema<Row> = Schema.Codec<Row, Row> & { readonly fields: Schema.Struct.Fields }

/** What can go wrong while a table is read. */
export type ReadError = ArtifactError | TableError

/** Rows as an Arrow list of int32, seen as an `Int32Array`. */
export const Int32List = Schema.declare((value: unknown): value is Int32Array => value instanceof Int32Array, {
  identifier: "Int32List"
})

/** Rows as an Arrow list of float32, seen as a `Float32Array`. */
export const Float32List = Schema.declare((value: unknown): value is Float32Array => value instanceof Float32Array, {
  identifier: "Float32List"
})

/**
 * A table of rows, in memory or read batch by batch from a file. Streams may be run any number of times. `numRows` is absent for a table
 * made from a stream until it is written; tables that come in through a port always have it.
 */
export interface Table<out Row> {
  readonly rowSchema: RowSchema<Row>
  readonly numRows: number | undefined
  /** The logical digest (the same however rows are cut into batches), where it is known. */
  readonly digest: string | undefined
  /** Arrow record batches, with exactly the columns of `rowSchema` in its order. */
  readonly batches: Stream.Stream<RecordBatch, ReadError>
  /** Rows, decoded batch by batch; list columns are typed arrays that view the batch. */
  readonly rows: Stream.Stream<Row, ReadError>
}

/** The port of tables with these rows. A table with more columns fits; a missing column is an error that names those present. */
export declare const of: <Row>(rowSchema: RowSchema<Row>) => Port<Table<Row>>

/** A table of rows in memory or of a stream of rows, in batches of `batchRows` (default 4096). A row that does not fit is a `TableError`. */
export declare const fromRows: <Row, E extends { readonly message: string } = never>(
  rowSchema: RowSchema<Row>,
  rows: Iterable<Row> | Stream.Stream<Row, E>,
  options?: { readonly batchRows?: number }
) => Table<Row>

/** A table of record batches (or a stream of them), checked against `rowSchema` and cast to its Arrow types where nothing is lost. */
export declare const fromBatches: <Row, E extends { readonly message: string } = never>(
  rowSchema: RowSchema<Row>,
  batches: Iterable<RecordBatch> | Stream.Stream<RecordBatch, E>
) => Table<Row>

/** All rows as an array. */
export declare const collect: <Row>(table: Table<Row>) => Effect.Effect<Array<Row>, ReadError>

/** The number of rows, counted by reading the batches where it is not known. */
export declare const count: <Row>(table: Table<Row>) => Effect.Effect<number, ReadError>
