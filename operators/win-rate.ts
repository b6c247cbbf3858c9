/**
 * Which of two checkpoints answers better, by a reward model's judgement.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Prompt } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { proportion } from "./interval.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { ReportPort } from "./report.ts"
import { sample, samplingParams } from "./rollout.ts"
import { rewards } from "./score.ts"
import { sum } from "./scoring.ts"

/**
 * Both answer every prompt once, and the judge's greater reward wins (equal: half a win each). A policy that was trained against a reward model should be judged by another, or by `evaluate`'s
 * rule. Figures: win-rate with its 95% interval (Wilson), mean rewards.
 */
export const winRate = Operator.make("win-rate", {
  description: "Win-rate of a checkpoint against any other by a reward model",
  params: Schema.Struct({
    ...samplingParams,
    shown: parameter(PositiveInt, 3, "prompts whose answers the report shows")
  }),
  inputs: { policy: CheckpointPort, against: CheckpointPort, judge: CheckpointPort, prompts: Table.of(Prompt) },
  outputs: { report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const prompts = yield* Table.collect(inputs.prompts)
    if (prompts.length === 0) {
      const message = "the table is empty: there is nothing to answer"
      return yield* new Operator.OperatorError({ operator: "win-rate", place: "prompts", message })
    }
    const wanted = prompts.map((prompt) => ({ prompt, sample: 0 }))
    const ours = yield* sample(inputs.policy, wanted, params, 0)
    // With the same draws, like checkpoints would give the same answers.
    const theirs = yield* sample(inputs.against, wanted, { ...params, seed: params.seed + 1 }, 0)
    const ourRewards = yield* rewards(inputs.judge, ours)
    const theirRewards = yield* rewards(inputs.judge, theirs)
    const wins = proportion(
      ourRewards.map((reward, i) => (reward > theirRewards[i]! ? 1 : reward === theirRewards[i]! ? 0.5 : 0))
    )
    const mean = (values: ReadonlyArray<number>) => sum(values) / values.length
    const metrics = { winRate: wins.mean, low: wins.low, high: wins.high }
    yield* stage.report({ metrics: { ...metrics, reward: mean(ourRewards), rewardAgainst: mean(theirRewards) } })
    const note = `on ${prompts.length} prompts`
    return {
      report: {
        title: "Win-rate",
        figures: [
          { name: "win-rate", value: wins.mean, note },
          { name: "win-rate, 95% interval low", value: wins.low },
          { name: "win-rate, 95% interval high", value: wins.high },
          { name: "mean reward of the policy", value: mean(ourRewards), note: "by the judge" },
          { name: "mean reward of the other", value: mean(theirRewards), note: "by the judge" }
        ],
        samples: prompts.slice(0, params.shown).map(({ prompt }, i) => ({
          prompt,
          answers: [
            { checkpoint: "policy", answer: ours[i]!.answer },
            { checkpoint: "other", answer: theirs[i]!.answer }
          ]
        }))
      }
    }
  })
})
