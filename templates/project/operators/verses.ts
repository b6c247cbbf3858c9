/** An operator of this project's own: cuts a text into its verses. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Operator, Table } from "ptmflow"
import { Document, parameter } from "ptmflow/operators"

/** The verses of a text: what lies between empty lines, if it has `shortest` characters or more. */
export const versesOf = (text: string, shortest: number): ReadonlyArray<string> =>
  text
    .split(/\n\s*\n/)
    .map((verse) => verse.trim())
    .filter((verse) => verse.length >= shortest)

/** Its code, its parameters and what it takes are its result's key: change one of them, and it runs again. */
export const verses = Operator.make("verses", {
  description: "Cuts documents into verses",
  params: Schema.Struct({ shortest: parameter(Schema.Int, 40, "characters a verse has at least; shorter ones go") }),
  inputs: { documents: Table.of(Document) },
  outputs: { verses: Table.of(Document) },
  run: ({ inputs, params }) =>
    Effect.map(
      // Pure per batch of rows: of a larger text only the batches that changed are mapped again.
      Table.mapBatches(inputs.documents, {
        over: "documents",
        output: "verses",
        rowSchema: Document,
        rows: (documents) =>
          Effect.succeed(
            documents.flatMap(({ id, source, text }) =>
              versesOf(text, params.shortest).map((verse, i) => ({
                id: `${id}#${i + 1}`,
                text: `${verse}\n\n`,
                source
              }))
            )
          )
      }),
      (verses) => ({ verses })
    )
})
