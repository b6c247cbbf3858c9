/**
 * Turns documents into token sequences, and sets a part of them aside for validation.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { parameter } from "./parameter.ts"
import { Document, TokenSequence } from "./rows.ts"
import { type Segment, segmentsOf } from "./segments.ts"
import { encoding } from "./tokenizer/encoding.ts"
import { TokenizerPort } from "./tokenizer/port.ts"

/** A place in [0, 1) that is a function of the id alone. */
const placeOf = (id: string): number =>
  createHash("sha256").update(`validation ${id}`).digest().readUInt32BE() / 2 ** 32

/**
 * Long documents are cut into segments (see `segmentsOf`); a document's last segment ends with the token that ends a text. A segment is for
 * validation if the place of its id is below `validationFraction`: it stays on its side when other text is added. If that leaves a side
 * empty, the segment with the lowest (or the highest) place is moved there.
 */
export const tokenize = Operator.make("tokenize", {
  description: "Encodes documents as token sequences, split into training and validation",
  params: Schema.Struct({
    validationFraction: parameter(
      Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true, exclusiveMaximum: true })),
      0.05,
      "share of the segments kept for validation"
    ),
    segmentLength: parameter(
      Schema.Int.check(Schema.isGreaterThanOrEqualTo(64)),
      8192,
      "mean characters of the segments that longer documents are cut into"
    )
  }),
  inputs: { documents: Table.of(Document), tokenizer: TokenizerPort },
  outputs: { train: Table.of(TokenSequence), validation: Table.of(TokenSequence) },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const { documents, tokenizer } = inputs
    const stage = yield* Stage
    const segments = documents.rows.pipe(
      Stream.filter(({ text }) => text !== ""),
      Stream.map((document) => segmentsOf(document, params.segmentLength)),
      Stream.flattenIterable
    )
    const places = yield* Stream.runFold(
      segments,
      () => ({ count: 0, least: 1, greatest: 0 }),
      ({ count, greatest, least }, { id }) => {
        const place = placeOf(id)
        return { count: count + 1, least: Math.min(least, place), greatest: Math.max(greatest, place) }
      }
    )
    if (places.least >= places.greatest) {
      return yield* new Operator.OperatorError({
        operator: "tokenize",
        place: "documents",
        message: `${places.count === 0 ? "there is no text" : "the text is one segment"}: training and validation need at least two; give more text or lower segmentLength (${params.segmentLength})`
      })
    }
    const { validationFraction } = params
    const isValidation = ({ id }: Segment): boolean => {
      const place = placeOf(id)
      if (places.least >= validationFraction) return place === places.least
      if (places.greatest < validationFraction) return place !== places.greatest
      return place < validationFraction
    }
    let done = 0
    const encode = ({ id, last, text }: Segment) =>
      encoding("tokenize", `documents, ${id}`, (): TokenSequence => {
        const tokens = tokenizer.encode(text)
        const bytes = Buffer.byteLength(text)
        if (!last) return { id, tokens, bytes }
        const ended = new Int32Array(tokens.length + 1).fill(tokenizer.special.endOfText)
        ended.set(tokens)
        return { id, tokens: ended, bytes }
      })
    const side = (validation: boolean) =>
      Table.fromRows(
        TokenSequence,
        segments.pipe(
          Stream.filter((segment) => isValidation(segment) === validation),
          Stream.mapEffect((segment) =>
            Effect.tap(encode(segment), () => {
              done++
              if (done % 64 > 0 && done < places.count) return Effect.void
              return Effect.andThen(stage.report({ step: done, steps: places.count }), Effect.yieldNow)
            })
          )
        )
      )
    return { train: side(false), validation: side(true) }
  })
})
