/**
 * Group relative policy optimisation: advantages are relative to the other answers to the same prompt, and the KL is in the loss.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { groupAdvantages, grpoLoss } from "../src/engine/loss/group.ts"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { ScoredCompletion } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { groupParams, groupsOf, update } from "./group/update.ts"
import { NonNegative, parameter } from "./parameter.ts"

/** Defaults are DeepSeekMath's (Shao et al. 2024): beta 0.04, scores scaled by their deviation in the group, a mean over each answer's tokens and then over answers. */
export const grpo = Operator.make("grpo", {
  description: "One GRPO round of a policy on groups of scored answers",
  params: Schema.Struct({
    ...groupParams,
    klCoefficient: parameter(NonNegative, 0.04, "weight of the KL from the reference in the loss"),
    scaleAdvantages: parameter(
      Schema.Boolean,
      true,
      "whether advantages are divided by the deviation of the group's scores"
    ),
    average: parameter(
      Schema.Literals(["answer", "token"]),
      "answer",
      "what weighs the same in the loss: each answer, or each token"
    )
  }),
  inputs: { policy: CheckpointPort, scored: Table.of(ScoredCompletion) },
  outputs: { policy: CheckpointPort },
  usesDevice: true,
  run: ({ inputs, params }) =>
    update(
      "grpo",
      inputs,
      params,
      Effect.fnUntraced(function* (answers) {
        const advantages = new Float64Array(answers.length)
        for (const members of yield* groupsOf("grpo", answers)) {
          const scores = members.map((i) => answers[i]!.reward)
          groupAdvantages(scores, params.scaleAdvantages).forEach((advantage, k) => {
            advantages[members[k]!] = advantage
          })
        }
        return (statistics, part) => {
          const rows = part.batch.batch * part.batch.length
          const targets = {
            weight: new Float64Array(rows),
            logProbability: new Float64Array(rows),
            reference: new Float64Array(rows),
            advantage: new Float64Array(rows)
          }
          part.members.forEach((i, b) => {
            const { from, to } = part.rows(b)
            targets.weight.fill(
              params.average === "token" ? 1 / part.tokens : 1 / (part.answers * (to - from)),
              from,
              to
            )
            targets.logProbability.set(answers[i]!.logProbabilities, from)
            targets.reference.set(answers[i]!.referenceLogProbabilities, from)
            targets.advantage.fill(advantages[i]!, from, to)
          })
          return grpoLoss(statistics, targets, params)
        }
      })
    )
})
