/**
 * Exports a checkpoint to Hugging Face's files.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { HuggingFacePort } from "./huggingface/port.ts"
import { PositiveInt, parameter } from "./parameter.ts"

/**
 * The language model of a checkpoint as `config.json`, `tokenizer.json` and `model.safetensors` (f32), or shards with their index where it is
 * larger than `shardBytes`. Optimizer state and a scalar head (a value or a reward) are left out.
 */
export const exportCheckpoint = Operator.make("export-checkpoint", {
  description: "Exports a checkpoint's language model to Hugging Face's files",
  params: Schema.Struct({
    shardBytes: parameter(PositiveInt, 5_000_000_000, "bytes of tensors that a file may have")
  }),
  inputs: { checkpoint: CheckpointPort },
  outputs: { files: HuggingFacePort },
  run: ({ inputs: { checkpoint }, params: { shardBytes } }) => Effect.succeed({ files: { checkpoint, shardBytes } })
})
