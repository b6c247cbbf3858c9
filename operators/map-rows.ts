/**
 * Maps a table row by row: cleaning, filtering, splitting.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"

/**
 * An operator named `name` whose output has the rows that `rows` gives for each row, in order: none, one or several. `rows` must be a function of the
 * row alone. `columns` says, for lineage, which of its columns (`rows.<column>`) each column comes from. Rows are mapped batch by batch: of a table in which something changed only the batches that did are mapped again.
 */
export const mapRows = <In, Out>(
  name: string,
  options: {
    readonly description: string
    readonly from: Table.RowSchema<In>
    readonly to: Table.RowSchema<Out>
    readonly columns?: Operator.ColumnDeclarations<"rows">
    readonly rows: (row: In) => ReadonlyArray<Out>
  }
) =>
  Operator.make(name, {
    description: options.description,
    params: Schema.Struct({}),
    inputs: { rows: Table.of(options.from) },
    outputs: { rows: Table.of(options.to) },
    ...(options.columns === undefined ? {} : { columns: { rows: options.columns } }),
    run: ({ inputs: { rows: table } }) =>
      Effect.map(
        Table.mapBatches(table, {
          over: "rows",
          output: "rows",
          rowSchema: options.to,
          rows: Effect.fnUntraced(function* (batch) {
            const rows: Array<Out> = []
            const from: Array<number> = []
            for (const [i, row] of batch.entries()) {
              for (const made of options.rows(row)) {
                rows.push(made)
                from.push(i)
              }
              if (i % 256 === 255) yield* Effect.yieldNow
            }
            return { rows, from }
          })
        }),
        (rows) => ({ rows })
      )
  })
