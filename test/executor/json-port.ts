/** A port of JSON values, kept as one blob, and operators on numbers that count how often they run. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ArtifactError } from "../../src/operator/artifact.ts"
import { canonicalJson } from "../../src/operator/digest.ts"
import type { Port } from "../../src/operator/port.ts"
import { sha256 } from "../../src/store/digest.ts"

/** Values of a schema as canonical JSON. */
export const jsonPort = <A>(schema: Schema.Codec<A, Schema.Json>, contract: string, kind = "json"): Port<A> => ({
  kind,
  contract,
  encode: Effect.fnUntraced(function* (value, sink) {
    const text = canonicalJson(Schema.encodeSync(schema)(value))
    const bytes = yield* sink.put(new TextEncoder().encode(text))
    return { kind, digest: sha256(text), parts: { json: bytes }, meta: {} }
  }),
  decode: Effect.fnUntraced(function* (artifact, source) {
    const bytes = yield* source.bytes(artifact.parts["json"]!)
    return yield* Effect.mapError(
      Schema.decodeUnknownEffect(schema)(JSON.parse(new TextDecoder().decode(bytes))),
      ({ message }) => new ArtifactError({ place: artifact.digest, message })
    )
  })
})

export const numberPort = jsonPort(Schema.Number, "number")
export const numbersPort = jsonPort(Schema.Array(Schema.Number), "numbers")
