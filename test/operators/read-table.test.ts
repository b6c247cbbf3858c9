import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readTable } from "../../operators/read-table.ts"
import * as Table from "../../src/table/index.ts"
import { fixtures, temporaryFiles } from "./files.ts"
import { runInStage } from "./stage.ts"

const read = <Row>(rowSchema: Table.RowSchema<Row>, paths: string) =>
  Effect.gen(function* () {
    const operator = readTable("rankings", rowSchema)
    const params = Schema.decodeUnknownSync(operator.params)({ paths })
    const sources = yield* operator.sources!(params)
    const { rows } = yield* operator.run({ inputs: {}, params, sources })
    return yield* Table.collect(rows)
  })

const Ranking = Schema.Struct({
  prompt: Schema.String,
  answers: Schema.Array(Schema.String),
  ranks: Schema.Array(Schema.Int),
  agreed: Schema.Boolean,
  weight: Schema.NullOr(Schema.Number),
  note: Schema.optionalKey(Schema.String)
})
const rankings: ReadonlyArray<typeof Ranking.Type> = [
  {
    prompt: "Call me",
    answers: [" Ishmael.", ' "Ahab".'],
    ranks: [1, 2],
    agreed: true,
    weight: 0.5,
    note: "easy, clear"
  },
  { prompt: "日本", answers: [], ranks: [], agreed: false, weight: null }
]

const csv = [
  "note,prompt,answers,ranks,agreed,weight,unused",
  '"easy, clear",Call me,"["" Ishmael."","" \\""Ahab\\"".""]","[1,2]",true,.5,x',
  ",日本,[],[],0,,y"
].join("\n")

describe("readTable", () => {
  it("reads the same rows from JSONL, CSV and Arrow", () =>
    runInStage(
      Effect.scoped(
        Effect.gen(function* () {
          const batches = yield* Stream.runCollect(Table.fromRows(Ranking, rankings).batches)
          const folder = yield* temporaryFiles({
            "r.jsonl": rankings.map((row) => JSON.stringify(row)).join("\n"),
            "r.csv": csv,
            "r.arrow": arrow.tableToIPC(new arrow.Table(batches), "file"),
            "s.arrow": arrow.tableToIPC(new arrow.Table(batches), "stream")
          })
          for (const name of ["r.jsonl", "r.csv", "r.arrow", "s.arrow"]) {
            assert.deepStrictEqual(yield* read(Ranking, join(folder, name)), [...rankings], name)
          }
          assert.strictEqual((yield* read(Ranking, folder)).length, 8)
        })
      )
    ))

  it("reads typed lists and nulls from Parquet of every codec and from Arrow of other writers", async () => {
    const Row = Schema.Struct({
      id: Schema.Int.check(Schema.isInt32()),
      score: Schema.NullOr(Schema.Number),
      tokens: Table.Int32List,
      kept: Schema.Boolean
    })
    const files = ["none", "snappy", "gzip", "zstd", "brotli", "lz4"].map((codec) => `${codec}.parquet`)
    const arrows = ["file", "stream", "zstd", "lz4", "dictionary", "polars"].map((form) => `${form}.arrow`)
    const expected = Array.from({ length: 12 }, (_, i) => ({
      id: i,
      score: i % 5 === 0 ? null : i / 4,
      tokens: Int32Array.from({ length: i }, (_, k) => k),
      kept: i % 2 === 0
    }))
    for (const file of [...files, ...arrows]) {
      assert.deepStrictEqual(await runInStage(read(Row, join(fixtures, file))), expected, file)
    }
  })

  const refusal = (rowSchema: Table.RowSchema<unknown>, name: string, content: string | Uint8Array) =>
    runInStage(
      Effect.scoped(
        Effect.flatMap(temporaryFiles({ [name]: content }), (folder) =>
          Effect.flip(read(rowSchema, join(folder, name)))
        )
      )
    ).then((error) => ({ place: "place" in error ? error.place : "", message: error.message }))

  it("refuses a row that does not fit by file, line or row, column and value", async () => {
    const json = await refusal(
      Ranking,
      "r.jsonl",
      `${JSON.stringify(rankings[0])}\n\n${JSON.stringify({ ...rankings[1], ranks: [1, "best"] })}`
    )
    assert.strictEqual(json.place, 'r.jsonl, line 3, column "ranks[1]"')
    assert.strictEqual(
      json.message,
      'r.jsonl: column "ranks[1]", row 1: "best" is not an integer between -(2^53 - 1) and 2^53 - 1 (line 3)'
    )
    const cell = await refusal(Ranking, "r.csv", csv.replace(".5", "half"))
    assert.strictEqual(cell.place, 'r.csv, line 2, column "weight"')
    assert.include(cell.message, '"half" is not a number')
    const list = await refusal(Ranking, "r.csv", csv.replace('"[1,2]"', "1 then 2"))
    assert.include(list.message, '"1 then 2" is not a list')
    const Strict = Schema.Struct({ score: Schema.Number, id: Schema.Int })
    const nulls = await runInStage(Effect.flip(read(Strict, join(fixtures, "snappy.parquet"))))
    assert.include(nulls.message, 'snappy.parquet: column "score", row 0: null is not a number')
    const high = Schema.Struct({ id: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })) })
    for (const file of ["none.parquet", "file.arrow"]) {
      const error = await runInStage(Effect.flip(read(high, join(fixtures, file))))
      assert.include(error.message, `${file}: column "id", row 9: 9 is not allowed`)
    }
  })

  it("refuses a file without a wanted column, and names those there are", async () => {
    const Row = Schema.Struct({ reward: Schema.Number })
    const there = { "r.jsonl": '{"prompt":"a","score":1}', "r.csv": "prompt,score\na,1\n" }
    for (const [name, content] of Object.entries(there)) {
      assert.include(
        (await refusal(Row, name, content)).message,
        'there is no column "reward" (float64); there are: prompt, score'
      )
    }
    for (const file of ["snappy.parquet", "file.arrow"]) {
      const error = await runInStage(Effect.flip(read(Row, join(fixtures, file))))
      assert.include(error.message, 'there is no column "reward" (float64); there are: id, text, score, tokens, kept')
    }
  })

  it("refuses text files, which have no rows", async () => {
    assert.match(
      (await refusal(Ranking, "r.txt", "text")).message,
      /r\.txt is of no known kind: \.jsonl, \.csv, \.parquet, \.arrow/
    )
  })
})
