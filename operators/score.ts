/**
 * Scores sampled answers: the reward model's reward, and each token's log-probability under the frozen reference.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import * as AnswerSequence from "./answer-sequence.ts"
import { Completion, ScoredCompletion } from "./answers.ts"
import { type Checkpoint, CheckpointPort } from "./checkpoint.ts"
import { NonNegative, parameter } from "./parameter.ts"
import { score as scoreSequences, sum, temperatureOf } from "./scoring.ts"
import { encoding } from "./tokenizer/encoding.ts"

/** Rewards of texts under a reward model: each is read as a finished answer, as the model was trained. */
export const rewards = Effect.fnUntraced(function* (
  model: Checkpoint,
  texts: ReadonlyArray<{ readonly prompt: string; readonly answer: string }>
) {
  if (!model.weights.config.scalarHead) {
    return yield* new Operator.OperatorError({
      operator: "score",
      place: "rewardModel",
      message: "the checkpoint has no scalar head: it is a language model, not a reward model"
    })
  }
  const session = yield* Session.make(model.weights)
  const sequences = yield* Effect.forEach(texts, ({ answer, prompt }, row) =>
    encoding("score", `row ${row}`, () => AnswerSequence.encode(model.tokenizer, prompt, answer))
  )
  const statistics = yield* scoreSequences(session, sequences, { language: false, scalar: true, temperature: 1 })
  return statistics.map((s) => s.last)
}, Effect.scoped)

/** Log-probabilities (nats) of each answer token under a language model, at the temperature that the answers were sampled at. */
export const logProbabilities = Effect.fnUntraced(function* (
  model: Checkpoint,
  completions: ReadonlyArray<Completion>
) {
  const temperature = yield* temperatureOf("score", "completions", completions)
  const session = yield* Session.make(model.weights)
  const sequences = completions.map((c) => AnswerSequence.join(c.promptTokens, c.answerTokens))
  const statistics = yield* scoreSequences(session, sequences, { language: true, scalar: false, temperature })
  return statistics.map((s) => s.logProbability)
}, Effect.scoped)

/** The score of an answer that may have to be changed because it did not end by itself. */
const ended = (
  reward: number,
  hasEnd: boolean,
  params: { missingEndScore: number | null; missingEndPenalty: number }
) => (hasEnd ? reward : (params.missingEndScore ?? reward - params.missingEndPenalty))

/** Rewards of answers by a reward model, and their tokens' log-probabilities under the reference. */
export const score = Operator.make("score", {
  description: "Rewards sampled answers and scores them under the reference",
  params: Schema.Struct({
    missingEndScore: parameter(
      Schema.NullOr(Schema.Number),
      null,
      "reward of an answer without an end token in the place of its own; null: its own, less the penalty"
    ),
    missingEndPenalty: parameter(
      NonNegative,
      1,
      "reward lost by an answer without an end token, in standard deviations of the reward"
    )
  }),
  inputs: { completions: Table.of(Completion), rewardModel: CheckpointPort, reference: CheckpointPort },
  outputs: { scored: Table.of(ScoredCompletion) },
  columns: {
    scored: {
      ...Operator.unchanged("completions", Object.keys(Completion.fields)),
      reward: { from: ["completions.promptTokens", "completions.answerTokens", "completions.ended"] },
      referenceLogProbabilities: { from: ["completions.promptTokens", "completions.answerTokens"] }
    }
  },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const completions = yield* Table.collect(inputs.completions)
    const reward = yield* rewards(inputs.rewardModel, completions)
    const reference = yield* logProbabilities(inputs.reference, completions)
    const rows = completions.map(
      (completion, i): ScoredCompletion => ({
        ...completion,
        reward: ended(reward[i]!, completion.ended, params),
        referenceLogProbabilities: reference[i]!
      })
    )
    const kl = sum(rows.map((r) => sum(r.logProbabilities) - sum(r.referenceLogProbabilities))) / rows.length
    yield* stage.report({ metrics: { reward: sum(reward) / rows.length, kl } })
    return { scored: Table.fromRows(ScoredCompletion, rows, { from: { completions: rows.keys() } }) }
  })
})
