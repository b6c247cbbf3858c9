/**
 * Step 1: supervised fine-tuning on demonstrations, or on dialogues. The loss is on the answers' tokens and their end tokens, never on a prompt.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import * as AnswerSequence from "./answer-sequence.ts"
import { Demonstration } from "./answers.ts"
import { TrainingSequence } from "./chat/rows.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { FineTuneParams, fineTune, type Row } from "./fine-tune.ts"
import { ReportPort } from "./report.ts"
import { encoding } from "./tokenizer/encoding.ts"

/**
 * Fine-tunes all weights, or low-rank adapters, with AdamW and by default a cosine to 0. Figures: the loss on held-out demonstrations, before and
 * after.
 */
export const sft = Operator.make("sft", {
  description: "Supervised fine-tuning on demonstrations, loss on answers only",
  params: FineTuneParams,
  inputs: { checkpoint: CheckpointPort, demonstrations: Table.of(Demonstration) },
  outputs: { checkpoint: CheckpointPort, report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const { tokenizer } = inputs.checkpoint
    const rows: Array<Row> = []
    for (const [row, { answer, id, prompt }] of (yield* Table.collect(inputs.demonstrations)).entries()) {
      const place = `demonstrations, row ${row} (${id})`
      const refuse = (message: string) => new Operator.OperatorError({ operator: "sft", place, message })
      if (prompt === "") return yield* refuse("the prompt is empty: nothing would come before the answer")
      if (answer === "") return yield* refuse("the answer is empty: no token would be trained")
      const sequence = yield* encoding("sft", place, () => AnswerSequence.encode(tokenizer, prompt, answer))
      rows.push({ place, sequence })
    }
    return yield* fineTune("sft", "demonstrations", inputs.checkpoint, rows, params)
  })
})

/** The same on token sequences of which some tokens are trained, as `chatSequences` makes them of dialogues. */
export const sftSequences = Operator.make("sft-sequences", {
  description: "Supervised fine-tuning on token sequences, loss on the tokens marked as trained",
  params: FineTuneParams,
  inputs: { checkpoint: CheckpointPort, sequences: Table.of(TrainingSequence) },
  outputs: { checkpoint: CheckpointPort, report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const rows: Array<Row> = []
    for (const [row, { id, tokens, trained }] of (yield* Table.collect(inputs.sequences)).entries()) {
      const place = `sequences, row ${row} (${id})`
      if (tokens.length !== trained.length) {
        const message = `${tokens.length} tokens have ${trained.length} marks: each needs one`
        return yield* new Operator.OperatorError({ operator: "sft-sequences", place, message })
      }
      rows.push({ place, sequence: { tokens, from: 1, trained: Uint8Array.from(trained) } })
    }
    return yield* fineTune("sft-sequences", "sequences", inputs.checkpoint, rows, params)
  })
})
