/**
 * The columns that an Effect `Schema.Struct` stands for.
 *
 * | Effect                                             | Arrow                    |
 * |----------------------------------------------------|--------------------------|
 * | `String`, literals of strings                      | Utf8                     |
 * | `Boolean`                                          | Bool                     |
 * | `Number`, `Finite`                                 | Float64                  |
 * | `Int` (safe integers)                              | Int64                    |
 * | `Int` checked to lie within 32 bits                | Int32                    |
 * | `BigInt` (64 bits)                                 | Int64                    |
 * | `Int32List`, `Float32List`                         | List<Int32>, List<Float32> |
 * | `Array(item)`                                      | List<item>               |
 * | `Struct`                                           | Struct                   |
 * | `NullOr`, `UndefinedOr`, `optionalKey`, `optional` | the same type, nullable  |
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { TableError } from "./table-error.ts"

/** A struct schema whose fields all have an Arrow type. */
export type RowSchema<Row> = Schema.Codec<Row, Row> & { readonly fields: Schema.Struct.Fields }

/** A list of int32 as one `Int32Array`. */
export const Int32List = Schema.declare((value: unknown): value is Int32Array => value instanceof Int32Array, {
  identifier: "Int32List"
})

/** A list of float32 as one `Float32Array`. */
export const Float32List = Schema.declare((value: unknown): value is Float32Array => value instanceof Float32Array, {
  identifier: "Float32List"
})

/** A type of flat values. `bigint` and `int64` are both Arrow's Int64: they differ in what a row shows. */
export type Scalar = "utf8" | "bool" | "float64" | "float32" | "int64" | "int32" | "bigint"

/** What a column holds. A `typed` list shows as an `Int32Array` or a `Float32Array`. */
export type ColumnType =
  | { readonly kind: Scalar }
  | { readonly kind: "list"; readonly item: Column; readonly typed: boolean }
  | { readonly kind: "struct"; readonly fields: ReadonlyArray<Column> }

/** One column; `missing` is what a row shows where Arrow has a null. */
export interface Column {
  readonly name: string
  readonly type: ColumnType
  readonly missing: "never" | "null" | "undefined" | "absent"
}

/** The columns of a row, and the checks that its Arrow types do not make. */
export interface Columns {
  readonly all: ReadonlyArray<Column>
  /** By column: what is wrong with a value, or undefined. Only columns whose schema checks more than the type. */
  readonly checks: ReadonlyMap<string, (value: unknown) => string | undefined>
  /** What is wrong with a whole row, where the struct itself has checks. */
  readonly checkRow: ((row: unknown) => string | undefined) | undefined
}

/** A type in words: `utf8`, `list<int32>`, `struct<a: utf8, b: int64?>`; `?` where nulls may be. */
export const inWords = ({ missing, type }: Omit<Column, "name">): string => {
  const nullable = missing === "never" ? "" : "?"
  switch (type.kind) {
    case "list":
      return `list<${inWords(type.item)}>${nullable}`
    case "struct":
      return `struct<${type.fields.map((field) => `${field.name}: ${inWords(field)}`).join(", ")}>${nullable}`
    case "bigint":
      return `int64${nullable}`
    default:
      return `${type.kind}${nullable}`
  }
}

const flatten = (checks: SchemaAST.Checks | undefined): ReadonlyArray<SchemaAST.Filter<never>> =>
  (checks ?? []).flatMap((check) =>
    check._tag === "FilterGroup" ? flatten(check.checks) : [check as SchemaAST.Filter<never>]
  )

const MIN_INT32 = -(2 ** 31)
const MAX_INT32 = 2 ** 31 - 1

/** The Arrow type of a number, and whether its checks ask for more than that type. */
const numberType = (checks: SchemaAST.Checks | undefined): readonly [kind: Scalar, refined: boolean] => {
  let integer = false
  let [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  let others = 0
  for (const { annotations } of flatten(checks)) {
    const { id, payload } = (annotations?.representation ?? {}) as {
      readonly id?: string
      readonly payload?: { readonly minimum?: number; readonly maximum?: number }
    }
    if (id === "effect/schema/isInt") integer = true
    else if (id === "effect/schema/isBetween") {
      low = Math.max(low, payload?.minimum ?? low)
      high = Math.min(high, payload?.maximum ?? high)
    } else others++
  }
  if (!integer) return ["float64", others > 0 || low > Number.NEGATIVE_INFINITY || high < Number.POSITIVE_INFINITY]
  if (low < MIN_INT32 || high > MAX_INT32) {
    return ["int64", others > 0 || low > Number.NEGATIVE_INFINITY || high < Number.POSITIVE_INFINITY]
  }
  return ["int32", others > 0 || low > MIN_INT32 || high < MAX_INT32]
}

const supported =
  "a column is a String, literals of strings, Boolean, Number, Int, BigInt, Table.Int32List, Table.Float32List, an Array or Struct of these, or one of them with NullOr or optionalKey"

const unsupported = (column: string, message: string) =>
  new TableError({ table: "row schema", column, message: `column "${column}": ${message}; ${supported}` })

/** `refined` is set by any check that the Arrow type does not make by itself. */
interface Derivation {
  refined: boolean
}

const columnOf = (name: string, path: string, ast: SchemaAST.AST, derivation: Derivation): Column => {
  if (ast.encoding !== undefined) throw unsupported(path, "its encoded and decoded values differ")
  let missing: Column["missing"] = ast.context?.isOptional === true ? "absent" : "never"
  let inner = ast
  if (ast._tag === "Union") {
    const some = ast.types.filter((type) => type._tag !== "Null" && type._tag !== "Undefined")
    for (const { _tag } of ast.types) {
      if (_tag === "Null" && missing !== "never") throw unsupported(path, "null and absent would be the same in Arrow")
      if (_tag === "Null") missing = "null"
      if (_tag === "Undefined" && missing === "never") missing = "undefined"
      if (_tag === "Undefined" && missing === "null") {
        throw unsupported(path, "null and undefined would be the same in Arrow")
      }
    }
    if (some.length === 1 && some[0] !== undefined) inner = some[0]
    if (ast.checks !== undefined) derivation.refined = true
  }
  if (inner.encoding !== undefined) throw unsupported(path, "its encoded and decoded values differ")
  return { name, missing, type: typeOf(path, inner, derivation) }
}

const typeOf = (path: string, ast: SchemaAST.AST, derivation: Derivation): ColumnType => {
  if (ast._tag === "Number") {
    const [kind, refined] = numberType(ast.checks)
    derivation.refined ||= refined
    return { kind }
  }
  derivation.refined ||= ast.checks !== undefined
  switch (ast._tag) {
    case "String":
      return { kind: "utf8" }
    case "Boolean":
      return { kind: "bool" }
    case "BigInt":
      return { kind: "bigint" }
    case "Literal":
    case "Union": {
      const literals =
        ast._tag === "Literal" ? [ast] : ast.types.filter(({ _tag }) => _tag !== "Null" && _tag !== "Undefined")
      if (!literals.every((type) => type._tag === "Literal" && typeof type.literal === "string")) break
      derivation.refined = true
      return { kind: "utf8" }
    }
    case "Declaration": {
      const kind = ({ Int32List: "int32", Float32List: "float32" } as const)[String(ast.annotations?.["identifier"])]
      if (kind === undefined) break
      return { kind: "list", typed: true, item: { name: "item", missing: "never", type: { kind } } }
    }
    case "Arrays": {
      const item = ast.rest[0]
      if (ast.elements.length > 0 || ast.rest.length !== 1 || item === undefined) break
      return { kind: "list", typed: false, item: columnOf("item", `${path}[]`, item, derivation) }
    }
    case "Objects": {
      if (ast.indexSignatures.length > 0) break
      return { kind: "struct", fields: columnsOf(path === "" ? "" : `${path}.`, ast, derivation) }
    }
    default:
  }
  throw unsupported(path, `${ast._tag} has no Arrow type`)
}

const columnsOf = (prefix: string, ast: SchemaAST.Objects, derivation: Derivation): ReadonlyArray<Column> =>
  ast.propertySignatures.map(({ name, type }) => {
    if (typeof name !== "string") throw unsupported(String(name), "its name is not a string")
    return columnOf(name, `${prefix}${name}`, type, derivation)
  })

const checker = (schema: Schema.Constraint): ((value: unknown) => string | undefined) => {
  const codec = schema as unknown as Schema.Codec<unknown>
  const is = Schema.is(codec)
  const decode = Schema.decodeUnknownResult(codec)
  return (value) =>
    is(value) ? undefined : Result.match(decode(value), { onFailure: ({ message }) => message, onSuccess: () => "" })
}

const derived = new WeakMap<object, Columns>()

/** The columns of a row schema. Throws a `TableError` if a field has no Arrow type: that is a mistake in the program. */
export const columns = <Row>(rowSchema: RowSchema<Row>): Columns => {
  const known = derived.get(rowSchema)
  if (known !== undefined) return known
  const ast = rowSchema.ast
  if (ast._tag !== "Objects" || ast.indexSignatures.length > 0) throw unsupported("", "a row is a Schema.Struct")
  const checks = new Map<string, (value: unknown) => string | undefined>()
  const all = ast.propertySignatures.map(({ name, type }) => {
    if (typeof name !== "string") throw unsupported(String(name), "its name is not a string")
    const derivation: Derivation = { refined: false }
    const column = columnOf(name, name, type, derivation)
    const field = rowSchema.fields[name]
    if (derivation.refined && field !== undefined) checks.set(name, checker(field))
    return column
  })
  const result = { all, checks, checkRow: ast.checks === undefined ? undefined : checker(rowSchema) }
  derived.set(rowSchema, result)
  return result
}
