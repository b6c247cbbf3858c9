/** A corpus of which one document changes, and a map of it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mapRows } from "../../operators/map-rows.ts"
import { Document } from "../../operators/rows.ts"
import * as Operator from "../../src/operator/operator.ts"
import * as Table from "../../src/table/index.ts"

export const corpusOf = (generation: number): ReadonlyArray<Document> =>
  Array.from({ length: 500 }, (_, i) => ({
    id: `d${i}`,
    source: "made",
    text: `${i === 250 ? generation : i} and so on `.repeat(1 + ((i * 7919) % 900))
  }))

export const corpus = Operator.make("corpus", {
  description: "Documents",
  params: Schema.Struct({ generation: Schema.Int }),
  inputs: {},
  outputs: { rows: Table.of(Document) },
  run: ({ params }) => Effect.succeed({ rows: Table.fromRows(Document, corpusOf(params.generation)) })
})

/** Leaves out what is short, and gives the halves of the others. */
export const halves = mapRows("halves", {
  description: "Halves of documents",
  from: Document,
  to: Document,
  rows: ({ id, source, text }) => {
    const half = text.length >> 1
    const part = (n: number) => ({ id: `${id}.${n}`, source, text: n === 0 ? text.slice(0, half) : text.slice(half) })
    return text.length < 3000 ? [] : [part(0), part(1)]
  }
})
