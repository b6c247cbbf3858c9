/** What a closed loop begins with: a fresh model on a tokenizer, a reward model on the same, and prompts. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Prompt } from "../../operators/answers.ts"
import { CheckpointPort } from "../../operators/checkpoint.ts"
import { TokenizerPort } from "../../operators/tokenizer/port.ts"
import { initialize, withScalarHead } from "../../src/engine/model.ts"
import * as Operator from "../../src/operator/operator.ts"
import * as Table from "../../src/table/index.ts"

export const begin = Operator.make("begin", {
  description: "A policy and a reward model",
  params: Schema.Struct({ seed: Schema.Int }),
  inputs: { tokenizer: TokenizerPort },
  outputs: { policy: CheckpointPort, rewardModel: CheckpointPort },
  run: ({ inputs: { tokenizer }, params: { seed } }) =>
    Effect.sync(() => {
      const vocabulary = tokenizer.vocabularySize
      const shape = { layers: 1, heads: 2, width: 32, context: 32, vocabulary, scalarHead: false }
      const weights = initialize({ family: "gpt2", ...shape }, seed)
      const rewarding = withScalarHead(initialize({ family: "gpt2", ...shape, layers: 2 }, seed), "reward", seed)
      return { policy: { weights, tokenizer }, rewardModel: { weights: rewarding, tokenizer } }
    })
})

export const prompts = Operator.make("prompts", {
  description: "Beginnings",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { prompts: Table.of(Prompt) },
  run: () =>
    Effect.succeed({
      prompts: Table.fromRows(
        Prompt,
        Array.from({ length: 16 }, (_, i) => ({ id: `p${i}`, prompt: "whale storm Ahab".slice(i % 8, (i % 8) + 6) }))
      )
    })
})
