/**
 * Arrow to cells: foreign record batches are cast to a row's columns where nothing is lost, and refused by column, row and value elsewhere.
 *
 * @since 0.1.0
 */
import { isUtf8 } from "node:buffer"
import type { Data, RecordBatch } from "apache-arrow"
import type { Arrow, Batch } from "./arrow.ts"
import { type Cells, gather, structReader, type Values } from "./cells.ts"
import { cellsBuilder, Misfit, stored, wantedOf } from "./cells-builder.ts"
import { type Column, type Columns, inWords } from "./columns.ts"
import { misfit, missingColumn, wrongType } from "./misfit.ts"

/** What errors tell of foreign batches: where they come from, and how many rows came before. */
export interface Origin {
  readonly table: string
  readonly firstRow: number
}

/** A misfit at a row of some cells: the lists and structs around it add to its path. */
class RowMisfit extends Misfit {
  readonly row: number
  constructor(row: number, path: string, value: unknown, wanted: string) {
    super(path, value, wanted)
    this.row = row
  }
}

/** A column whose Arrow type cannot be cast. */
class TypeMisfit extends Misfit {}

/**
 * The cells of a record batch: columns by name, in any order, others left out. Cast are: smaller integers to larger, dictionaries to their
 * values, integral floats to integers, numbers to float32 (rounded). Throws `TableError`.
 */
export const fromRecordBatch = (arrow: Arrow, columns: Columns, batch: RecordBatch, origin: Origin): Batch => {
  const { table, firstRow } = origin
  const names = batch.schema.fields.map(({ name }) => name)
  const cells = columns.all.map((column) => {
    const at = names.indexOf(column.name)
    if (at < 0 && column.missing === "never") throw missingColumn(table, column, names)
    // Arrow shows a file of no batches as one batch of no rows and no arrays.
    const data = batch.numRows === 0 ? undefined : batch.data.children[at]
    try {
      return data === undefined ? nulls(column, batch.numRows) : fromData(arrow, column, data, undefined)
    } catch (error) {
      if (error instanceof TypeMisfit) {
        throw wrongType(table, `${column.name}${error.path}`, String(error.value), error.wanted)
      }
      if (!(error instanceof RowMisfit)) throw error
      throw misfit(table, `${column.name}${error.path}`, firstRow + error.row, error.value, error.wanted)
    }
  })
  const result = { length: batch.numRows, cells }
  check(columns, result, origin)
  return result
}

const nulls = (column: Column, length: number): Cells => {
  const builder = cellsBuilder(column)
  for (let i = 0; i < length; i++) builder.append(null)
  return builder.finish()
}

/** Throws the `TableError` of the first value that the row schema's own checks refuse. */
export const check = (columns: Columns, batch: Batch, { firstRow, table }: Origin): void => {
  if (columns.checks.size === 0 && columns.checkRow === undefined) return
  const read = structReader(columns.all, batch.cells)
  for (let i = 0; i < batch.length; i++) {
    const row = read(i)
    for (const [name, wrong] of columns.checks) {
      const message = name in row ? wrong(row[name]) : undefined
      if (message !== undefined) throw misfit(table, name, firstRow + i, row[name], `allowed: ${message}`)
    }
    const message = columns.checkRow?.(row)
    if (message !== undefined) throw misfit(table, "*", firstRow + i, row, `allowed: ${message}`)
  }
}

const unpackBits = (bits: Uint8Array, from: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (bits[(from + i) >> 3]! >> ((from + i) & 7)) & 1
  return bytes
}

/** One byte a row: 0 where `data` is null. Undefined where it never is. */
const validity = (arrow: Arrow, data: Data): Uint8Array | undefined => {
  if (arrow.DataType.isNull(data.type)) return new Uint8Array(data.length)
  return data.nullCount === 0 ? undefined : unpackBits(data.nullBitmap, data.offset, data.length)
}

/** `needed` has a 0 where a list or struct around the column is null: what stands there is never looked at. */
const fromData = (arrow: Arrow, column: Column, data: Data, needed: Uint8Array | undefined): Cells => {
  const own = validity(arrow, data)
  if (own !== undefined && column.missing === "never") {
    const row = own.findIndex((valid, i) => valid === 0 && needed?.[i] !== 0)
    if (row >= 0) throw new RowMisfit(row, "", null, inWords(column))
  }
  const live = own === undefined ? needed : needed === undefined ? own : own.map((valid, i) => valid & needed[i]!)
  const cells = liveCells(arrow, column, data, live)
  return column.missing === "never" || live?.includes(0) !== true ? cells : { ...cells, valid: live }
}

/** The cells of a column without its validity, with zeros where `live` has one. */
const liveCells = (arrow: Arrow, column: Column, data: Data, live: Uint8Array | undefined): Cells => {
  const { length } = data
  const { type } = column
  const { DataType } = arrow
  if (DataType.isNull(data.type)) return { ...nulls({ ...column, missing: "null" }, length), valid: undefined }
  if (DataType.isDictionary(data.type)) return fromDictionary(arrow, column, data, live)
  switch (type.kind) {
    case "utf8": {
      const { offsets, values } = textOf(arrow, column, data)
      const row = firstInvalid(offsets, values, live)
      if (row >= 0) {
        throw new RowMisfit(row, "", hex(values.subarray(offsets[row], offsets[row + 1])), "valid UTF-8")
      }
      return compact(column, { length, valid: undefined, values, offsets, children: [] }, live)
    }
    case "bool": {
      if (!DataType.isBool(data.type)) throw new TypeMisfit("", data.type, inWords(column))
      const values = unpackBits(data.values as Uint8Array, data.offset, length)
      return flat(live === undefined ? values : values.map((value, i) => value & live[i]!))
    }
    case "list": {
      const offsets = listOffsets(arrow, column, data)
      const child = data.children[0]!.slice(offsets[0]!, offsets[length]! - offsets[0]!)
      const starts = offsets[0] === 0 ? offsets : offsets.map((offset) => offset - offsets[0]!)
      const item = within(
        (row) => {
          const parent = rowOf(starts, row)
          return [parent, `[${row - starts[parent]!}]`]
        },
        "[]",
        () => fromData(arrow, type.item, child, itemsNeeded(starts, live))
      )
      return compact(
        column,
        { length, valid: undefined, values: new Uint8Array(0), offsets: starts, children: [item] },
        live
      )
    }
    case "struct": {
      if (!DataType.isStruct(data.type)) throw new TypeMisfit("", data.type, inWords(column))
      const names = data.type.children.map(({ name }: { readonly name: string }) => name)
      const children = type.fields.map((field) =>
        within(
          (row) => [row, `.${field.name}`],
          `.${field.name}`,
          () => {
            const child = data.children[names.indexOf(field.name)]
            if (child !== undefined) return fromData(arrow, field, child, live)
            if (field.missing !== "never") return nulls(field, length)
            throw new TypeMisfit("", "not there", inWords(field))
          }
        )
      )
      return { length, valid: undefined, values: new Uint8Array(0), offsets: undefined, children }
    }
    default:
      return flat(numbersOf(arrow, column, data, live))
  }
}

const flat = (values: Values): Cells => ({
  length: values.length,
  valid: undefined,
  values,
  offsets: undefined,
  children: []
})

/** Runs `make`; a misfit at one of its rows becomes one at a row of the list or struct around it. */
const within = (
  place: (row: number) => readonly [row: number, path: string],
  name: string,
  make: () => Cells
): Cells => {
  try {
    return make()
  } catch (error) {
    if (error instanceof TypeMisfit) throw new TypeMisfit(`${name}${error.path}`, error.value, error.wanted)
    if (!(error instanceof RowMisfit)) throw error
    const [row, path] = place(error.row)
    throw new RowMisfit(row, `${path}${error.path}`, error.value, error.wanted)
  }
}

const fromDictionary = (arrow: Arrow, column: Column, data: Data, live: Uint8Array | undefined): Cells => {
  const chunks = data.dictionary?.data ?? []
  const present: Column = { ...column, missing: "null" }
  const parts = chunks.map((chunk: Data) => fromData(arrow, present, chunk, undefined))
  const words = gather(
    present,
    parts.map((cells: Cells) => ({ cells, from: 0, to: cells.length }))
  )
  const indices = data.values as Int32Array
  const spans = Array.from({ length: data.length }, (_, row) => {
    if (live?.[row] === 0) return { cells: nulls(present, 1), from: 0, to: 1 }
    const index = Number(indices[row])
    if (words.valid?.[index] === 0) throw new RowMisfit(row, "", null, inWords(column))
    return { cells: words, from: index, to: index + 1 }
  })
  return { ...gather(present, spans), valid: undefined }
}

/** Where `live` is 0, lists and texts become empty. */
const compact = (column: Column, cells: Cells, live: Uint8Array | undefined): Cells => {
  const offsets = cells.offsets!
  const hidden = live?.findIndex((alive, i) => alive === 0 && offsets[i] !== offsets[i + 1]) ?? -1
  if (live === undefined || hidden < 0) return cells
  const none = nulls({ ...column, missing: "null" }, 1)
  const spans = Array.from(live, (alive, i) =>
    alive === 0 ? { cells: { ...none, valid: undefined }, from: 0, to: 1 } : { cells, from: i, to: i + 1 }
  )
  return gather(column, spans)
}

const itemsNeeded = (offsets: Int32Array, live: Uint8Array | undefined): Uint8Array | undefined => {
  if (live === undefined || !live.includes(0)) return undefined
  const needed = new Uint8Array(offsets.at(-1)!)
  for (let i = 0; i < live.length; i++) if (live[i] === 1) needed.fill(1, offsets[i], offsets[i + 1])
  return needed
}

/** The row in which item `index` of a list column lies: the last whose offset is not past it. */
const rowOf = (offsets: Int32Array, index: number): number => {
  let [low, high] = [0, offsets.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (offsets[middle]! <= index) low = middle
    else high = middle
  }
  return low
}

const narrow = (offsets: Int32Array | BigInt64Array, length: number): Int32Array =>
  offsets instanceof Int32Array
    ? offsets.subarray(0, length + 1)
    : Int32Array.from(offsets.subarray(0, length + 1), Number)

const listOffsets = ({ DataType }: Arrow, column: Column, data: Data): Int32Array => {
  const { type } = data
  if (DataType.isFixedSizeList(type)) {
    const { listSize } = type
    return Int32Array.from({ length: data.length + 1 }, (_, i) => i * listSize)
  }
  if (!DataType.isList(type) && !DataType.isLargeList(type)) throw new TypeMisfit("", type, inWords(column))
  return data.length === 0 ? new Int32Array(1) : narrow(data.valueOffsets, data.length)
}

/** The bytes of a text column, and where each row's begin and end. */
const textOf = ({ DataType }: Arrow, column: Column, data: Data): { offsets: Int32Array; values: Uint8Array } => {
  const { length, type } = data
  if (DataType.isUtf8View(type)) return textOfViews(data)
  if (!DataType.isUtf8(type) && !DataType.isLargeUtf8(type)) throw new TypeMisfit("", type, inWords(column))
  if (length === 0) return { offsets: new Int32Array(1), values: new Uint8Array(0) }
  const offsets = narrow(data.valueOffsets as Int32Array | BigInt64Array, length)
  const first = offsets[0]!
  const values = data.values.subarray(first, offsets[length])
  return { offsets: first === 0 ? offsets : offsets.map((offset) => offset - first), values }
}

/** Views are 16 bytes a row: the length, then up to 12 bytes of text, or 4 bytes of it, the number of a buffer and where in it. */
const textOfViews = (data: Data): { offsets: Int32Array; values: Uint8Array } => {
  const bytes = data.values as Uint8Array
  const views = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const offsets = new Int32Array(data.length + 1)
  const texts: Array<Uint8Array> = []
  for (let i = 0; i < data.length; i++) {
    const at = i * 16
    const size = data.getValid(i) ? views.getInt32(at, true) : 0
    const start = views.getInt32(at + 12, true)
    texts.push(
      size <= 12
        ? bytes.subarray(at + 4, at + 4 + size)
        : data.variadicBuffers[views.getInt32(at + 8, true)]!.subarray(start, start + size)
    )
    offsets[i + 1] = offsets[i]! + size
  }
  return { offsets, values: Buffer.concat(texts) }
}

/** The first row whose text is not UTF-8, or -1: all bytes together are tried first, and that no row begins inside a character. */
const firstInvalid = (offsets: Int32Array, values: Uint8Array, live: Uint8Array | undefined): number => {
  if (isUtf8(values) && offsets.every((offset) => (values[offset]! & 0xc0) !== 0x80)) return -1
  for (let i = 0; i + 1 < offsets.length; i++) {
    if (live?.[i] !== 0 && !isUtf8(values.subarray(offsets[i], offsets[i + 1]))) return i
  }
  return -1
}

const hex = (bytes: Uint8Array) => `bytes ${Buffer.from(bytes.subarray(0, 24)).toString("hex")}`

const arrays = {
  int32: Int32Array,
  int64: BigInt64Array,
  bigint: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array
} as const

/** The values of a column of numbers. The arrays of the batch themselves where the types agree and no row is null. */
const numbersOf = (arrow: Arrow, column: Column, data: Data, live: Uint8Array | undefined): Values => {
  const { kind } = column.type as { readonly kind: keyof typeof arrays }
  const { DataType } = arrow
  if (!DataType.isInt(data.type) && !DataType.isFloat(data.type)) throw new TypeMisfit("", data.type, inWords(column))
  const target = arrays[kind]
  const half = DataType.isFloat(data.type) && data.type.precision === arrow.Precision.HALF
  const source: ArrayLike<number | bigint> = half
    ? Float64Array.from({ length: data.length }, (_, i) => arrow.util.uint16ToFloat64(data.values[i]))
    : data.values.subarray(0, data.length)
  if (source instanceof target && live === undefined && kind !== "int64") return source
  const values = new target(data.length)
  for (let i = 0; i < values.length; i++) {
    if (live?.[i] === 0) continue
    const value = stored(kind, source[i])
    if (value === undefined) throw new RowMisfit(i, "", source[i], wantedOf(kind))
    values[i] = value as never
  }
  return values
}
