/**
 * Rows of a given schema from .jsonl, .csv, .parquet and .arrow files.
 *
 * @since 0.1.0
 */
import { extname } from "node:path"
import * as Stream from "effect/Stream"
import { OperatorError, type SourceFile } from "../../src/operator/operator.ts"
import { type Column, columns } from "../../src/table/columns.ts"
import * as Table from "../../src/table/index.ts"
import * as Ipc from "../../src/table/ipc.ts"
import { looseRows, readAll } from "./loose-rows.ts"
import type { Reading } from "./text-chunks.ts"

/** The kinds of files that hold rows. */
export const tableExtensions = [".jsonl", ".csv", ".parquet", ".arrow"]

/** The rows of several files, one file after another, as one table. */
export const tableOfFiles = <Row>(
  rowSchema: Table.RowSchema<Row>,
  files: ReadonlyArray<SourceFile>,
  reading: Reading
): Table.Table<Row> =>
  Table.fromBatches(
    rowSchema,
    Stream.flatMap(Stream.fromIterable(files), (file) => batchesOf(rowSchema, file, reading))
  )

const batchesOf = <Row>(rowSchema: Table.RowSchema<Row>, file: SourceFile, reading: Reading) => {
  const { name } = file
  if (extname(file.path).toLowerCase() === ".arrow") {
    const table = Table.fromBatches(rowSchema, Ipc.read(file.path, name), { name })
    return Stream.mapError(table.batches, (error) => toOperatorError(error, reading, name, undefined))
  }
  return Stream.suspend(() => {
    const places: Array<string> = []
    const wanted = columns(rowSchema).all
    const isCsv = extname(file.path).toLowerCase() === ".csv"
    const rows = readAll(() => looseRows(file, reading), file, reading).pipe(
      Stream.flattenIterable,
      Stream.map(({ place, value }) => {
        places.push(place)
        return (isCsv ? fromCells(wanted, value) : value) as Row
      })
    )
    const table = Table.fromRows(rowSchema, rows, { name })
    return Stream.mapError(table.batches, (error) => toOperatorError(error, reading, name, places))
  })
}

const toOperatorError = (
  error: Table.ReadError,
  { operator }: Reading,
  name: string,
  places: ReadonlyArray<string> | undefined
): OperatorError => {
  if (error._tag === "ArtifactError") return new OperatorError({ operator, place: error.place, message: error.message })
  const place = error.row === undefined ? undefined : (places?.[error.row] ?? `row ${error.row}`)
  return new OperatorError({
    operator,
    place: [name, place, `column "${error.column}"`].filter((part) => part !== undefined).join(", "),
    message: place?.startsWith("line") === true ? `${error.message} (${place})` : error.message
  })
}

const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/

/** A CSV record with its texts read as what the columns hold; a text that cannot be so read stays, and is refused as a row's value. */
const fromCells = (wanted: ReadonlyArray<Column>, record: { readonly [name: string]: unknown }) => {
  const row: Record<string, unknown> = { ...record }
  for (const column of wanted) {
    if (column.name in row) row[column.name] = fromCell(column, String(row[column.name]))
  }
  return row
}

/** An empty cell is a null where the column has them; lists and structs are written as JSON. */
const fromCell = ({ missing, type }: Column, text: string): unknown => {
  if (text === "" && missing !== "never") return null
  switch (type.kind) {
    case "utf8":
      return text
    case "bool":
      return ({ true: true, false: false, 1: true, 0: false } as Record<string, boolean>)[text.toLowerCase()] ?? text
    case "list":
    case "struct":
      try {
        return JSON.parse(text)
      } catch {
        return text
      }
    case "bigint":
      return /^\s*[+-]?\d+\s*$/.test(text) ? BigInt(text) : text
    default:
      return NUMBER.test(text) ? Number(text) : text
  }
}
