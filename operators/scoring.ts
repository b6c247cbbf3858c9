/**
 * Scoring: the statistics of many sequences under one model, in batches.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { pad, type Sequence } from "../src/engine/batch.ts"
import type { Heads } from "../src/engine/programs.ts"
import type { Session } from "../src/engine/session.ts"
import { OperatorError } from "../src/operator/operator.ts"

/** Statistics of one sequence's answer tokens, one an answer token; `last` is the scalar head at the sequence's last token. */
export interface SequenceStatistics {
  readonly logProbability: Float32Array
  readonly entropy: Float32Array
  readonly value: Float32Array
  readonly last: number
}

/** Scores sequences `batch` (default 32) at a time, shortest first so that little is padded; results are in the order given. */
export const score = Effect.fnUntraced(function* (
  session: Session,
  sequences: ReadonlyArray<Sequence>,
  heads: Heads,
  batch = 32
) {
  const results: Array<SequenceStatistics> = new Array(sequences.length)
  const order = sequences
    .map((_, i) => i)
    .sort((a, b) => sequences[a]!.tokens.length - sequences[b]!.tokens.length || a - b)
  for (let first = 0; first < order.length; first += batch) {
    const members = order.slice(first, first + batch)
    const padded = pad(
      members.map((i) => sequences[i]!),
      { batch: Math.min(batch, order.length), context: session.config.context }
    )
    const statistics = yield* session.statistics(padded, heads)
    members.forEach((i, b) => {
      const { from, tokens } = sequences[i]!
      const at = b * padded.length
      const rows = (values: ArrayLike<number>) =>
        Float32Array.from({ length: tokens.length - from }, (_, t) => values[at + from - 1 + t] ?? 0)
      results[i] = {
        logProbability: rows(statistics.logProbability),
        entropy: rows(statistics.entropy),
        value: rows(statistics.value),
        last: statistics.value[at + tokens.length - 1] ?? 0
      }
    })
  }
  return results
})

/** The temperature that answers were sampled at: log-probabilities of one batch divide logits by one number. */
export const temperatureOf = (
  operator: string,
  place: string,
  answers: ReadonlyArray<{ readonly temperature: number }>
): Effect.Effect<number, OperatorError> => {
  const temperature = answers[0]?.temperature ?? 1
  const other = answers.findIndex((answer) => answer.temperature !== temperature)
  return other < 0
    ? Effect.succeed(temperature)
    : Effect.fail(
        new OperatorError({
          operator,
          place: `${place}, row ${other}`,
          message: `it was sampled at temperature ${answers[other]!.temperature}, the rows before it at ${temperature}: answers of one table have one temperature`
        })
      )
}

/** Sum of numbers. */
export const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}
