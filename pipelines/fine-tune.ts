/**
 * Fine-tunes a model in Hugging Face's files on dialogues with low-rank adapters, and exports it with the adapters merged.
 *
 *     npm run ptmflow -- run pipelines/fine-tune.ts --set model=models/SmolLM2-135M-Instruct --set dialogues=dialogues.jsonl
 *     npm run ptmflow -- export fine-tune.files models/mine
 *
 * A line of `dialogues.jsonl`: {"id": "1", "messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Dialogue } from "../operators/chat/rows.ts"
import { chatml } from "../operators/chat/template.ts"
import { chatSequences } from "../operators/chat.ts"
import { exportCheckpoint } from "../operators/export-checkpoint.ts"
import { importCheckpoint } from "../operators/import-checkpoint.ts"
import { Positive, PositiveInt, parameter } from "../operators/parameter.ts"
import { readTable } from "../operators/read-table.ts"
import { sftSequences } from "../operators/sft.ts"
import * as Pipeline from "../src/pipeline/pipeline.ts"

const required = (description: string, example: string) =>
  Schema.String.annotateKey({ description, messageMissingKey: `${description} is needed: --set ${example}` })

const Params = Schema.Struct({
  model: required("the folder of a gpt2 or llama model in Hugging Face's files", "model=models/gpt2"),
  dialogues: required("a table of dialogues (id, messages)", "dialogues=dialogues.jsonl"),
  template: parameter(Schema.String, chatml, "the chat template, as chat_template of tokenizer_config.json"),
  endToken: parameter(Schema.String, "", "the token that ends an answer; empty: the one that ends a text"),
  padIsEnd: parameter(
    Schema.Literals(["error", "allow"]),
    "error",
    "whether the token that fills rows may end answers"
  ),
  epochs: parameter(PositiveInt, 2, "times each dialogue is seen"),
  batch: parameter(PositiveInt, 16, "rows of the context's length an update"),
  microBatch: parameter(PositiveInt, 4, "rows computed at once"),
  learningRate: parameter(Positive, 2e-4, "peak learning rate"),
  loraRank: parameter(PositiveInt, 16, "rank of the adapters"),
  loraAlpha: parameter(Positive, 32, "adapters add alpha / rank times their product")
})

/** The dialogues to learn from. */
export const readDialogues = readTable("dialogues", Dialogue)

export default Pipeline.make(
  "fine-tune",
  { description: "Fine-tunes a model in Hugging Face's files on dialogues, with adapters", params: Params },
  (p, { dialogues, endToken, model, padIsEnd, template, ...training }) => {
    const base = p.add(importCheckpoint, { params: { folder: model } })
    const { rows } = p.add(readDialogues, { params: { paths: dialogues } })
    const { sequences } = p.add(chatSequences, {
      inputs: { dialogues: rows, tokenizer: base.tokenizer },
      params: { template, endToken, padIsEnd }
    })
    const tuned = p.add(sftSequences, {
      name: "sft",
      inputs: { checkpoint: base.checkpoint, sequences },
      params: { ...training, packing: true }
    })
    const { files } = p.add(exportCheckpoint, { name: "export", inputs: { checkpoint: tuned.checkpoint } })
    return { checkpoint: tuned.checkpoint, report: tuned.report, files }
  }
)
