/**
 * Which rows of a table a filter keeps, a record batch at a time: of numbers, and of lists of them, the arrays are looked through as they are; of text, a batch
 * that does not have it anywhere is left out at once.
 *
 * @since 0.1.0
 */
import type { Data, Vector } from "apache-arrow"
import type { Json } from "effect/Schema"
import { cell } from "./cell.ts"

/**
 * Rows that are kept: those whose column has the text (in any case), or equals, is below or above the value. A list of numbers has those that follow each other in it: `5, 6` is in
 * `[4, 5, 6]`, and `5` is not in `[56]`.
 */
export interface Filter {
  readonly column: string
  readonly operator: "contains" | "equals" | "below" | "above"
  readonly value: string
}

/** Whether a row is kept. */
type Keeps = (row: number) => boolean

/** Text in which upper and lower case are the same, whatever stands beside it. */
const fold = (text: string): string => text.toLowerCase().replaceAll("ς", "σ")

/** Arrow's type ids of these. */
const INT = 2
const FLOAT = 3
const UTF8 = 5
const LIST = 12

type Numbers = Exclude<Data["values"], BigUint64Array> & ArrayLike<number | bigint>

/** The values of a column of numbers: those of half a word's precision are not as they read. */
const numbersOf = (data: Data): Numbers | undefined =>
  (data.type.typeId === INT || (data.type.typeId === FLOAT && !(data.values instanceof Uint16Array))) &&
  data.offset === 0
    ? (data.values as Numbers)
    : undefined

const wordsOf = (value: Json): string => fold(typeof value === "string" ? value : JSON.stringify(value))

const number = (value: unknown): number => (typeof value === "number" ? value : Number.NaN)

/** Any column, cell by cell. */
const anyCell = ({ operator, value }: Filter): ((cell: Json) => boolean) => {
  const wanted = fold(value)
  const bound = Number(value)
  switch (operator) {
    case "contains":
      return (cell) => cell !== null && wordsOf(cell).includes(wanted)
    case "equals":
      return (cell) => (typeof cell === "number" ? cell === bound : wordsOf(cell) === wanted)
    case "below":
      return (cell) => number(cell) < bound
    case "above":
      return (cell) => number(cell) > bound
  }
}

const ofNumbers = (values: Numbers, { operator, value }: Filter): Keeps => {
  const wanted = fold(value)
  const bound = value.trim() === "" ? Number.NaN : Number(value)
  switch (operator) {
    case "contains":
      return (row) => fold(String(values[row])).includes(wanted)
    case "equals":
      return (row) => Number(values[row]) === bound || fold(String(values[row])) === wanted
    case "below":
      return (row) => Number(values[row]) < bound
    case "above":
      return (row) => Number(values[row]) > bound
  }
}

/** Numbers with commas, spaces or brackets between them; undefined for other text. */
const listOf = (text: string): ReadonlyArray<number> | undefined => {
  const words = text.split(/[\s,[\]]+/).filter((word) => word !== "")
  const numbers = words.map(Number)
  return numbers.length > 0 && numbers.every((each) => !Number.isNaN(each)) ? numbers : undefined
}

/** Rows whose list has the wanted numbers one after another, or no others. */
const ofLists = (offsets: Int32Array, values: Numbers, { operator, value }: Filter): Keeps | undefined => {
  const wanted = listOf(value)
  if (wanted === undefined || operator === "below" || operator === "above") return undefined
  const first = wanted[0]!
  const isAt = (at: number): boolean => {
    for (let i = 1; i < wanted.length; i++) if (Number(values[at + i]) !== wanted[i]) return false
    return true
  }
  return (row) => {
    const start = offsets[row]!
    const last = offsets[row + 1]! - wanted.length
    if (operator === "equals" && start !== last) return false
    for (let at = start; at <= last; at++) if (Number(values[at]) === first && isAt(at)) return true
    return false
  }
}

/** Whether a column of text has it anywhere, within a row or across. */
const mayHave = (data: Data, wanted: string): boolean => {
  const [from, to] = [data.valueOffsets[data.offset] ?? 0, data.valueOffsets[data.offset + data.length] ?? 0]
  const { buffer, byteOffset } = data.values as Uint8Array
  return fold(Buffer.from(buffer, byteOffset + from, to - from).toString()).includes(wanted)
}

/** What the filter keeps of a record batch with this column; undefined where that is no row. */
export const keepsOf = (filter: Filter): ((column: Vector | null) => Keeps | undefined) => {
  const wanted = fold(filter.value)
  const isCell = anyCell(filter)
  return (column) => {
    const data = column?.data[0]
    if (column === null || data === undefined) return undefined
    const { typeId } = data.type
    const any = (row: number) => isCell(cell(column.get(row), Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY))
    // A null is found by its name, as it is shown.
    if (filter.operator === "equals" && wanted === "null") return any
    const valid = (keeps: Keeps | undefined): Keeps | undefined =>
      keeps === undefined || data.nullCount === 0 ? keeps : (row) => data.getValid(row) && keeps(row)
    const numbers = numbersOf(data)
    if (numbers !== undefined) return valid(ofNumbers(numbers, filter))
    const items = typeId === LIST && data.offset === 0 ? data.children[0] : undefined
    const listed = items === undefined || items.nullCount > 0 ? undefined : numbersOf(items)
    if (listed !== undefined) return valid(ofLists(data.valueOffsets as Int32Array, listed, filter))
    if (typeId === UTF8 && (/below|above/.test(filter.operator) || !mayHave(data, wanted))) return undefined
    // A filter looks at the whole of a cell, of which a page shows the beginning.
    return any
  }
}
