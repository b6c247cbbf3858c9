/**
 * Trains a byte-level tokenizer on documents.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import * as Pace from "./pace.ts"
import { parameter } from "./parameter.ts"
import { Document } from "./rows.ts"
import { endsOfText, load } from "./tokenizer/load.ts"
import { TokenizerPort } from "./tokenizer/port.ts"
import { GPT2_PATTERN, splitByPattern } from "./tokenizer/split.ts"
import { write } from "./tokenizer/tokenizer-json.ts"
import { layOut, makeTrainer, type WordCounts } from "./tokenizer/train.ts"
import { TrainerPort } from "./tokenizer/trainer-port.ts"

const refuse = (place: string, message: string) =>
  new Operator.OperatorError({ operator: "train-tokenizer", place, message })

/** Work goes on for so long (ms) before other fibers and the event loop get their turn. */
const SLICE = 20

/** Characters counted between looks at the clock. */
const CHUNK = 65_536

/** How often each word (as GPT-2 splits text) is seen in all documents. */
const countWords = Effect.fnUntraced(function* (documents: Table.Table<Document>) {
  const counts = new Map<string, number>()
  const split = splitByPattern(GPT2_PATTERN)
  const count = (word: string) => {
    const known = counts.get(word)
    // A new word is copied: a slice would keep its whole document in memory.
    if (known === undefined) counts.set(Buffer.from(word, "utf16le").toString("utf16le"), 1)
    else counts.set(word, known + 1)
  }
  yield* Stream.runForEach(documents.rows, ({ text }) =>
    Effect.gen(function* () {
      for (let from = 0; from < text.length; ) {
        // Pieces end after a line, where no word goes on.
        const line = text.indexOf("\n", from + CHUNK)
        const end = line < 0 ? text.length : line + 1
        split(text.slice(from, end), count, from === 0)
        from = end
        yield* Effect.yieldNow
      }
    })
  )
  return counts as WordCounts
})

/**
 * Trains byte pair encoding on all documents and gives a tokenizer in the format of Hugging Face's `tokenizers`.
 * ptmflow-allow time: how often others get their turn
 */
export const trainTokenizer = Operator.make("train-tokenizer", {
  description: "Trains a byte-level BPE tokenizer (GPT-2's) on documents",
  params: Schema.Struct({
    vocabularySize: parameter(
      Schema.Int.check(Schema.isBetween({ minimum: 258, maximum: 2 ** 24 })),
      4096,
      "tokens in all: the 256 bytes, the merges and the special tokens; fewer if no pair of tokens is left that is seen twice"
    ),
    specialTokens: parameter(
      Schema.Array(Schema.String),
      ["<|endoftext|>", "<|pad|>"],
      "tokens that no text encodes to; one of them ends a text, by a usual name: <|endoftext|>, </s>, ..."
    )
  }),
  inputs: { documents: Table.of(Document) },
  outputs: { tokenizer: TokenizerPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const { specialTokens, vocabularySize } = params
    const stage = yield* Stage
    const size = vocabularySize - specialTokens.length
    if (new Set(specialTokens).size < specialTokens.length || size < 256) {
      return yield* refuse("specialTokens", "special tokens must differ, and leave room for the 256 bytes")
    }
    if (!endsOfText.some((name) => specialTokens.includes(name))) {
      const message = `no special token ends a text: one of ${endsOfText.join(", ")} is needed`
      return yield* refuse("specialTokens", message)
    }
    const saved = yield* stage.resume(TrainerPort)
    const from = Option.isSome(saved) ? saved.value.value : layOut(yield* countWords(inputs.documents))
    const words = from.lengths.length
    if (words === 0) return yield* refuse("documents", "there is no text to train on: every document is empty")

    const trainer = makeTrainer(from)
    const steps = size - 256
    const pace = yield* Pace.make(steps)
    const slice = Math.min(SLICE, yield* Pace.SaveInterval)
    let more = true
    while (more && trainer.tokens.length < size) {
      const until = performance.now() + slice
      do more = trainer.step()
      while (more && trainer.tokens.length < size && performance.now() < until)
      const step = trainer.tokens.length - 256
      yield* stage.report({ step, steps: more ? steps : step, metrics: { words } })
      if (more && step < steps) {
        yield* pace.save(Effect.suspend(() => stage.save(TrainerPort, { step, value: trainer.state() })))
      }
      yield* Effect.yieldNow
    }
    const clash = specialTokens.find((token) => trainer.tokens.includes(token))
    if (clash !== undefined)
      return yield* refuse("specialTokens", `${JSON.stringify(clash)} is also a token of the text`)
    const json = write({ tokens: trainer.tokens, merges: trainer.merges, special: specialTokens })
    const tokenizer = yield* Effect.mapError(load(json), ({ message }) => refuse("specialTokens", message))
    return { tokenizer }
  })
})
