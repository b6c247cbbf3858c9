/**
 * A GPT over the characters of one text: nanoGPT's recipe for `shakespeare-char` on a CPU (4 layers, 4 heads, width 128, context 64, batch 12,
 * 2,000 updates). nanoGPT's README reports a validation loss of 1.88 nats a character for it.
 *
 *     npm run ptmflow -- run pipelines/char-gpt.ts --set text=shakespeare.txt
 *     npm run ptmflow -- generate char-gpt --prompt "ROMEO:"
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { architectureParams } from "../operators/architecture.ts"
import { characterTokenizer } from "../operators/character-tokenizer.ts"
import { readDocuments } from "../operators/documents.ts"
import { Positive, PositiveInt, parameter } from "../operators/parameter.ts"
import { pretrain } from "../operators/pretrain.ts"
import { tokenizeByPosition } from "../operators/tokenize-by-position.ts"
import * as Pipeline from "../src/pipeline/pipeline.ts"

const Params = Schema.Struct({
  text: Schema.String.annotateKey({
    description: "the text file (.txt or .md); several with commas",
    messageMissingKey: "a text file is needed: --set text=shakespeare.txt"
  }),
  family: architectureParams.family,
  layers: parameter(PositiveInt, 4, "transformer blocks"),
  heads: parameter(PositiveInt, 4, "attention heads"),
  width: parameter(PositiveInt, 128, "width of the residual stream"),
  context: parameter(PositiveInt, 64, "characters the model can read"),
  batch: parameter(PositiveInt, 12, "windows an update"),
  steps: parameter(PositiveInt, 2000, "updates"),
  learningRate: parameter(Positive, 1e-3, "peak learning rate; the cosine ends at a tenth of it"),
  seed: parameter(Schema.Int, 1, "of the initial weights and the order of the data")
})

export default Pipeline.make(
  "char-gpt",
  { description: "A GPT over the characters of a text file: nanoGPT's shakespeare-char for a CPU", params: Params },
  (p, { text, ...params }) => {
    const { documents } = p.add(readDocuments, { params: { paths: text.split(",") } })
    const { tokenizer } = p.add(characterTokenizer, { inputs: { documents } })
    const { train, validation } = p.add(tokenizeByPosition, { inputs: { documents, tokenizer } })
    return p.add(pretrain, {
      inputs: { train, validation, tokenizer },
      params: { ...params, warmup: 100, finalLearningRate: 0.1, weightDecay: 0.1, beta2: 0.99, validationWindows: 0 }
    })
  }
)
