/**
 * `ptmflow reindex`: the ledger, made anew from the journal.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { reindex as make } from "../lineage/artifact-index.ts"
import { existingLayer, Store } from "../store/store.ts"
import { printJson, printLines } from "./output.ts"
import { count } from "./render/quantity.ts"

/** Makes the index anew, and says how many stages it has. */
export const reindex = Effect.fnUntraced(
  function* (input: { readonly store: string; readonly json: boolean }) {
    const stages = yield* Effect.flatMap(Store, make)
    yield* input.json ? printJson({ stages }) : printLines([`the ledger has ${count(stages, "stage")}`])
  },
  (effect, { store }) => Effect.provide(effect, existingLayer(store))
)
