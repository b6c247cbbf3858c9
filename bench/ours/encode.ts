/** Encoding texts with a tokenizer. */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { load } from "../../operators/tokenizer/load.ts"
import type { EncodeSpec, Open } from "./work.ts"

export const encode: Open<EncodeSpec> = Effect.fnUntraced(function* (spec) {
  const texts: ReadonlyArray<string> = JSON.parse(readFileSync(spec.texts, "utf8"))
  const tokenizer = yield* Effect.orDie(load(readFileSync(spec.tokenizer, "utf8")))
  const all = Effect.sync(() => texts.reduce((tokens, text) => tokens + tokenizer.encode(text).length, 0))
  return { opened: { tokens: yield* all }, again: Effect.asVoid(all) }
})
