/**
 * Ranks the sampled answers of each prompt by a declared rule. A person's own rankings are a table of the same rows, read by
 * `readTable("rankings", Ranking)`, and go into the same port.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { Completion, LexiconEntry, Ranking } from "./answers.ts"
import { rule } from "./lexicon.ts"

/** Rank 1 has the highest sum of valences; equal sums have equal ranks. Prompts come in the order of their first answer. */
export const rankByLexicon = Operator.make("rank", {
  description: "Ranks answers by a sentiment lexicon, in the place of people",
  params: Schema.Struct({}),
  inputs: { completions: Table.of(Completion), lexicon: Table.of(LexiconEntry) },
  outputs: { rankings: Table.of(Ranking) },
  columns: {
    rankings: {
      ...Operator.unchanged("completions", ["id", "prompt"]),
      answers: { from: ["completions.answer"] },
      ranks: { from: ["completions.answer", "lexicon.word", "lexicon.valence"] }
    }
  },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const judge = yield* rule(inputs.lexicon)
    const prompts = new Map<
      string,
      { readonly prompt: string; readonly answers: Array<string>; readonly rows: Array<number> }
    >()
    yield* Stream.runForEach(Stream.zipWithIndex(inputs.completions.rows), ([{ answer, id, prompt }, row]) =>
      Effect.sync(() => {
        const entry = prompts.get(id) ?? { prompt, answers: [], rows: [] }
        entry.answers.push(answer)
        entry.rows.push(row)
        prompts.set(id, entry)
      })
    )
    const rankings = Array.from(prompts, ([id, { answers, prompt }]): Ranking => {
      const scores = answers.map(judge)
      return { id, prompt, answers, ranks: scores.map((score) => 1 + scores.filter((other) => other > score).length) }
    })
    const from = { completions: Array.from(prompts.values(), ({ rows }) => rows) }
    return { rankings: Table.fromRows(Ranking, rankings, { from }) }
  })
})
