/**
 * `ptmflow status`: the newest run and what became of its stages.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { newestRun } from "../lineage/ledger.ts"
import { layer as storeLayer } from "../store/store.ts"
import { program } from "./invocation.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { statusLines } from "./render/status.ts"

/** Prints the newest run. */
export const status = Effect.fnUntraced(function* (input: { readonly store: string; readonly json: boolean }) {
  const run = yield* Effect.provide(newestRun, storeLayer(input.store))
  if (input.json) return yield* printJson(run ?? null)
  if (run === undefined) {
    return yield* printLines([`Nothing has run in ${input.store} yet: ${program()} run <pipeline.ts>`])
  }
  yield* printLines(statusLines(run, yield* Clock.currentTimeMillis, viewOf(process.stdout)))
})
