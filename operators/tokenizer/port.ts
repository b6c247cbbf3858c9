/**
 * The port of tokenizers: an artifact of kind `tokenizer` whose one part is `tokenizer.json`, in the format of Hugging Face `tokenizers`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { ArtifactError } from "../../src/operator/artifact.ts"
import { digestOf } from "../../src/operator/digest.ts"
import type { Port } from "../../src/operator/port.ts"
import { load } from "./load.ts"
import type { Tokenizer } from "./tokenizer.ts"

export type { SpecialTokens, Tokenizer } from "./tokenizer.ts"

const PART = "tokenizer.json"

/** The port of tokenizers. The digest is of the JSON value of the file, not of how it is spaced. */
export const TokenizerPort: Port<Tokenizer> = {
  resident: true,
  kind: "tokenizer",
  contract: "tokenizer.json",
  encode: (tokenizer, sink) =>
    Effect.map(sink.put(Buffer.from(tokenizer.json)), (blob) => ({
      kind: "tokenizer",
      digest: digestOf("tokenizer", JSON.parse(tokenizer.json)),
      parts: { [PART]: blob },
      meta: { vocabularySize: tokenizer.vocabularySize, specialTokens: Object.fromEntries(tokenizer.specialTokens) }
    })),
  decode: Effect.fnUntraced(function* (artifact, source) {
    const blob = artifact.parts[PART]
    if (blob === undefined) {
      return yield* new ArtifactError({
        place: artifact.digest,
        message: `a tokenizer was wanted, and this artifact of kind ${artifact.kind} has no ${PART}`
      })
    }
    const bytes = yield* source.bytes(blob)
    return yield* Effect.mapError(
      load(Buffer.from(bytes).toString("utf8")),
      ({ message, place }) => new ArtifactError({ place: `${PART} ${place}`, message })
    )
  })
}
