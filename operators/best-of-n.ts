/**
 * Best of n: of several sampled answers to each prompt, the one that a reward model likes best.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { bestOfNKl } from "../src/engine/loss/group.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Completion, Demonstration } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { rewards } from "./score.ts"
import { sum } from "./scoring.ts"

/**
 * Gives the best answer to each prompt (the first of equals), in the order of the prompts, and the same as demonstrations for `sft` (rejection sampling). Metrics: rewards
 * of all and of the best answers, and the KL of the choice from the policy, ln n - (n - 1) / n nats an answer, which holds where no two answers have the same reward.
 */
export const bestOfN = Operator.make("best-of-n", {
  description: "Keeps the answer to each prompt that a reward model likes best",
  params: Schema.Struct({}),
  inputs: { completions: Table.of(Completion), rewardModel: CheckpointPort },
  outputs: { best: Table.of(Completion), demonstrations: Table.of(Demonstration) },
  columns: {
    best: Operator.unchanged("completions", Object.keys(Completion.fields)),
    demonstrations: Operator.unchanged("completions", Object.keys(Demonstration.fields))
  },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs }) {
    const stage = yield* Stage
    const completions = yield* Table.collect(inputs.completions)
    if (completions.length === 0) {
      const message = "the table is empty: there is nothing to choose from"
      return yield* new Operator.OperatorError({ operator: "best-of-n", place: "completions", message })
    }
    const scores = yield* rewards(inputs.rewardModel, completions)
    const best = new Map<string, number>()
    const counts = new Map<string, number>()
    completions.forEach(({ id }, i) => {
      const other = best.get(id)
      if (other === undefined || scores[i]! > scores[other]!) best.set(id, i)
      counts.set(id, (counts.get(id) ?? 0) + 1)
    })
    const chosen = [...best.values()]
    yield* stage.report({
      metrics: {
        reward: sum(scores) / scores.length,
        rewardOfBest: sum(chosen.map((i) => scores[i]!)) / chosen.length,
        kl: sum(Array.from(counts.values(), bestOfNKl)) / counts.size
      }
    })
    const rows = chosen.map((i) => completions[i]!)
    const from = { completions: chosen }
    return {
      best: Table.fromRows(Completion, rows, { from }),
      demonstrations: Table.fromRows(
        Demonstration,
        rows.map(({ answer, id, prompt }) => ({ id, prompt, answer })),
        { from }
      )
    }
  })
})
