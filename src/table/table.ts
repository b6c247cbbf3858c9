/**
 * A table: a sequence of Arrow record batches with one schema, whose rows have the type of an Effect `Schema.Struct`.
 *
 * @since 0.1.0
 */
import type { RecordBatch } from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ArtifactError } from "../operator/artifact.ts"
import type { BatchTrace } from "../operator/batches.ts"
import { makeOrigins, type Origins } from "../operator/origins.ts"
import { type RowRanges, rangesOf } from "../operator/row-ranges.ts"
import { arrowSchema, type Batch, load, toRecordBatch } from "./arrow.ts"
import { structReader } from "./cells.ts"
import { cellsBuilder, Misfit } from "./cells-builder.ts"
import { type Columns, columns, type RowSchema } from "./columns.ts"
import { check, fromRecordBatch } from "./from-arrow.ts"
import { misfit, missingColumn } from "./misfit.ts"
import { TableError } from "./table-error.ts"

/** What can go wrong while a table is read. */
export type ReadError = ArtifactError | TableError

/**
 * A table of rows, in memory or read batch by batch from where it is kept. Its streams may be run any number of times. `numRows` is
 * undefined for a table made from a stream that was not written yet; a table that comes in through a port always has it.
 */
export interface Table<out Row> {
  readonly rowSchema: RowSchema<Row>
  readonly numRows: number | undefined
  /** The logical digest (the same however rows are cut into batches), where it is known. */
  readonly digest: string | undefined
  /** Arrow record batches, with exactly the columns of `rowSchema` in its order. */
  readonly batches: Stream.Stream<RecordBatch, ReadError>
  /** Rows, decoded batch by batch; `Int32List` and `Float32List` columns are typed arrays that view the batch. */
  readonly rows: Stream.Stream<Row, ReadError>
  /** The same batches as ptmflow holds them: flat arrays in canonical form. */
  readonly cells: Stream.Stream<Batch, ReadError>
  /** How it came about, where it was mapped batch by batch. */
  readonly trace?: BatchTrace
  /** Which rows of its operator's inputs its rows came from, by input port, as far as it is known; asked when the table has been read. */
  readonly origins?: () => { readonly [port: string]: Origins }
}

/** A table over a stream of cells. */
export const fromCells = <Row>(options: {
  readonly rowSchema: RowSchema<Row>
  readonly numRows: number | undefined
  readonly digest: string | undefined
  readonly cells: Stream.Stream<Batch, ReadError>
}): Table<Row> => {
  const { cells, digest, numRows, rowSchema } = options
  const { all } = columns(rowSchema)
  return {
    rowSchema,
    numRows,
    digest,
    cells,
    batches: Stream.unwrap(
      Effect.map(Effect.promise(load), (arrow) => {
        const schema = arrowSchema(arrow, all)
        return Stream.map(cells, (batch) => toRecordBatch(arrow, schema, all, batch))
      })
    ),
    rows: cells.pipe(
      Stream.map((batch) => {
        const read = structReader(all, batch.cells)
        return Array.from({ length: batch.length }, (_, row) => read(row) as Row)
      }),
      Stream.flattenIterable
    )
  }
}

/** Runs what may throw a `TableError`. */
const attempt = <A>(evaluate: () => A): Effect.Effect<A, TableError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(evaluate())
    } catch (error) {
      return error instanceof TableError ? Effect.fail(error) : Effect.die(error)
    }
  })

/** Any error as one of reading a table. */
export const toReadError = (error: { readonly message: string; readonly place?: unknown }): ReadError =>
  error instanceof ArtifactError || error instanceof TableError
    ? error
    : new ArtifactError({ place: typeof error.place === "string" ? error.place : "rows", message: error.message })

/** A batch is closed when it has this many bytes, however few rows. */
const BATCH_BYTES = 4 * 1024 * 1024

/**
 * A table of rows, in memory or of a stream, in batches of at most `batchRows` rows (default 4096) and about 4 MiB. A row that does not fit
 * is a `TableError` when the table is read. Other errors of the stream become `ArtifactError`s with their message. `name` is what errors
 * call the table; `from` says which row (or rows, in any order) of an input each row came from, by the input's port, so that lineage can follow rows.
 */
export const fromRows = <Row, E extends { readonly message: string } = never>(
  rowSchema: RowSchema<Row>,
  rows: Iterable<Row> | Stream.Stream<Row, E>,
  options?: {
    readonly batchRows?: number
    readonly name?: string
    readonly from?: { readonly [port: string]: Iterable<number | ReadonlyArray<number>> }
  }
): Table<Row> => {
  const wanted = columns(rowSchema)
  const inMemory = Stream.isStream(rows) ? undefined : Array.isArray(rows) ? (rows as ReadonlyArray<Row>) : [...rows]
  const { batchRows = 4096, name = "table" } = options ?? {}
  const source: Stream.Stream<Row, ReadError> = Stream.isStream(rows)
    ? Stream.mapError(rows as Stream.Stream<Row, E>, toReadError)
    : Stream.fromIterable(inMemory!, { chunkSize: batchRows })
  const packed = source.pipe(
    Stream.mapAccumArrayEffect(
      () => makePacker(wanted, name, batchRows),
      (packer, array) =>
        Effect.map(
          attempt(() => array.flatMap(packer.push)),
          (batches) => [packer, batches] as const
        ),
      { onHalt: (packer) => packer.rest() }
    )
  )
  const cells = inOrder(packed, (batch, firstRow) => {
    check(wanted, batch, { table: name, firstRow })
    return batch
  })
  const table = fromCells({ rowSchema, numRows: inMemory?.length, digest: undefined, cells })
  const from = options?.from
  return from === undefined ? table : { ...table, origins: () => mapValues(from, originsOfRows) }
}

const mapValues = <A, B>(record: { readonly [name: string]: A }, f: (value: A) => B): { readonly [name: string]: B } =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value)]))

const originsOfRows = (rows: Iterable<number | ReadonlyArray<number>>): Origins => {
  const origins = makeOrigins()
  for (const from of rows) {
    const ranges: RowRanges = typeof from === "number" ? [[from, from]] : rangesOf(from)
    origins.add(ranges)
  }
  return origins.runs()
}

/** Maps batches with the number, in the table, of their first row; `f` may throw a `TableError`. */
const inOrder = <A extends Batch | RecordBatch>(
  batches: Stream.Stream<A, ReadError>,
  f: (batch: A, firstRow: number) => Batch
): Stream.Stream<Batch, ReadError> =>
  Stream.mapAccumEffect(
    batches,
    () => 0,
    (firstRow, batch) =>
      Effect.map(
        attempt(() => f(batch, firstRow)),
        (result) => [firstRow + result.length, [result]] as const
      )
  )

/** Gathers rows into batches. */
const makePacker = (wanted: Columns, name: string, batchRows: number) => {
  let builders = wanted.all.map(cellsBuilder)
  let length = 0
  let before = 0
  const close = (): ReadonlyArray<Batch> => {
    const batch = { length, cells: builders.map((builder) => builder.finish()) }
    builders = wanted.all.map(cellsBuilder)
    before += length
    length = 0
    return [batch]
  }
  return {
    push: (row: unknown): ReadonlyArray<Batch> => {
      if (typeof row !== "object" || row === null) throw misfit(name, "*", before + length, row, "a row")
      for (let i = 0; i < builders.length; i++) {
        const column = wanted.all[i]!.name
        const value = (row as Record<string, unknown>)[column]
        try {
          builders[i]!.append(value)
        } catch (error) {
          if (!(error instanceof Misfit)) throw error
          if (!(column in row)) throw missingColumn(name, wanted.all[i]!, Object.keys(row), before + length)
          throw misfit(name, `${column}${error.path}`, before + length, error.value, error.wanted)
        }
      }
      length++
      const bytes = builders.reduce((sum, builder) => sum + builder.bytes(), 0)
      return length >= batchRows || bytes >= BATCH_BYTES ? close() : []
    },
    rest: (): ReadonlyArray<Batch> => (length === 0 ? [] : close())
  }
}

/**
 * A table of record batches, or of a stream of them, checked against `rowSchema` and cast to its Arrow types where nothing is lost. A batch
 * that does not fit is a `TableError` when the table is read. `name` is what errors call the table.
 */
export const fromBatches = <Row, E extends { readonly message: string } = never>(
  rowSchema: RowSchema<Row>,
  batches: Iterable<RecordBatch> | Stream.Stream<RecordBatch, E>,
  options?: { readonly name?: string }
): Table<Row> => {
  const inMemory = Stream.isStream(batches) ? undefined : [...batches]
  const source = Stream.isStream(batches)
    ? Stream.mapError(batches as Stream.Stream<RecordBatch, E>, toReadError)
    : Stream.fromIterable(inMemory!)
  const numRows = inMemory?.reduce((sum, batch) => sum + batch.numRows, 0)
  const cells = conform(rowSchema, source, options?.name ?? "table")
  return fromCells({ rowSchema, numRows, digest: undefined, cells })
}

/** The rows of several tables, those of the first first. */
export const concat = <Row>(rowSchema: RowSchema<Row>, tables: ReadonlyArray<Table<Row>>): Table<Row> => {
  const counts = tables.map(({ numRows }) => numRows)
  const numRows = counts.includes(undefined) ? undefined : counts.reduce<number>((sum, n) => sum + n!, 0)
  const batches = Stream.flatMap(Stream.fromIterable(tables), (table) => table.batches)
  return fromCells({ rowSchema, numRows, digest: undefined, cells: conform(rowSchema, batches, "table") })
}

/** Record batches as cells of the columns of `rowSchema`. */
export const conform = <Row>(
  rowSchema: RowSchema<Row>,
  batches: Stream.Stream<RecordBatch, ReadError>,
  table: string
): Stream.Stream<Batch, ReadError> =>
  Stream.unwrap(
    Effect.map(Effect.promise(load), (arrow) =>
      inOrder(batches, (batch, firstRow) => fromRecordBatch(arrow, columns(rowSchema), batch, { table, firstRow }))
    )
  )

/** All rows of a table. */
export const collect = <Row>(table: Table<Row>): Effect.Effect<Array<Row>, ReadError> => Stream.runCollect(table.rows)

/** The number of rows of a table, counted by reading it where it is not known. */
export const count = <Row>(table: Table<Row>): Effect.Effect<number, ReadError> =>
  table.numRows === undefined
    ? Stream.runFold(
        table.batches,
        () => 0,
        (sum, batch) => sum + batch.numRows
      )
    : Effect.succeed(table.numRows)
