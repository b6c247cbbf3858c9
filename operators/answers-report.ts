/**
 * The same prompts answered by the checkpoint of each step of the recipe, side by side.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { Prompt } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { ReportPort } from "./report.ts"
import { sample, samplingParams } from "./rollout.ts"

/** Answers the first `prompts` prompts of the table with each checkpoint. */
export const answerPrompts = Operator.make("answers", {
  description: "Answers prompts with each checkpoint of the recipe",
  params: Schema.Struct({
    prompts: parameter(PositiveInt, 3, "prompts shown"),
    ...samplingParams
  }),
  inputs: {
    pretrained: CheckpointPort,
    supervised: CheckpointPort,
    aligned: CheckpointPort,
    prompts: Table.of(Prompt)
  },
  outputs: { report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const prompts = (yield* Table.collect(inputs.prompts)).slice(0, params.prompts)
    const wanted = prompts.map((prompt) => ({ prompt, sample: 0 }))
    const checkpoints = { pretrained: inputs.pretrained, SFT: inputs.supervised, PPO: inputs.aligned }
    const answers = yield* Effect.forEach(Object.entries(checkpoints), ([name, checkpoint]) =>
      Effect.map(sample(checkpoint, wanted, params, 0), (completions) => ({ name, completions }))
    )
    return {
      report: {
        title: "Answers",
        figures: [],
        samples: prompts.map(({ prompt }, i) => ({
          prompt,
          answers: answers.map(({ completions, name }) => ({ checkpoint: name, answer: completions[i]!.answer }))
        }))
      }
    }
  })
})
