/**
 * Puts the tables of partitions together.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import { identity, makeOrigins } from "../src/operator/origins.ts"
import type { Port } from "../src/operator/port.ts"
import * as Table from "../src/table/index.ts"

/**
 * An operator named `name` with an input for each partition, whose output has the rows of all, in the order of the partitions' names (by code units). How
 * the partitions were listed changes nothing.
 */
export const concat = <Row>(
  name: string,
  rowSchema: Table.RowSchema<Row>,
  partitions: { readonly [partition: string]: unknown }
) => {
  const port = Table.of(rowSchema)
  const names = Object.keys(partitions).toSorted()
  const inputs: { readonly [partition: string]: Port<Table.Table<Row>> } = Object.fromEntries(
    names.map((partition) => [partition, port])
  )
  const operator = Operator.make(name, {
    description: "Puts the tables of partitions together",
    params: Schema.Struct({}),
    inputs,
    outputs: { rows: port },
    columns: {
      rows: Object.fromEntries(
        Object.keys(rowSchema.fields).map((column) => [
          column,
          { same: names.map((name) => `${name}.${column}` as const) }
        ])
      )
    },
    run: ({ inputs }) => {
      const tables = names.map((partition) => inputs[partition]!)
      let before = 0
      const origins = names.map((partition, i) => {
        const of = makeOrigins()
        const rows = tables[i]!.numRows ?? 0
        of.add([], before)
        of.append(identity(rows), 0)
        before += rows
        return [partition, of.runs()] as const
      })
      const rows = { ...Table.concat(rowSchema, tables), origins: () => Object.fromEntries(origins) }
      return Effect.succeed({ rows })
    }
  })
  // What a caller gives is all in the ports: the module where it was called is no part of the code.
  const { calls, time } = operator.definition
  const whole: typeof operator = { ...operator, definition: { calls: calls.slice(0, 1), inPipeline: false, time } }
  return whole
}
