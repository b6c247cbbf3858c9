/** A small GPT over the characters of nursery rhymes: documents -> verses -> tokens -> a pretrained model. */
import * as Schema from "effect/Schema"
import { Pipeline } from "ptmflow"
import { characterTokenizer, parameter, pretrain, readDocuments, tokenizeByPosition } from "ptmflow/operators"
import { verses } from "../operators/verses.ts"

const Params = Schema.Struct({
  text: parameter(Schema.String, "data/*.txt", "the text files"),
  shortest: parameter(Schema.Int, 40, "characters a verse has at least"),
  steps: parameter(Schema.Int, 200, "updates of the model")
})

export default Pipeline.make(
  "rhymes",
  { description: "A small GPT over the characters of nursery rhymes", params: Params },
  (p, { shortest, steps, text }) => {
    const { documents } = p.add(readDocuments, { params: { paths: text } })
    const rhymes = p.add(verses, { inputs: { documents }, params: { shortest } })
    const { tokenizer } = p.add(characterTokenizer, { inputs: { documents: rhymes.verses } })
    const { train, validation } = p.add(tokenizeByPosition, { inputs: { documents: rhymes.verses, tokenizer } })
    return p.add(pretrain, {
      inputs: { train, validation, tokenizer },
      params: { layers: 2, heads: 2, width: 64, context: 64, steps, warmup: 20 }
    })
  }
)
