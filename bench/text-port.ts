/** A port for texts: what the stages of measurements of the framework itself pass on. */
import * as Effect from "effect/Effect"
import type { Port } from "../src/operator/port.ts"
import { sha256 } from "../src/store/digest.ts"

export const text: Port<string> = {
  kind: "text",
  contract: "text",
  resident: true,
  encode: Effect.fnUntraced(function* (value, sink) {
    const blob = yield* sink.put(new TextEncoder().encode(value))
    return { kind: "text", digest: sha256(value), parts: { text: blob }, meta: {} }
  }),
  decode: (artifact, source) =>
    Effect.map(source.bytes(artifact.parts["text"]!), (bytes) => new TextDecoder().decode(bytes))
}
