/**
 * Imports a model from Hugging Face's files.
 *
 * @since 0.1.0
 */
import { readdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import { CheckpointPort } from "./checkpoint.ts"
import * as Import from "./huggingface/import.ts"
import { TokenizerPort } from "./tokenizer/port.ts"

const wanted = /^(config\.json|tokenizer\.json|model\.safetensors\.index\.json|model(-\d+-of-\d+)?\.safetensors)$/

/**
 * A checkpoint from a folder with `config.json`, `tokenizer.json` and `model.safetensors` or its shards: GPT-2 and Llama models whose weights
 * are f32, f16 or bf16. They become f32 exactly.
 */
export const importCheckpoint = Operator.make("import-checkpoint", {
  description: "Imports a GPT-2 or Llama model from Hugging Face's files",
  params: Schema.Struct({
    folder: Schema.String.annotateKey({
      description: "the folder with config.json, tokenizer.json and model.safetensors or its shards",
      messageMissingKey: "a folder is needed: --set folder=models/gpt2"
    })
  }),
  inputs: {},
  outputs: { checkpoint: CheckpointPort, tokenizer: TokenizerPort },
  sources: ({ folder }) =>
    Effect.tryPromise({
      try: async () => {
        const names = (await readdir(resolve(folder))).filter((name) => wanted.test(name)).toSorted()
        return names.map((name) => ({ name, path: join(resolve(folder), name) }))
      },
      catch: (cause) =>
        new Operator.OperatorError({
          operator: "import-checkpoint",
          place: `folder: ${JSON.stringify(folder)}`,
          message: String(cause)
        })
    }),
  run: ({ sources }) =>
    Effect.map(Import.read(new Map(sources.map(({ name, path }) => [name, path]))), (checkpoint) => ({
      checkpoint,
      tokenizer: checkpoint.tokenizer
    }))
})
