/** A table of many rows, each a function of its number, and the pipeline that makes it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../../src/operator/operator.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import * as Table from "../../src/table/index.ts"

const Row = Schema.Struct({
  text: Schema.String,
  tokens: Table.Int32List,
  score: Schema.Number,
  count: Schema.Int,
  note: Schema.NullOr(Schema.String),
  share: Schema.NullOr(Schema.Number),
  ended: Schema.Boolean,
  words: Schema.Array(Schema.String)
})

const words = ["nation", "PEACE", "Ὀδυσσεύς", "because", "we", "must", "größer", "5, 6"]
const word = (i: number): string => words[i % words.length]!

/** Row `i`, as the page shows it but for its arrays. */
export const rowAt = (i: number): typeof Row.Type => ({
  text: `${word(i)} ${word(i * 3 + 1)} ${word(i >> 3)} ${i % 1009}${i % 4 === 0 ? "" : " and so on".repeat(30)}`,
  tokens: Int32Array.from({ length: i % 6 }, (_, k) => (i * 7 + k) % 400),
  score: i % 997 === 0 ? Number.POSITIVE_INFINITY : Math.sin(i),
  count: i % 777,
  note: i % 3 === 0 ? null : `note ${i % 100}`,
  share: i % 5 === 0 ? null : (i % 50) / 7,
  ended: i % 2 === 0,
  words: Array.from({ length: i % 3 }, (_, k) => word(i + k))
})

const rows = Operator.make("rows", {
  description: "Many rows",
  params: Schema.Struct({ count: Schema.Int }),
  inputs: {},
  outputs: { rows: Table.of(Row) },
  run: ({ params: { count } }) =>
    Effect.succeed({
      rows: Table.fromRows(Row, Stream.range(0, count - 1).pipe(Stream.map(rowAt)))
    })
})

/** The pipeline with so many rows. */
export const manyRows = (count: number) => Pipeline.make("many", {}, (p) => p.add(rows, { params: { count } }))
