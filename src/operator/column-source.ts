/**
 * Where the columns of an operator's output tables come from, as it declares it: for lineage alone, no result depends on it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Ports } from "./port.ts"

const References = Schema.optionalKey(Schema.Array(Schema.String))

/** Columns of input tables, as `port.column`: `same` are those whose values are taken as they are, `from` those that the values are made from. */
export const ColumnSource = Schema.Struct({ same: References, from: References })

/** The sources of columns, by output port and column. A column that is not named may come from any column that the operator takes. */
export const ColumnSources = Schema.Record(Schema.String, Schema.Record(Schema.String, ColumnSource))
export type ColumnSources = typeof ColumnSources.Type

/** The sources of the columns of one table, in tables at these input ports. `{}` for a column: it comes from none. */
export type ColumnDeclarations<Port extends string> = {
  readonly [column: string]: {
    readonly same?: ReadonlyArray<`${Port}.${string}`>
    readonly from?: ReadonlyArray<`${Port}.${string}`>
  }
}

/** The same of all output tables, as an operator with these ports writes it. */
export type DeclaredColumns<Inputs extends Ports, Outputs extends Ports> = {
  readonly [Output in keyof Outputs]?: ColumnDeclarations<Extract<keyof Inputs, string>>
}

/** The declaration that columns are taken as they are from the table at an input port, under the same names. */
export const unchanged = <const Port extends string>(
  port: Port,
  columns: ReadonlyArray<string>
): { readonly [column: string]: { readonly same: ReadonlyArray<`${Port}.${string}`> } } =>
  Object.fromEntries(columns.map((column) => [column, { same: [`${port}.${column}` as const] }]))

/** The columns of a table's contract, with their types; undefined if it is that of another kind of port. */
export const columnsOf = (port: {
  readonly kind: string
  readonly contract: Schema.Json
}): ReadonlyArray<readonly [name: string, type: string]> | undefined =>
  port.kind === "table" ? (port.contract as ReadonlyArray<readonly [string, string]>) : undefined

/** Throws a `TypeError` if a declaration names a table or a column that the ports do not have. */
export const checkColumns = (operator: string, declared: ColumnSources, inputs: Ports, outputs: Ports): void => {
  const has = (ports: Ports, name: string, column: string): boolean =>
    Object.hasOwn(ports, name) && columnsOf(ports[name]!)?.some(([each]) => each === column) === true
  for (const [output, columns] of Object.entries(declared)) {
    for (const [column, { from = [], same = [] }] of Object.entries(columns)) {
      const place = `operator ${operator}: columns.${output}.${column}`
      if (!has(outputs, output, column)) throw new TypeError(`${place} is no column of an output table`)
      for (const reference of [...same, ...from]) {
        const at = reference.lastIndexOf(".")
        if (has(inputs, reference.slice(0, at), reference.slice(at + 1))) continue
        throw new TypeError(`${place} comes from ${reference}, which is no column of an input table`)
      }
    }
  }
}
