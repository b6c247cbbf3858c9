/** Operators on tables, one of which makes its rows as they are asked for. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../../src/operator/operator.ts"
import * as Table from "../../src/table/index.ts"
import { numberPort } from "./json-port.ts"

export const Document = Schema.Struct({ id: Schema.Int, text: Schema.String })
export const Length = Schema.Struct({ length: Schema.Int })

/** How many rows were made. */
export const made = { rows: 0 }

export const documents = Operator.make("documents", {
  description: "Documents, made as they are asked for",
  params: Schema.Struct({ count: Schema.Int, batchRows: Schema.Int }),
  inputs: {},
  outputs: { documents: Table.of(Document) },
  run: ({ params: { batchRows, count } }) => {
    const rows = Stream.range(1, count).pipe(
      Stream.map((id) => {
        made.rows++
        return { id, text: "word ".repeat(id % 7) }
      })
    )
    return Effect.succeed({ documents: Table.fromRows(Document, rows, { batchRows }) })
  }
})

export const lengths = Operator.make("lengths", {
  description: "The length of each document",
  params: Schema.Struct({}),
  inputs: { documents: Table.of(Document) },
  outputs: { lengths: Table.of(Length) },
  run: ({ inputs }) =>
    Effect.succeed({
      lengths: Table.fromRows(
        Length,
        Stream.map(inputs.documents.rows, ({ text }) => ({ length: text.length }))
      )
    })
})

export const total = Operator.make("total", {
  description: "The sum of lengths",
  params: Schema.Struct({}),
  inputs: { lengths: Table.of(Length) },
  outputs: { n: numberPort },
  run: ({ inputs }) =>
    Effect.map(
      Stream.runFold(
        inputs.lengths.rows,
        () => 0,
        (sum, { length }) => sum + length
      ),
      (n) => ({ n })
    )
})
