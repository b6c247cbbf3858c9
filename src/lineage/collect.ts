/**
 * Garbage collection of a store: keeps what the roots have, takes the rest away.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { findGarbage, type Garbage, type Kept, removeGarbage } from "../store/collect.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { stageRecord } from "./records.ts"
import { type Root, rootsOf } from "./roots.ts"

/** `keep`: how many runs of each pipeline (see `rootsOf`); `grace` in milliseconds: nothing younger goes; `dryRun`: nothing goes. */
export interface CollectOptions {
  readonly keep: number
  readonly grace: number
  readonly dryRun: boolean
}

/** What was kept for which runs, and what went, or would go; `batches` are those that were forgotten as their rows went. */
export interface Collected {
  readonly roots: ReadonlyArray<Root>
  readonly kept: number
  readonly garbage: ReadonlyArray<Garbage>
  readonly batches: number
}

/** Collects, one process at a time. */
export const collect = Effect.fnUntraced(function* (
  options: CollectOptions
): Effect.fn.Return<Collected, StoreError, Store> {
  const store = yield* Store
  const roots = rootsOf(options.keep)
  const keptOf = Effect.map(
    Effect.provideService(roots, Store, store),
    ({ blobs, logs }): Kept => ({ blobs, logs, isFinished: (key) => stageRecord(store.journal, key) !== undefined })
  )
  const { blobs, runs } = yield* roots
  const find = Effect.flatMap(keptOf, (kept) => findGarbage(store, kept, options.grace))
  if (options.dryRun) return { roots: runs, kept: blobs.size, garbage: yield* find, batches: 0 }
  // The lease of this collection itself protects nothing.
  const garbage = yield* find
  const removed =
    garbage.length === 0
      ? []
      : yield* store.holding(
          "collection",
          () => Effect.void,
          () => removeGarbage(store, garbage, keptOf)
        )
  const batches = yield* store.batches.prune(store.blobs.has)
  return { roots: runs, kept: blobs.size, garbage: removed, batches }
})
