/**
 * Building cells from JavaScript values, with the check that each value has its column's type.
 *
 * @since 0.1.0
 */
import type { Cells, Values } from "./cells.ts"
import type { Column, ColumnType } from "./columns.ts"

/** A value that does not fit: `path` is what follows the column's name (`[2].reward`), `value` what was found there. */
export class Misfit extends Error {
  readonly path: string
  readonly value: unknown
  readonly wanted: string
  constructor(path: string, value: unknown, wanted: string) {
    super(wanted)
    this.path = path
    this.value = value
    this.wanted = wanted
  }
}

/** Takes the values of one column, row by row. `append` throws `Misfit` and then the builder is of no more use. */
export interface CellsBuilder {
  readonly append: (value: unknown) => void
  /** Bytes taken so far, about. */
  readonly bytes: () => number
  readonly finish: () => Cells
}

/** A flat array that doubles when full. */
const growable = <T extends Values>(make: (length: number) => T) => {
  let array = make(1024)
  let length = 0
  return {
    /** Room for `count` more; the caller writes at the returned index and then takes it. */
    reserve: (count: number): number => {
      if (length + count > array.length) {
        const larger = make(Math.max(array.length * 2, length + count))
        larger.set(array.subarray(0, length) as never)
        array = larger
      }
      return length
    },
    take: (count: number) => {
      length += count
    },
    array: () => array,
    bytes: () => length * array.BYTES_PER_ELEMENT,
    finish: () => array.slice(0, length) as T
  }
}

const scalars: { readonly [kind: string]: { readonly wanted: string; readonly make: (length: number) => Values } } = {
  bool: { wanted: "true or false", make: (n) => new Uint8Array(n) },
  int32: { wanted: "an integer of 32 bits", make: (n) => new Int32Array(n) },
  int64: { wanted: "an integer between -(2^53 - 1) and 2^53 - 1", make: (n) => new BigInt64Array(n) },
  bigint: { wanted: "an integer of 64 bits", make: (n) => new BigInt64Array(n) },
  float32: { wanted: "a number", make: (n) => new Float32Array(n) },
  float64: { wanted: "a number", make: (n) => new Float64Array(n) }
}

/** The value as stored, or undefined if it does not fit. Integers may come as numbers or bigints; nothing is rounded but to float32. */
export const stored = (kind: ColumnType["kind"], value: unknown): number | bigint | undefined => {
  switch (kind) {
    case "bool":
      return typeof value === "boolean" ? Number(value) : undefined
    case "int32":
      if (typeof value === "number") return (value | 0) === value ? value : undefined
      return typeof value === "bigint" && BigInt.asIntN(32, value) === value ? Number(value) : undefined
    case "int64":
      if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : undefined
      return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? value : undefined
    case "bigint":
      if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : undefined
      return typeof value === "bigint" && BigInt.asIntN(64, value) === value ? value : undefined
    default:
      if (typeof value === "number") return value
      return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : undefined
  }
}

/** What a value of this kind must be, in words. */
export const wantedOf = (kind: keyof typeof scalars): string => scalars[kind]!.wanted

/** Notes which rows are null; `append` says whether the value is one, and then what to store in its place is up to the caller. */
const nullable = ({ missing }: Column) => {
  const nulls: Array<number> = []
  let length = 0
  return {
    isNull: (value: unknown): boolean => {
      if ((value !== null && value !== undefined) || missing === "never") return false
      nulls.push(length)
      return true
    },
    next: () => {
      length++
    },
    finish: () => {
      if (nulls.length === 0) return { length, valid: undefined }
      const valid = new Uint8Array(length).fill(1)
      for (const row of nulls) valid[row] = 0
      return { length, valid }
    }
  }
}

const scalarBuilder = (column: Column): CellsBuilder => {
  const { kind } = column.type
  const { make, wanted } = scalars[kind]!
  const values = growable(make)
  const nulls = nullable(column)
  return {
    append: (value) => {
      const cell = nulls.isNull(value) ? (kind === "int64" || kind === "bigint" ? 0n : 0) : stored(kind, value)
      if (cell === undefined) throw new Misfit("", value, wanted)
      const at = values.reserve(1)
      values.array()[at] = cell as never
      values.take(1)
      nulls.next()
    },
    bytes: values.bytes,
    finish: () => ({ ...nulls.finish(), values: values.finish(), offsets: undefined, children: [] })
  }
}

const textBuilder = (column: Column): CellsBuilder => {
  const values = growable((length) => new Uint8Array(length))
  const ends = growable((length) => new Int32Array(length))
  const nulls = nullable(column)
  let writable = Buffer.from(values.array().buffer)
  return {
    append: (value) => {
      if (!nulls.isNull(value)) {
        if (typeof value !== "string") throw new Misfit("", value, "a string")
        if (!value.isWellFormed()) throw new Misfit("", value, "well-formed text (it has half of a surrogate pair)")
        const at = values.reserve(value.length * 3)
        if (writable.buffer !== values.array().buffer) writable = Buffer.from(values.array().buffer)
        values.take(writable.write(value, at, "utf8"))
      }
      appendEnd(ends, values.bytes())
      nulls.next()
    },
    bytes: values.bytes,
    finish: () => ({ ...nulls.finish(), values: values.finish(), offsets: offsetsOf(ends.finish()), children: [] })
  }
}

const appendEnd = (ends: ReturnType<typeof growable<Int32Array>>, end: number) => {
  const at = ends.reserve(1)
  ends.array()[at] = end
  ends.take(1)
}

const offsetsOf = (ends: Int32Array): Int32Array => {
  const offsets = new Int32Array(ends.length + 1)
  offsets.set(ends, 1)
  return offsets
}

const listBuilder = (column: Column, item: Column): CellsBuilder => {
  const items = cellsBuilder(item)
  const ends = growable((length) => new Int32Array(length))
  const nulls = nullable(column)
  let length = 0
  return {
    append: (value) => {
      if (!nulls.isNull(value)) {
        if (typeof value !== "object" || value === null || !(Symbol.iterator in value)) {
          throw new Misfit("", value, "a list")
        }
        const start = length
        for (const element of value as Iterable<unknown>) {
          try {
            items.append(element)
          } catch (error) {
            if (error instanceof Misfit) throw new Misfit(`[${length - start}]${error.path}`, error.value, error.wanted)
            throw error
          }
          length++
        }
      }
      appendEnd(ends, length)
      nulls.next()
    },
    bytes: () => items.bytes() + ends.bytes(),
    finish: () => ({
      ...nulls.finish(),
      values: new Uint8Array(0),
      offsets: offsetsOf(ends.finish()),
      children: [items.finish()]
    })
  }
}

/** Lists of int32 or float32 given as typed arrays are copied whole; other lists go element by element. */
const typedListBuilder = (column: Column, kind: "int32" | "float32"): CellsBuilder => {
  const items = growable<Int32Array | Float32Array>((n) => (kind === "int32" ? new Int32Array(n) : new Float32Array(n)))
  const ends = growable((length) => new Int32Array(length))
  const nulls = nullable(column)
  const appendEach = (value: unknown) => {
    if (typeof value !== "object" || value === null || !(Symbol.iterator in value)) {
      throw new Misfit("", value, `a list of ${kind}`)
    }
    let index = 0
    for (const element of value as Iterable<unknown>) {
      const cell = stored(kind, element)
      if (cell === undefined) throw new Misfit(`[${index}]`, element, scalars[kind]!.wanted)
      const at = items.reserve(1)
      items.array()[at] = Number(cell)
      items.take(1)
      index++
    }
  }
  return {
    append: (value) => {
      if (!nulls.isNull(value)) {
        if (value instanceof (kind === "int32" ? Int32Array : Float32Array)) {
          const at = items.reserve(value.length)
          items.array().set(value, at)
          items.take(value.length)
        } else appendEach(value)
      }
      appendEnd(ends, items.bytes() / 4)
      nulls.next()
    },
    bytes: () => items.bytes() + ends.bytes(),
    finish: () => {
      const values = items.finish()
      const item = { length: values.length, valid: undefined, values, offsets: undefined, children: [] }
      return { ...nulls.finish(), values: new Uint8Array(0), offsets: offsetsOf(ends.finish()), children: [item] }
    }
  }
}

const structBuilder = (column: Column, fields: ReadonlyArray<Column>): CellsBuilder => {
  const builders = fields.map((field) => cellsBuilder(field))
  const nulls = nullable(column)
  return {
    append: (value) => {
      const isNull = nulls.isNull(value)
      if (!isNull && (typeof value !== "object" || value === null)) throw new Misfit("", value, "a struct")
      for (let i = 0; i < builders.length; i++) {
        const { name } = fields[i]!
        if (isNull) builders[i]!.append(filler(fields[i]!))
        else {
          try {
            builders[i]!.append((value as Record<string, unknown>)[name])
          } catch (error) {
            if (error instanceof Misfit) throw new Misfit(`.${name}${error.path}`, error.value, error.wanted)
            throw error
          }
        }
      }
      nulls.next()
    },
    bytes: () => builders.reduce((sum, builder) => sum + builder.bytes(), 0),
    finish: () => ({
      ...nulls.finish(),
      values: new Uint8Array(0),
      offsets: undefined,
      children: builders.map((builder) => builder.finish())
    })
  }
}

/** What fills a field of a null struct. */
const filler = ({ missing, type }: Column): unknown => {
  if (missing !== "never") return null
  switch (type.kind) {
    case "utf8":
      return ""
    case "bool":
      return false
    case "list":
      return []
    case "struct":
      return Object.fromEntries(type.fields.map((field) => [field.name, filler(field)]))
    default:
      return 0
  }
}

/** A builder of one column. */
export const cellsBuilder = (column: Column): CellsBuilder => {
  const { type } = column
  if (type.kind === "utf8") return textBuilder(column)
  if (type.kind === "struct") return structBuilder(column, type.fields)
  if (type.kind !== "list") return scalarBuilder(column)
  const item = type.item.type.kind
  return type.typed && (item === "int32" || item === "float32")
    ? typedListBuilder(column, item)
    : listBuilder(column, type.item)
}
