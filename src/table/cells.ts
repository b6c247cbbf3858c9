/**
 * Cells: the values of one column over some rows, as flat arrays. Arrow's layout with two differences: validity and booleans take a byte a
 * row, and the form is canonical (offsets from 0, nothing between or after the values, zero where a row is null), so that equal
 * rows have equal arrays.
 *
 * @since 0.1.0
 */
import type { Column } from "./columns.ts"

/** Flat values: bytes of utf8 or bool, or one element a row. */
export type Values = Uint8Array | Int32Array | BigInt64Array | Float32Array | Float64Array

/**
 * `valid` is one byte a row, absent where no row is null. `values` is empty for lists and structs; `offsets` (length + 1) is there for
 * utf8 and lists; `children` is the item of a list, the fields of a struct.
 */
export interface Cells {
  readonly length: number
  readonly valid: Uint8Array | undefined
  readonly values: Values
  readonly offsets: Int32Array | undefined
  readonly children: ReadonlyArray<Cells>
}

const noValues = new Uint8Array(0)

const emptyValues = (kind: Column["type"]["kind"], length: number): Values => {
  switch (kind) {
    case "utf8":
    case "bool":
      return new Uint8Array(length)
    case "int32":
      return new Int32Array(length)
    case "int64":
    case "bigint":
      return new BigInt64Array(length)
    case "float32":
      return new Float32Array(length)
    case "float64":
      return new Float64Array(length)
    default:
      return noValues
  }
}

/** Rows `from` (inclusive) to `to` (exclusive) of the cells of one batch. */
export interface Span {
  readonly cells: Cells
  readonly from: number
  readonly to: number
}

/** The rows of several spans, one after another, in arrays of their own. */
export const gather = (column: Column, spans: ReadonlyArray<Span>): Cells => {
  const length = spans.reduce((sum, { from, to }) => sum + to - from, 0)
  let valid: Uint8Array | undefined
  if (spans.some(({ cells }) => cells.valid !== undefined)) {
    valid = new Uint8Array(length).fill(1)
    let at = 0
    for (const { cells, from, to } of spans) {
      if (cells.valid !== undefined) valid.set(cells.valid.subarray(from, to), at)
      at += to - from
    }
    if (!valid.includes(0)) valid = undefined
  }
  const { type } = column
  if (type.kind === "struct") {
    const children = type.fields.map((field, index) =>
      gather(
        field,
        spans.map(({ cells, from, to }) => ({ cells: cells.children[index]!, from, to }))
      )
    )
    return { length, valid, values: noValues, offsets: undefined, children }
  }
  if (type.kind !== "list" && type.kind !== "utf8") {
    const values = emptyValues(type.kind, length)
    let at = 0
    for (const { cells, from, to } of spans) {
      values.set(cells.values.subarray(from, to) as never, at)
      at += to - from
    }
    return { length, valid, values, offsets: undefined, children: [] }
  }
  const offsets = new Int32Array(length + 1)
  let row = 0
  let total = 0
  for (const { cells, from, to } of spans) {
    const source = cells.offsets!
    const shift = total - source[from]!
    for (let i = from; i < to; i++) offsets[++row] = source[i + 1]! + shift
    total = offsets[row]!
  }
  const inner = spans.map(({ cells, from, to }) => ({ cells, from: cells.offsets![from]!, to: cells.offsets![to]! }))
  if (type.kind === "list") {
    const item = gather(
      type.item,
      inner.map((span) => ({ ...span, cells: span.cells.children[0]! }))
    )
    return { length, valid, values: noValues, offsets, children: [item] }
  }
  const values = new Uint8Array(total)
  let at = 0
  for (const { cells, from, to } of inner) {
    values.set(cells.values.subarray(from, to) as Uint8Array, at)
    at += to - from
  }
  return { length, valid, values, offsets, children: [] }
}

/** The same of every column of some batches. */
export const gatherColumns = (
  columns: ReadonlyArray<Column>,
  spans: ReadonlyArray<Pick<Span, "from" | "to"> & { readonly batch: { readonly cells: ReadonlyArray<Cells> } }>
): ReadonlyArray<Cells> =>
  columns.map((column, i) =>
    gather(
      column,
      spans.map(({ batch, from, to }) => ({ cells: batch.cells[i]!, from, to }))
    )
  )

/** How row `i` of some cells shows in a row. Typed lists are views on the cells. */
const reader = (column: Column, cells: Cells): ((row: number) => unknown) => {
  const { valid } = cells
  const present = presentReader(column, cells)
  if (valid === undefined) return present
  const missing = column.missing === "null" ? null : undefined
  return (row) => (valid[row] === 0 ? missing : present(row))
}

const presentReader = ({ type }: Column, cells: Cells): ((row: number) => unknown) => {
  const { children, offsets, values } = cells
  switch (type.kind) {
    case "utf8": {
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength)
      const starts = offsets!
      return (row) => bytes.toString("utf8", starts[row], starts[row + 1])
    }
    case "bool":
      return (row) => values[row] === 1
    case "int64":
      return (row) => Number(values[row])
    case "list": {
      const starts = offsets!
      const item = children[0]!
      if (type.typed) return (row) => item.values.subarray(starts[row], starts[row + 1])
      const read = reader(type.item, item)
      return (row) => Array.from({ length: starts[row + 1]! - starts[row]! }, (_, i) => read(starts[row]! + i))
    }
    case "struct":
      return structReader(type.fields, children)
    default:
      return (row) => values[row]
  }
}

/** Row `i` of several columns, as an object. */
export const structReader = (
  columns: ReadonlyArray<Column>,
  cells: ReadonlyArray<Cells>
): ((row: number) => Record<string, unknown>) => {
  const readers = columns.map((column, index) => reader(column, cells[index]!))
  const names = columns.map(({ name }) => name)
  const optional = columns.map(({ missing }) => missing === "absent")
  return (row) => {
    const value: Record<string, unknown> = {}
    for (let i = 0; i < readers.length; i++) {
      const cell = readers[i]!(row)
      if (cell !== undefined || !optional[i]) value[names[i]!] = cell
    }
    return value
  }
}
