/**
 * An operator of your own, and a pipeline that uses it. What the stage depends on (this code, its parameters, the content of its inputs) is its key, so it runs again only if
 * one of them changes.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { parameter, Share } from "../../operators/parameter.ts"
import { Document } from "../../operators/rows.ts"
import * as Operator from "../../src/operator/operator.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import * as Table from "../../src/table/index.ts"

/** A text's distinct words and how many words it has. */
export const Variety = Schema.Struct({ id: Schema.String, words: Schema.Int, distinct: Schema.Int })

/** Takes the documents of which at least this share of the words is distinct; says what it left out. */
export const keepVaried = Operator.make("keep-varied", {
  description: "Leaves out documents that say the same words again and again",
  params: Schema.Struct({ share: parameter(Share, 0.5, "of the words that must be distinct") }),
  inputs: { documents: Table.of(Document) },
  outputs: { documents: Table.of(Document), variety: Table.of(Variety) },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const kept: Array<Document> = []
    const variety: Array<typeof Variety.Type> = []
    for (const document of yield* Table.collect(inputs.documents)) {
      const words = document.text.toLowerCase().match(/\p{L}+/gu) ?? []
      if (words.length === 0) {
        return yield* new Operator.OperatorError({
          operator: "keep-varied",
          place: `documents, ${document.id}`,
          message: "it has no words"
        })
      }
      const distinct = new Set(words).size
      variety.push({ id: document.id, words: words.length, distinct })
      if (distinct / words.length >= params.share) kept.push(document)
    }
    yield* stage.report({ metrics: { kept: kept.length, leftOut: variety.length - kept.length } })
    return { documents: Table.fromRows(Document, kept), variety: Table.fromRows(Variety, variety) }
  })
})

/** Two documents, so that the example needs no file. */
export const twoDocuments = Operator.make("two-documents", {
  description: "Two documents",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { documents: Table.of(Document) },
  run: () =>
    Effect.succeed({
      documents: Table.fromRows(Document, [
        { id: "varied", text: "Call me Ishmael. Some years ago, never mind how long precisely.", source: "example" },
        { id: "same", text: "no no no no no yes", source: "example" }
      ])
    })
})

export default Pipeline.make(
  "varied",
  { description: "Documents of many words", params: Schema.Struct({ share: parameter(Share, 0.5, "kept from") }) },
  (p, params) => {
    const { documents } = p.add(twoDocuments)
    return p.add(keepVaried, { inputs: { documents }, params })
  }
)
