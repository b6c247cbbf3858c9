/**
 * Turns documents into token sequences, the end of the text set aside for validation.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Part, parameter } from "./parameter.ts"
import { Document, TokenSequence } from "./rows.ts"
import { encoding } from "./tokenizer/encoding.ts"
import { TokenizerPort } from "./tokenizer/port.ts"

/** UTF-16 units encoded at a time, or more up to the end of a line: a word is not cut, nor a character. */
const PIECE = 32_768

interface Piece {
  readonly document: Document
  readonly row: number
  readonly from: number
  readonly end: number
}

/** The stretches of a document, cut at line ends and, where it lies inside, at `cut`. */
const piecesOf = (document: Document, row: number, cut: number): ReadonlyArray<Piece> => {
  const { text } = document
  const pieces: Array<Piece> = []
  for (let from = 0; from < text.length; ) {
    const line = text.indexOf("\n", Math.min(from + PIECE, text.length))
    const whole = line < 0 ? text.length : line + 1
    const end = from < cut && cut < whole ? cut : whole
    pieces.push({ document, row, from, end })
    from = end
  }
  return pieces
}

/**
 * The documents are one text in their order, as nanoGPT reads its file: its first part is for training, the rest for validation. No token is
 * put between documents or at their end.
 */
export const tokenizeByPosition = Operator.make("tokenize-by-position", {
  description: "Encodes documents as one text, its end kept for validation",
  params: Schema.Struct({
    validationFraction: parameter(Part, 0.1, "share of the characters, at the end of the text, kept for validation")
  }),
  inputs: { documents: Table.of(Document), tokenizer: TokenizerPort },
  outputs: { train: Table.of(TokenSequence), validation: Table.of(TokenSequence) },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const { documents, tokenizer } = inputs
    const stage = yield* Stage
    const length = yield* Stream.runFold(
      documents.rows,
      () => 0,
      (sum, { text }) => sum + text.length
    )
    const cut = Math.floor(length * (1 - params.validationFraction))
    const pieces = documents.rows.pipe(
      Stream.zipWithIndex,
      Stream.mapAccum(
        () => 0,
        (before, [document, row]) => {
          const { text } = document
          // A cut between the two units of one character moves behind it.
          const inside = cut - before
          const moved =
            inside > 0 && inside < text.length && text.codePointAt(inside - 1)! > 0xffff ? inside + 1 : inside
          return [
            before + text.length,
            [...piecesOf(document, row, moved).map((piece) => ({ ...piece, train: piece.end <= moved }))]
          ]
        }
      )
    )
    let done = 0
    const encode = ({ document, end, from }: Piece) => {
      const { id, text } = document
      const bytes = Buffer.byteLength(text.slice(from, end))
      return encoding("tokenize-by-position", `documents, ${id}`, () => {
        try {
          return { id: `${id}#${from}`, tokens: tokenizer.encode(text.slice(from, end)), bytes }
        } catch {
          // Once more from the start: the error then has the line of the document.
          return { id: `${id}#${from}`, tokens: tokenizer.encode(text.slice(0, end)), bytes }
        }
      })
    }
    const side = (train: boolean) => {
      const rows: Array<number> = []
      return Table.fromRows(
        TokenSequence,
        pieces.pipe(
          Stream.filter((piece) => piece.train === train),
          Stream.mapEffect((piece) =>
            Effect.tap(encode(piece), () => {
              rows.push(piece.row)
              done += piece.end - piece.from
              return Effect.andThen(stage.report({ step: done, steps: length }), Effect.yieldNow)
            })
          ),
          Stream.onStart(Effect.sync(() => rows.splice(0)))
        ),
        { from: { documents: rows } }
      )
    }
    return { train: side(true), validation: side(false) }
  })
})
