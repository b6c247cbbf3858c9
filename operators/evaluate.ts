/**
 * Evaluates a policy against the model it started from, on prompts that neither was tuned on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { LexiconEntry, Prompt } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { rule } from "./lexicon.ts"
import { ReportPort } from "./report.ts"
import { sample, samplingParams } from "./rollout.ts"
import { logProbabilities, rewards } from "./score.ts"
import { sum } from "./scoring.ts"

/** Mean of outcomes in 0..1 and its 95% interval (normal approximation). */
export const meanWithInterval = (outcomes: ReadonlyArray<number>) => {
  const mean = sum(outcomes) / outcomes.length
  const variance = sum(outcomes.map((x) => (x - mean) ** 2)) / Math.max(outcomes.length - 1, 1)
  const half = 1.96 * Math.sqrt(variance / outcomes.length)
  return { mean, low: Math.max(0, mean - half), high: Math.min(1, mean + half) }
}

/**
 * Both models answer every prompt once; the labelling rule says which answer wins (equal scores are half a win each), never the reward model.
 * The KL is the mean over the policy's answers of sum(log pi - log pi_ref), in nats an answer.
 */
export const evaluate = Operator.make("evaluate", {
  description: "Win-rate of a policy over its reference by the labelling rule, reward and KL",
  params: Schema.Struct(samplingParams),
  inputs: {
    policy: CheckpointPort,
    reference: CheckpointPort,
    rewardModel: CheckpointPort,
    prompts: Table.of(Prompt),
    lexicon: Table.of(LexiconEntry)
  },
  outputs: { report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const prompts = yield* Table.collect(inputs.prompts)
    const wanted = prompts.map((prompt) => ({ prompt, sample: 0 }))
    const judge = yield* rule(inputs.lexicon)
    const ours = yield* sample(inputs.policy, wanted, params, 0)
    const theirs = yield* sample(inputs.reference, wanted, { ...params, seed: params.seed + 1 }, 0)
    const outcomes = ours.map((answer, i) => {
      const difference = judge(answer.answer) - judge(theirs[i]!.answer)
      return difference > 0 ? 1 : difference === 0 ? 0.5 : 0
    })
    const wins = meanWithInterval(outcomes)
    const reference = yield* logProbabilities(inputs.reference, ours)
    const kl = sum(ours.map((c, i) => sum(c.logProbabilities) - sum(reference[i]!))) / ours.length
    const mean = (values: ReadonlyArray<number>) => sum(values) / values.length
    const policyReward = mean(yield* rewards(inputs.rewardModel, ours))
    const referenceReward = mean(yield* rewards(inputs.rewardModel, theirs))
    const note = `on ${prompts.length} held-out prompts`
    const byRule = (answers: typeof ours) => mean(answers.map((c) => judge(c.answer)))
    yield* stage.report({ metrics: { winRate: wins.mean, kl, reward: policyReward } })
    return {
      report: {
        title: "PPO policy against SFT policy",
        figures: [
          { name: "mean reward, SFT", value: referenceReward, note: "by the reward model" },
          { name: "mean reward, PPO", value: policyReward, note: "by the reward model" },
          { name: "mean score by the rule, SFT", value: byRule(theirs), note },
          { name: "mean score by the rule, PPO", value: byRule(ours), note },
          { name: "win-rate by the rule", value: wins.mean, note },
          { name: "win-rate, 95% interval low", value: wins.low },
          { name: "win-rate, 95% interval high", value: wins.high },
          { name: "KL from the reference", value: kl, unit: "nats/answer", note }
        ],
        samples: []
      }
    }
  })
})
