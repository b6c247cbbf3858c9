/**
 * REINFORCE with a leave-one-out baseline: an answer is one action, and the KL is in its reward.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { leaveOneOut, rlooLoss } from "../src/engine/loss/group.ts"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { ScoredCompletion } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { groupParams, groupsOf, update } from "./group/update.ts"
import { NonNegative, parameter } from "./parameter.ts"
import { sum } from "./scoring.ts"

/** An answer's reward is its score less beta times log pi - log ref of the whole answer (Ahmadian et al. 2024). */
export const rloo = Operator.make("rloo", {
  description: "One RLOO round of a policy on groups of scored answers",
  params: Schema.Struct({
    ...groupParams,
    klCoefficient: parameter(NonNegative, 0.05, "beta: reward lost per nat of an answer's KL from the reference")
  }),
  inputs: { policy: CheckpointPort, scored: Table.of(ScoredCompletion) },
  outputs: { policy: CheckpointPort },
  usesDevice: true,
  run: ({ inputs, params }) =>
    update(
      "rloo",
      inputs,
      params,
      Effect.fnUntraced(function* (answers) {
        const rewards = answers.map(
          (row) => row.reward - params.klCoefficient * (sum(row.logProbabilities) - sum(row.referenceLogProbabilities))
        )
        const advantages = new Float64Array(answers.length)
        for (const members of yield* groupsOf("rloo", answers)) {
          leaveOneOut(members.map((i) => rewards[i]!)).forEach((advantage, k) => {
            advantages[members[k]!] = advantage
          })
        }
        return (statistics, part) => {
          const old = new Float64Array(part.batch.batch * part.batch.length)
          const rows = part.members.map((i, b) => {
            const { from, to } = part.rows(b)
            old.set(answers[i]!.logProbabilities, from)
            return { from, to, advantage: advantages[i]! }
          })
          return rlooLoss(statistics, old, rows, params, part.answers)
        }
      })
    )
})
