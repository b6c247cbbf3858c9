/**
 * How a value, row or column that does not fit is told.
 *
 * @since 0.1.0
 */
import { type Column, inWords } from "./columns.ts"
import { TableError } from "./table-error.ts"

/** A value in words, at most 80 characters. */
export const show = (value: unknown): string => {
  const text =
    typeof value === "bigint"
      ? `${value}n`
      : typeof value === "string" || (typeof value === "object" && value !== null)
        ? (JSON.stringify(value, (_, item) => (typeof item === "bigint" ? `${item}n` : item)) ?? String(value))
        : String(value)
  return text.length <= 80 ? text : `${text.slice(0, 79).toWellFormed()}…`
}

/** The error for a value of row `row` of a table; `wanted` goes on the sentence "... is not". */
export const misfit = (table: string, column: string, row: number, value: unknown, wanted: string): TableError =>
  new TableError({
    table,
    column,
    row,
    value: show(value),
    message: `${table}: column "${column}", row ${row}: ${show(value)} is not ${wanted}`
  })

/** The error for a column that is not there; `row` is the first row that lacks it, where rows may have different columns. */
export const missingColumn = (
  table: string,
  column: Column,
  present: ReadonlyArray<string>,
  row?: number
): TableError =>
  new TableError({
    table,
    column: column.name,
    ...(row === undefined ? {} : { row }),
    message: `${table}${row === undefined ? "" : `, row ${row}`}: there is no column "${column.name}" (${inWords(column)}); there are: ${present.join(", ") || "none"}`
  })

/** The error for a column of a type from which the wanted one cannot be made. */
export const wrongType = (table: string, path: string, found: string, wanted: string): TableError =>
  new TableError({ table, column: path, message: `${table}: column "${path}" is ${found}, and ${wanted} is wanted` })
