/**
 * Rankings as token sequences: what the reward model and DPO are trained on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Sequence } from "../src/engine/batch.ts"
import type { Ranking as Group } from "../src/engine/loss/ranking.ts"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import * as AnswerSequence from "./answer-sequence.ts"
import type { Ranking } from "./answers.ts"
import type { Checkpoint } from "./checkpoint.ts"
import { encoding } from "./tokenizer/encoding.ts"

/** A prompt's answers, each a finished sequence, and their ranks; `row` is its place in the table. */
export interface RankedPrompt {
  readonly row: number
  readonly sequences: ReadonlyArray<Sequence>
  readonly ranks: ReadonlyArray<number>
}

/** The groups of several ranked prompts over one flat list of their sequences. */
export const flatten = (prompts: ReadonlyArray<RankedPrompt>) => {
  const sequences: Array<Sequence> = []
  const groups: Array<Group> = []
  for (const { ranks, sequences: answers } of prompts) {
    groups.push({ members: answers.map((_, k) => sequences.length + k), ranks })
    sequences.push(...answers)
  }
  return { sequences, groups }
}

/** The prompts of a table that have a preference. A row that does not fit is refused by its place. */
export const rankedPrompts = Effect.fnUntraced(function* (
  operator: string,
  rankings: Table.Table<Ranking>,
  { tokenizer, weights }: Checkpoint
) {
  const { context } = weights.config
  const prompts: Array<RankedPrompt> = []
  for (const [row, { answers, id, prompt, ranks }] of (yield* Table.collect(rankings)).entries()) {
    const place = `rankings, row ${row} (${id})`
    const refuse = (message: string) => new Operator.OperatorError({ operator, place, message })
    if (answers.length !== ranks.length) {
      return yield* refuse(`${answers.length} answers have ${ranks.length} ranks: each answer needs one`)
    }
    const sequences = yield* encoding(operator, place, () =>
      answers.map((answer) => AnswerSequence.encode(tokenizer, prompt, answer))
    )
    const longest = Math.max(...sequences.map((s) => s.tokens.length), 0)
    if (longest > context) return yield* refuse(`${longest} tokens do not fit the model's context of ${context}`)
    // A prompt whose answers all tie says nothing.
    if (new Set(ranks).size > 1) prompts.push({ row, sequences, ranks })
  }
  return prompts
})
