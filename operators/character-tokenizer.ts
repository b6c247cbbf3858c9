/**
 * Makes a tokenizer of the characters that documents have.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { Document } from "./rows.ts"
import { writeCharacters } from "./tokenizer/characters.ts"
import { load } from "./tokenizer/load.ts"
import { TokenizerPort } from "./tokenizer/port.ts"

/** UTF-16 units looked at between turns of other fibers. */
const PIECE = 65_536

/** One token for each distinct character (Unicode code point), in the order of their codes, and one that ends a text. */
export const characterTokenizer = Operator.make("character-tokenizer", {
  description: "Makes a tokenizer whose tokens are the characters of the documents",
  params: Schema.Struct({}),
  inputs: { documents: Table.of(Document) },
  outputs: { tokenizer: TokenizerPort },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const seen = new Set<number>()
    yield* Stream.runForEach(inputs.documents.rows, ({ text }) =>
      Effect.gen(function* () {
        for (let at = 0; at < text.length; ) {
          for (const end = Math.min(at + PIECE, text.length); at < end; ) {
            const code = text.codePointAt(at)!
            seen.add(code)
            at += code > 0xffff ? 2 : 1
          }
          yield* Effect.yieldNow
        }
      })
    )
    const refuse = (message: string) =>
      new Operator.OperatorError({ operator: "character-tokenizer", place: "documents", message })
    if (seen.size === 0) return yield* refuse("there is no text: every document is empty")
    const characters = [...seen].toSorted((a, b) => a - b).map((code) => String.fromCodePoint(code))
    const tokenizer = yield* Effect.mapError(load(writeCharacters(characters, ["<|endoftext|>"])), ({ message }) =>
      refuse(message)
    )
    return { tokenizer }
  })
})
