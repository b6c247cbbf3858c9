/** An operator that is pure per batch, a source of documents for it, and a number that it takes too. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../src/operator/operator.ts"
import * as Table from "../../src/table/index.ts"
import { numberPort } from "./json-port.ts"

export const Doc = Schema.Struct({ id: Schema.Int, text: Schema.String })
const Words = Schema.Struct({ id: Schema.Int, word: Schema.String, times: Schema.Int })

/** What the source gives, the ids that were mapped, and the one that cannot be: a test sets and empties them. */
export const world: { docs: ReadonlyArray<typeof Doc.Type>; mapped: Array<number>; bad: number | undefined } = {
  docs: [],
  mapped: [],
  bad: undefined
}

export const source = Operator.make("source", {
  description: "Documents",
  params: Schema.Struct({ generation: Schema.Int }),
  inputs: {},
  outputs: { documents: Table.of(Doc) },
  run: () => Effect.succeed({ documents: Table.fromRows(Doc, world.docs, { batchRows: 37 }) })
})

/** Every document in words, long ones and short ones apart; a third output that is made of all. */
export const split = Operator.make("split", {
  description: "Words of documents, pure per batch",
  params: Schema.Struct({ times: Schema.Int }),
  inputs: { documents: Table.of(Doc), factor: numberPort },
  outputs: { even: Table.of(Words), odd: Table.of(Words), count: numberPort },
  run: Effect.fnUntraced(function* ({ inputs: { documents, factor }, params }) {
    const side = (output: "even" | "odd") =>
      Table.mapBatches(documents, {
        over: "documents",
        output,
        rowSchema: Words,
        rows: (docs) =>
          Effect.suspend(() => {
            if (docs.some(({ id }) => id === world.bad)) return Effect.fail(new Error(`${world.bad} cannot be mapped`))
            if (output === "even") world.mapped.push(...docs.map(({ id }) => id))
            return Effect.succeed(
              docs
                .filter(({ id }) => (id % 2 === 0) === (output === "even"))
                .flatMap(({ id, text }) => [
                  { id, word: text.slice(0, 5000), times: params.times * factor },
                  { id, word: text.slice(5000), times: 1 }
                ])
            )
          })
      })
    return { even: yield* side("even"), odd: yield* side("odd"), count: documents.numRows ?? -1 }
  })
})

export const factor = Operator.make("factor", {
  description: "A number",
  params: Schema.Struct({ value: Schema.Int }),
  inputs: {},
  outputs: { n: numberPort },
  run: ({ params }) => Effect.succeed({ n: params.value })
})
