/**
 * `ptmflow gc` and `ptmflow pin`: what a store keeps.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { collect } from "../lineage/collect.ts"
import { pin as pinRun } from "../lineage/roots.ts"
import type { Garbage } from "../store/collect.ts"
import { existingLayer } from "../store/store.ts"
import { printJson, printLines } from "./output.ts"
import { bytes, count } from "./render/quantity.ts"

const total = (garbage: ReadonlyArray<Garbage>): string => {
  const kinds = Map.groupBy(garbage, ({ kind }) => kind)
  const words = [...kinds].map(([kind, { length }]) =>
    kind === "resume points"
      ? `resume points of ${count(length, "stage")}`
      : count(length, kind === "blob" ? "blob" : `${kind} file`)
  )
  const size = bytes(garbage.reduce((sum, each) => sum + each.bytes, 0))
  return garbage.length === 0 ? "nothing" : `${size}: ${words.join(", ")}`
}

/** Removes what no kept run has, or says what it would remove. */
export const gc = Effect.fnUntraced(
  function* (input: {
    readonly store: string
    readonly keep: number
    readonly grace: number
    readonly dryRun: boolean
    readonly json: boolean
  }) {
    const { batches, garbage, kept, roots } = yield* collect(input)
    const removed = garbage.map(({ bytes, kind, name }) => ({ kind, name, bytes }))
    if (input.json) return yield* printJson({ dryRun: input.dryRun, roots, kept, removed, batches })
    const of = (why: string) => roots.filter((root) => root.why === why).length
    yield* printLines([
      `kept ${count(kept, "blob")} of ${count(roots.length, "run")}: ${of("pinned")} pinned, ${of("running")} running, ${of("newest")} newest`,
      `${input.dryRun ? "would remove" : "removed"} ${total(garbage)}`,
      ...(batches === 0 ? [] : [`forgot ${batches} ${batches === 1 ? "batch" : "batches"} that were in it`])
    ])
  },
  (effect, { store }) => Effect.provide(effect, existingLayer(store))
)

/** Pins a run, or takes its pin away. */
export const pin = Effect.fnUntraced(
  function* (input: {
    readonly store: string
    readonly run: string
    readonly remove: boolean
    readonly json: boolean
  }) {
    const run = yield* pinRun(input.run, !input.remove)
    if (input.json) return yield* printJson({ run, pinned: !input.remove })
    yield* printLines([input.remove ? `${run} is no longer pinned` : `${run} is pinned: gc keeps all that it has`])
  },
  (effect, { store }) => Effect.provide(effect, existingLayer(store))
)
