import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { concat } from "../../operators/concat.ts"
import { mapRows } from "../../operators/map-rows.ts"
import { diff } from "../../src/executor/diff.ts"
import { run } from "../../src/executor/run.ts"
import { resolve } from "../../src/lineage/ledger.ts"
import { rowSeen, seenBy, seenOnlyBy } from "../../src/lineage/seen.ts"
import * as Operator from "../../src/operator/operator.ts"
import { rangesFromText, rangesText } from "../../src/operator/row-ranges.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"
import { jsonPort } from "../executor/json-port.ts"
import { newFolder } from "../store/folder.ts"

const Word = Schema.Struct({ word: Schema.String })
const modelPort = jsonPort(Schema.Array(Schema.String), "model", "checkpoint")

const words = Operator.make("words", {
  description: "Words",
  params: Schema.Struct({ words: Schema.Array(Schema.String) }),
  inputs: {},
  outputs: { rows: Table.of(Word) },
  run: ({ params }) =>
    Effect.succeed({
      rows: Table.fromRows(
        Word,
        params.words.map((word) => ({ word }))
      )
    })
})

const letters = mapRows("letters", {
  description: "The letters of each word",
  from: Word,
  to: Word,
  rows: ({ word }) => Array.from(word, (letter) => ({ word: letter }))
})

const sorted = Operator.make("sorted", {
  description: "The words in their order",
  params: Schema.Struct({}),
  inputs: { rows: Table.of(Word) },
  outputs: { rows: Table.of(Word) },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const all = [...(yield* Table.collect(inputs.rows)).entries()].sort(([, a], [, b]) => (a.word < b.word ? -1 : 1))
    const rows = all.map(([, row]) => row)
    return { rows: Table.fromRows(Word, rows, { from: { rows: all.map(([row]) => row) } }) }
  })
})

/** An operator that does not say where its rows come from. */
const silent = Operator.make("silent", {
  description: "The same words",
  params: Schema.Struct({}),
  inputs: { rows: Table.of(Word) },
  outputs: { rows: Table.of(Word) },
  run: ({ inputs }) => Effect.map(Table.collect(inputs.rows), (rows) => ({ rows: Table.fromRows(Word, rows) }))
})

/** Learns from these rows, one update each. The model is the words that it learned, in order. */
const learn = Effect.fnUntraced(function* (
  before: ReadonlyArray<string>,
  table: Table.Table<typeof Word.Type>,
  updates: ReadonlyArray<string>
) {
  const stage = yield* Stage
  const rows = yield* Table.collect(table)
  const model = [...before]
  for (const [i, text] of updates.entries()) {
    const learned = rangesFromText(text)!
    for (const [first, last] of learned) model.push(...rows.slice(first, last + 1).map(({ word }) => word))
    yield* stage.learned({ step: i + 1, loss: 1, rows: { rows: learned } })
  }
  return { model }
})
const params = Schema.Struct({ updates: Schema.Array(Schema.String) })
const pretrain = Operator.make("pretrain", {
  description: "Learns",
  params,
  inputs: { rows: Table.of(Word) },
  outputs: { model: modelPort },
  run: ({ inputs, params }) => learn([], inputs.rows, params.updates)
})
const tune = Operator.make("tune", {
  description: "Learns on",
  params,
  inputs: { model: modelPort, rows: Table.of(Word) },
  outputs: { model: modelPort },
  run: ({ inputs, params }) => learn(inputs.model, inputs.rows, params.updates)
})

/** Two tables of words, put together; a model of their letters, one tuned from it on the words in order, and one made apart from both. */
const pipeline = Pipeline.make("seen", {}, (p) => {
  const parts = p.partition(
    ["one", "two"],
    (part) => p.add(words, { params: { words: part === "one" ? ["cd", "ab"] : ["zx", "", "efg"] } }).rows
  )
  const { rows } = p.add(concat("corpus", Word, parts), { inputs: parts })
  const spelled = p.add(letters, { inputs: { rows } })
  const order = p.add(sorted, { inputs: { rows } })
  const base = p.add(pretrain, { inputs: { rows: spelled.rows }, params: { updates: ["0", "1-2", "0-1", "6"] } })
  const tuned = p.add(tune, { inputs: { model: base.model, rows: order.rows }, params: { updates: ["2", "1,4"] } })
  const other = p.add(pretrain, {
    name: "other",
    inputs: { rows: spelled.rows },
    params: { updates: ["2-5"] }
  })
  const again = p.add(silent, { inputs: { rows } })
  return { tuned: tuned.model, other: other.model, again: again.rows }
})

const ran = Effect.gen(function* () {
  const store = yield* open(yield* newFolder)
  const ask = Effect.provideService(Store, store)
  yield* ask(Effect.flatMap(Pipeline.build(pipeline), (graph) => run(graph)))
  return { ask, store }
})

describe("which rows a checkpoint saw", () => {
  it.effect(
    "a row is followed through tables to the updates that learned from it, and on to what was trained from there",
    () =>
      Effect.gen(function* () {
        const { ask } = yield* ran
        const seen = (table: string, row: number) => ask(Effect.flatMap(resolve(table), (made) => rowSeen(made, row)))
        // Row 1 of partition one, "ab", is row 1 of the corpus, letters 2 and 3, and the second word in order.
        const ab = yield* seen("words.one", 1)
        assert.deepStrictEqual(ab.became.map(({ rows, stage }) => `${stage} ${rangesText(rows)}`).sort(), [
          "corpus 1",
          "letters 2-3",
          "sorted 1"
        ])
        const of = (name: string) => ab.checkpoints.find(({ stage }) => stage === name)
        assert.deepStrictEqual(
          of("pretrain")!.learned.map(({ of, port, rows, updates }) => [
            port,
            rangesText(rows!),
            rangesText(updates!),
            of
          ]),
          [["rows", "2", "2", 4]]
        )
        assert.deepStrictEqual(
          of("tune")!.learned.map(({ updates }) => rangesText(updates!)),
          ["2"]
        )
        assert.deepStrictEqual(
          of("tune")!.through.map(({ stage }) => stage),
          ["pretrain"]
        )
        assert.deepStrictEqual(
          of("other")!.learned.map(({ rows }) => rangesText(rows!)),
          ["2-3"]
        )
        assert.deepStrictEqual(of("other")!.through, [])
        assert.deepStrictEqual(
          ab.unknown.map(({ stage }) => stage),
          ["silent"]
        )

        // "zx" is row 0 of partition two: its letters 4 and 5 are in no update but that of the other.
        const zx = yield* seen("words.two", 0)
        assert.deepStrictEqual(zx.checkpoints.map(({ stage }) => stage).sort(), ["other", "tune"])
        assert.deepStrictEqual(zx.checkpoints.find(({ stage }) => stage === "tune")!.through, [])
        // The empty word has no letters, and is the first in order, which nothing learned from.
        assert.deepStrictEqual((yield* seen("words.two", 1)).checkpoints, [])
        const refused = yield* Effect.flip(seen("words.two", 3))
        assert.strictEqual(refused.message, "words.two.rows has no row 3: its rows are 0 to 2")
      })
  )

  it.effect("all rows of a checkpoint, back to where they came from, and those that another did not see", () =>
    Effect.gen(function* () {
      const { ask } = yield* ran
      const model = (name: string) => resolve(`${name}.model`)
      const rows = (
        tables: ReadonlyArray<{ readonly stage: string; readonly rows: Parameters<typeof rangesText>[0] }>
      ) => Object.fromEntries(tables.map(({ rows, stage }) => [stage, rangesText(rows)]))
      const tuned = yield* ask(Effect.flatMap(model("tune"), seenBy))
      // Letters 0 to 2 and 6; words 1, 2 and 4 in order, which are "ab", "cd" and "zx".
      assert.deepStrictEqual(rows(tuned), {
        letters: "0-2,6",
        sorted: "1-2,4",
        corpus: "0-2,4",
        "words.one": "0-1",
        "words.two": "0,2"
      })
      assert.deepStrictEqual(
        tuned.filter(({ learned }) => learned).map(({ stage, total }) => [stage, total]),
        [
          ["sorted", 5],
          ["letters", 9]
        ]
      )
      const other = yield* ask(Effect.flatMap(model("other"), seenBy))
      assert.deepStrictEqual(rows(other), { letters: "2-5", corpus: "1-2", "words.one": "1", "words.two": "0" })
      const only = yield* ask(Effect.flatMap(Effect.all([model("tune"), model("other")]), ([a, b]) => seenOnlyBy(a, b)))
      assert.deepStrictEqual(rows(only), { "words.one": "0", "words.two": "2" })
      const back = yield* ask(Effect.flatMap(Effect.all([model("other"), model("tune")]), ([a, b]) => seenOnlyBy(a, b)))
      // Of words it saw none more; of letters it did.
      assert.deepStrictEqual(rows(back), { letters: "3-5" })
      const differences = yield* ask(
        Effect.flatMap(Effect.all([model("tune"), model("other")]), ([a, b]) => diff(a, b))
      )
      assert.deepStrictEqual(
        differences.rows!.map(({ by, other, rows, stage }) => [by, stage, rangesText(rows), other]),
        [
          ["a", "words.one", "0", false],
          ["a", "words.two", "2", false],
          ["b", "letters", "3-5", false]
        ]
      )
      const table = yield* Effect.flip(ask(Effect.flatMap(resolve("letters"), seenBy)))
      assert.strictEqual(table.message, "letters.rows is a table: rows are seen by checkpoints")
    })
  )
})
