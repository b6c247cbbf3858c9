/**
 * Scores by a function of your own in the place of a reward model: plain, an Effect, or a call of a service over HTTP.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Completion, ScoredCompletion } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { logProbabilities } from "./score.ts"
import { sum } from "./scoring.ts"

type Rewards = ReadonlyArray<number>

/**
 * An operator with the ports of `score` but for the reward model. `reward` is given all answers of a round and gives one number for each, or an Effect of them; a number that is not
 * finite, or another count of them, is refused. Whatever it reads beside its arguments is not in the stage's key, so a service that changes its mind needs a parameter that says which it is.
 */
export const scoreWith = <Params, E = never, R = never>(
  name: string,
  options: {
    readonly description: string
    readonly params: Operator.ParamsSchema<Params>
    readonly reward: (answers: ReadonlyArray<Completion>, params: Params) => Rewards | Effect.Effect<Rewards, E, R>
  }
) =>
  Operator.make(name, {
    description: options.description,
    params: options.params,
    inputs: { completions: Table.of(Completion), reference: CheckpointPort },
    outputs: { scored: Table.of(ScoredCompletion) },
    columns: {
      scored: {
        ...Operator.unchanged("completions", Object.keys(Completion.fields)),
        referenceLogProbabilities: { from: ["completions.promptTokens", "completions.answerTokens"] }
      }
    },
    usesDevice: true,
    run: Effect.fnUntraced(function* ({ inputs, params }) {
      const stage = yield* Stage
      const completions = yield* Table.collect(inputs.completions)
      const given = options.reward(completions, params)
      const rewards = Effect.isEffect(given) ? yield* given : given
      const refuse = (place: string, message: string) => new Operator.OperatorError({ operator: name, place, message })
      if (rewards.length !== completions.length) {
        return yield* refuse("reward", `it gave ${rewards.length} numbers for ${completions.length} answers`)
      }
      const bad = rewards.findIndex((reward) => !Number.isFinite(reward))
      if (bad >= 0) {
        const { id, sample } = completions[bad]!
        return yield* refuse(`completions, row ${bad} (${id}, sample ${sample})`, `its reward is ${rewards[bad]}`)
      }
      const references = yield* logProbabilities(inputs.reference, completions)
      const rows = completions.map(
        (row, i): ScoredCompletion => ({ ...row, reward: rewards[i]!, referenceLogProbabilities: references[i]! })
      )
      const kl = sum(rows.map((r) => sum(r.logProbabilities) - sum(r.referenceLogProbabilities))) / rows.length
      yield* stage.report({ metrics: { reward: sum(rewards) / rows.length, kl } })
      return { scored: Table.fromRows(ScoredCompletion, rows, { from: { completions: rows.keys() } }) }
    })
  })
