/**
 * Turns documents into token sequences, and sets a part of them aside for validation.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Part, parameter } from "./parameter.ts"
import { Document, TokenSequence } from "./rows.ts"
import { type Segment, segmentsOf } from "./segments.ts"
import { encoding } from "./tokenizer/encoding.ts"
import { TokenizerPort } from "./tokenizer/port.ts"
import { endOfText } from "./tokenizer/tokenizer.ts"

/** A place in [0, 1) that is a function of the id alone. */
const placeOf = (id: string): number =>
  createHash("sha256").update(`validation ${id}`).digest().readUInt32BE() / 2 ** 32

/** Which segments are for validation: those with a place below a fraction, or all but one place on one side. */
type Rule = { readonly below: number } | { readonly validation: number } | { readonly train: number }

const isValidation = (rule: Rule, { id }: Segment): boolean => {
  const place = placeOf(id)
  if ("below" in rule) return place < rule.below
  return "validation" in rule ? place === rule.validation : place !== rule.train
}

const sequenceColumns = {
  id: { from: ["documents.id", "documents.text"] },
  tokens: { from: ["documents.text"] },
  bytes: { from: ["documents.text"] }
} as const

/**
 * Long documents are cut into segments (see `segmentsOf`); a document's last segment ends with the token that ends a text. A segment is for
 * validation if the place of its id is below `validationFraction`: it stays on its side when other text is added. If that leaves a side
 * empty, the segment with the lowest (or the highest) place is moved there. Documents are encoded batch by batch: what is added to a corpus costs what
 * it is worth.
 */
export const tokenize = Operator.make("tokenize", {
  description: "Encodes documents as token sequences, split into training and validation",
  params: Schema.Struct({
    validationFraction: parameter(Part, 0.05, "share of the segments kept for validation"),
    segmentLength: parameter(
      Schema.Int.check(Schema.isGreaterThanOrEqualTo(64)),
      8192,
      "mean characters of the segments that longer documents are cut into"
    )
  }),
  inputs: { documents: Table.of(Document), tokenizer: TokenizerPort },
  outputs: { train: Table.of(TokenSequence), validation: Table.of(TokenSequence) },
  columns: { train: sequenceColumns, validation: sequenceColumns },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const { documents, tokenizer } = inputs
    const { segmentLength, validationFraction } = params
    const stage = yield* Stage
    const cut = (document: Document) => (document.text === "" ? [] : segmentsOf(document, segmentLength))
    // Once both sides have a segment no other matters; that is after a few documents.
    const places = yield* documents.rows.pipe(
      Stream.map(cut),
      Stream.flattenIterable,
      Stream.scan(
        () => ({ count: 0, least: 1, greatest: 0 }),
        ({ count, greatest, least }, { id }) => {
          const place = placeOf(id)
          return { count: count + 1, least: Math.min(least, place), greatest: Math.max(greatest, place) }
        }
      ),
      Stream.takeUntil(({ greatest, least }) => least < validationFraction && greatest >= validationFraction),
      Stream.runLast
    )
    const { count, greatest, least } = Option.getOrThrow(places)
    if (least >= greatest) {
      return yield* new Operator.OperatorError({
        operator: "tokenize",
        place: "documents",
        message: `${count === 0 ? "there is no text" : "the text is one segment"}: training and validation need at least two; give more text or lower segmentLength (${segmentLength})`
      })
    }
    const rule: Rule =
      least >= validationFraction
        ? { validation: least }
        : greatest < validationFraction
          ? { train: greatest }
          : { below: validationFraction }
    const total = 2 * (documents.numRows ?? 0)
    let done = 0
    const encode = ({ id, last, text }: Segment) =>
      encoding("tokenize", `documents, ${id}`, (): TokenSequence => {
        const tokens = tokenizer.encode(text)
        const bytes = Buffer.byteLength(text)
        if (!last) return { id, tokens, bytes }
        const ended = new Int32Array(tokens.length + 1).fill(endOfText(tokenizer))
        ended.set(tokens)
        return { id, tokens: ended, bytes }
      })
    const side = (output: "train" | "validation") =>
      Table.mapBatches(documents, {
        over: "documents",
        output,
        key: rule,
        rowSchema: TokenSequence,
        rows: Effect.fnUntraced(function* (batch) {
          const rows: Array<TokenSequence> = []
          const from: Array<number> = []
          for (const [i, document] of batch.entries()) {
            for (const segment of cut(document)) {
              if (isValidation(rule, segment) !== (output === "validation")) continue
              rows.push(yield* encode(segment))
              from.push(i)
              if (rows.length % 64 === 0) yield* Effect.yieldNow
            }
            done++
            if (done % 64 === 0 || done === total) {
              yield* stage.report(total === 0 ? { step: done } : { step: done, steps: total })
            }
          }
          return { rows, from }
        })
      })
    return { train: yield* side("train"), validation: yield* side("validation") }
  })
})
