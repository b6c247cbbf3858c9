/**
 * The policy whose weights are the moving average of those that PPO went through.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import { CheckpointPort } from "./checkpoint.ts"

/** Puts a checkpoint's average (`averageDecay` of PPO) in the place of its weights; optimizer and state are left out. InstructGPT's final policies are such (Ouyang et al. 2022, appendix C.4). */
export const averaged = Operator.make("averaged", {
  description: "The moving average of a policy's weights as a checkpoint",
  params: Schema.Struct({}),
  inputs: { checkpoint: CheckpointPort },
  outputs: { checkpoint: CheckpointPort },
  run: Effect.fnUntraced(function* ({ inputs: { checkpoint } }) {
    const { average, tokenizer, weights } = checkpoint
    if (average === undefined) {
      return yield* new Operator.OperatorError({
        operator: "averaged",
        place: "checkpoint",
        message:
          "the checkpoint has no average of its weights: PPO keeps one where averageDecay is above 0 (instructgpt's is 0.992)"
      })
    }
    const values = weights.values.slice()
    values.set(average)
    return { checkpoint: { weights: { ...weights, values }, tokenizer } }
  })
})
