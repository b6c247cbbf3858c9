/**
 * A store to run a stage again in: what it gives is written there and goes with it, what it takes comes from the store that it is about, and is compared with its
 * digest. Of results, batches and resume points that are known there it knows nothing.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Blob } from "../operator/artifact.ts"
import { sourceOf } from "../store/blobs.ts"
import { CurrentDisk } from "../store/disk.ts"
import { uniqueName } from "../store/durable.ts"
import { open, type Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"

/** `store` is the one to run in; `recorded` has what is recorded, and `found` what was given here. */
export interface Trial {
  readonly store: Store["Service"]
  readonly recorded: Store["Service"]
  readonly found: Store["Service"]
}

/** A trial about a store, in its folder of temporary files, until the scope closes. What a process leaves that is killed goes after a day, as all there does. */
export const makeTrial = Effect.fnUntraced(function* (
  about: Store["Service"]
): Effect.fn.Return<Trial, StoreError, Scope.Scope> {
  const disk = yield* CurrentDisk
  yield* about.prepare
  const folder = path.join(about.folder, "temporary", `verify-${yield* uniqueName}`)
  const found = yield* Effect.acquireRelease(open(folder), () => Effect.ignore(disk.remove(folder)))
  yield* found.prepare
  const touch = Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.ignore(disk.touch(folder, now)))
  yield* Effect.forkScoped(Effect.repeat(touch, Schedule.spaced("1 hour")))
  // A store that was just opened has compared no blob with its digest yet.
  const recorded = yield* open(about.folder)
  const of = (blob: Blob) => (recorded.blobs.has(blob) ? recorded.blobs : found.blobs)
  const blobs = {
    ...found.blobs,
    has: (blob: Blob) => of(blob).has(blob),
    bytes: (blob: Blob) => of(blob).bytes(blob),
    path: (blob: Blob) => of(blob).path(blob)
  }
  return { recorded, found, store: { ...found, blobs, source: sourceOf(blobs) } }
})
