/**
 * Prompts and demonstrations cut from real text: a prompt is the beginning of a sentence, its demonstrated answer the rest.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { Demonstration, Prompt } from "./answers.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { Document } from "./rows.ts"

/** Sentences of a text that start with a capital and end with a full stop, white space folded. */
export const sentences = (text: string): ReadonlyArray<string> =>
  text
    .replace(/\s+/g, " ")
    .split(/(?<=[.!?]["”’)]?)\s+(?=["“‘(]?[A-Z])/)
    .filter((sentence) => /^["“‘(]?[A-Z].*[.!?]["”’)]?$/.test(sentence))

const fromText = { from: ["documents.text"] } as const
const promptColumns = { id: fromText, prompt: fromText }

/**
 * Cuts each sentence of fitting length after `promptWords` words. Sentences are put in an order of their digests (so that no file is
 * favoured), then dealt out: held-out prompts first, then prompts for ranking, then prompts for PPO; all others are demonstrations.
 */
export const cutDemonstrations = Operator.make("demonstrations", {
  description: "Cuts prompts and demonstrated answers from sentences of real text",
  params: Schema.Struct({
    promptWords: parameter(PositiveInt, 5, "words of a sentence that make the prompt"),
    minimumAnswerWords: parameter(PositiveInt, 4, "shorter rests are left out"),
    maximumAnswerWords: parameter(PositiveInt, 14, "longer rests are left out"),
    heldOut: parameter(
      PositiveInt,
      512,
      "prompts kept for evaluation: no demonstration, ranking or PPO prompt is among them"
    ),
    ranking: parameter(PositiveInt, 2048, "prompts whose sampled answers are ranked"),
    policy: parameter(PositiveInt, 4096, "prompts for PPO"),
    demonstrations: parameter(PositiveInt, 20000, "demonstrations at most")
  }),
  inputs: { documents: Table.of(Document) },
  outputs: {
    demonstrations: Table.of(Demonstration),
    rankingPrompts: Table.of(Prompt),
    policyPrompts: Table.of(Prompt),
    heldOutPrompts: Table.of(Prompt)
  },
  columns: {
    demonstrations: { ...promptColumns, answer: fromText },
    rankingPrompts: promptColumns,
    policyPrompts: promptColumns,
    heldOutPrompts: promptColumns
  },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const cut = new Map<string, Demonstration & { readonly row: number }>()
    yield* Stream.runForEach(Stream.zipWithIndex(inputs.documents.rows), ([document, row]) =>
      Effect.sync(() => {
        for (const sentence of sentences(document.text)) {
          const words = sentence.split(" ")
          const rest = words.length - params.promptWords
          if (rest < params.minimumAnswerWords || rest > params.maximumAnswerWords) continue
          const prompt = words.slice(0, params.promptWords).join(" ")
          const id = createHash("sha256").update(prompt).digest("hex").slice(0, 16)
          // One sentence a prompt: a prompt that is held out must not be in the training text of another part.
          if (!cut.has(id)) cut.set(id, { id, prompt, answer: ` ${words.slice(params.promptWords).join(" ")}`, row })
        }
      })
    )
    const all = [...cut.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    const reserved = params.heldOut + params.ranking + params.policy
    if (all.length <= reserved) {
      return yield* new Operator.OperatorError({
        operator: "demonstrations",
        place: "documents",
        message: `the text has ${all.length} sentences of fitting length; heldOut + ranking + policy take ${reserved} and nothing is left to demonstrate: lower them or give more text`
      })
    }
    const part = (from: number, count: number) => {
      const rows = all.slice(from, from + count)
      return { rows, from: { from: { documents: rows.map(({ row }) => row) } } }
    }
    const prompts = (first: number, count: number) => {
      const { from, rows } = part(first, count)
      return Table.fromRows(
        Prompt,
        rows.map(({ id, prompt }) => ({ id, prompt })),
        from
      )
    }
    const demonstrations = part(reserved, params.demonstrations)
    return {
      heldOutPrompts: prompts(0, params.heldOut),
      rankingPrompts: prompts(params.heldOut, params.ranking),
      policyPrompts: prompts(params.heldOut + params.ranking, params.policy),
      demonstrations: Table.fromRows(
        Demonstration,
        demonstrations.rows.map(({ answer, id, prompt }) => ({ id, prompt, answer })),
        demonstrations.from
      )
    }
  })
})
