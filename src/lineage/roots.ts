/**
 * What must be kept: the runs that people pinned, the newest of each pipeline, those that are going on, and all that these runs have.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Processes } from "../store/holder.ts"
import type { Journal } from "../store/journal.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { LineageError } from "./ledger.ts"
import { keysOf, runRecords, stageRecord } from "./records.ts"
import { blobsOf } from "./trace.ts"

/** A run that is kept, and why. */
export interface Root {
  readonly run: string
  readonly pipeline: string
  readonly why: "pinned" | "running" | "newest"
}

/** The runs that are kept, the keys of their stages, the digests of the blobs that these stages gave, and the runs whose logs tell of them. */
export interface Roots {
  readonly runs: ReadonlyArray<Root>
  readonly keys: ReadonlySet<string>
  readonly blobs: ReadonlySet<string>
  readonly logs: ReadonlySet<string>
}

/** A run of a process of which nothing can be known here (it is another host's) counts as going on for so long. */
const UNKNOWN_MS = 7 * 24 * 60 * 60 * 1000

const isPinned = (journal: Journal, run: string): boolean => journal.newest("pin", run)?.value() === true

/** Finds the roots. Of each pipeline the newest `keep` runs that succeeded, and the newest `keep` that did not, are roots. */
export const rootsOf = Effect.fnUntraced(function* (keep: number): Effect.fn.Return<Roots, StoreError, Store> {
  const { journal } = yield* Store
  const { isAlive } = yield* Processes
  const now = yield* Clock.currentTimeMillis
  yield* journal.refresh
  const runs: Array<Root> = []
  const keys = new Set<string>()
  const counts = new Map<string, number>()
  for (const record of runRecords(journal)) {
    const { holder, pipeline, run, status, time } = record
    const kind = `${status === "succeeded"} ${pipeline}`
    const count = (counts.get(kind) ?? 0) + 1
    counts.set(kind, count)
    const running = status === "running" && (isAlive(holder) ?? now - time < UNKNOWN_MS)
    if (!isPinned(journal, run) && !running && count > keep) continue
    runs.push({ run, pipeline, why: isPinned(journal, run) ? "pinned" : running ? "running" : "newest" })
    for (const key of keysOf(journal, record).values()) keys.add(key)
  }
  const blobs = new Set<string>()
  // What a kept run reused was reported in the run that made it.
  const logs = new Set(runs.map(({ run }) => run))
  for (const key of keys) {
    const record = stageRecord(journal, key)
    if (record === undefined) continue
    logs.add(record.run)
    for (const { digest } of blobsOf(record)) blobs.add(digest)
  }
  return { runs, keys, blobs, logs }
})

/** Pins the run whose name begins with `reference` (`newest`: the newest), or takes the pin away. Gives the run's name. */
export const pin = Effect.fnUntraced(function* (
  reference: string,
  pinned: boolean
): Effect.fn.Return<string, LineageError | StoreError, Store> {
  const { journal } = yield* Store
  yield* journal.refresh
  const all = [...runRecords(journal)].map(({ run }) => run)
  const found = reference === "newest" ? all.slice(0, 1) : all.filter((run) => run.startsWith(reference))
  const [run, ...others] = found
  if (run === undefined || others.length > 0) {
    const candidates = (others.length > 0 ? found : all).slice(0, 20)
    const known = candidates.length === 0 ? "nothing has run yet" : `there is ${candidates.join(", ")}`
    return yield* new LineageError({
      reference,
      candidates,
      message:
        others.length > 0
          ? `${reference} may be ${candidates.join(" or ")}: say which`
          : `there is no run ${reference}; ${known}`
    })
  }
  yield* journal.append([{ kind: "pin", key: run, value: pinned }], { durable: true })
  return run
})
