/**
 * Row types around prompts and their answers.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Table from "../src/table/index.ts"

/** A text that a policy is to continue. */
export const Prompt = Schema.Struct({ id: Schema.String, prompt: Schema.String })
export type Prompt = typeof Prompt.Type

/** A prompt with the answer a person gave. `answer` follows `prompt` as written, its leading space included. */
export const Demonstration = Schema.Struct({ id: Schema.String, prompt: Schema.String, answer: Schema.String })
export type Demonstration = typeof Demonstration.Type

/**
 * A sampled answer: number `sample` (from 0) to the prompt named `id`. `ended` says whether the policy
 * stopped by itself: `answerTokens` then ends with the end token or a stop token, which an answer cut at its limit has not; `logProbabilities` (nats, one an answer token)
 * are those of softmax(logits / temperature) at the moment of sampling (temperature 1 where the likeliest token was taken). Whatever scores or trains on the answer divides logits by
 * the same temperature.
 */
export const Completion = Schema.Struct({
  id: Schema.String,
  sample: Schema.Int,
  prompt: Schema.String,
  answer: Schema.String,
  promptTokens: Table.Int32List,
  answerTokens: Table.Int32List,
  logProbabilities: Table.Float32List,
  temperature: Schema.Number,
  ended: Schema.Boolean
})
export type Completion = typeof Completion.Type

/** A sampled answer with its reward, and each token's log-probability under the frozen reference. */
export const ScoredCompletion = Schema.Struct({
  ...Completion.fields,
  reward: Schema.Number,
  referenceLogProbabilities: Table.Float32List
})
export type ScoredCompletion = typeof ScoredCompletion.Type

/**
 * An answer as PPO learned from it, with one number for each of its tokens: `tokenRewards` (-beta times the KL, and the score at the last token; before
 * whitening), `values` of the critic before the round, and the `advantages` and `returns` of generalised advantage estimation, advantages whitened over all
 * answers of the round where the round whitens them.
 */
export const Experience = Schema.Struct({
  id: Schema.String,
  sample: Schema.Int,
  prompt: Schema.String,
  answer: Schema.String,
  answerTokens: Table.Int32List,
  logProbabilities: Table.Float32List,
  referenceLogProbabilities: Table.Float32List,
  reward: Schema.Number,
  tokenRewards: Table.Float32List,
  values: Table.Float32List,
  advantages: Table.Float32List,
  returns: Table.Float32List
})
export type Experience = typeof Experience.Type

/** K answers to one prompt in a person's order: rank 1 is best, equal ranks are ties. */
export const Ranking = Schema.Struct({
  id: Schema.String,
  prompt: Schema.String,
  answers: Schema.Array(Schema.String),
  ranks: Schema.Array(Schema.Int)
})
export type Ranking = typeof Ranking.Type

/** A word and its sentiment, from very negative to very positive. */
export const LexiconEntry = Schema.Struct({ word: Schema.String, valence: Schema.Number })
export type LexiconEntry = typeof LexiconEntry.Type
