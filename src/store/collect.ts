/**
 * Garbage collection: blobs that nothing kept refers to, and what was left behind.
 *
 * A blob that is younger than the grace period, or than the oldest lease that is held, is left: it may be about to be recorded. A blob that is
 * taken away is first moved aside. If what is kept has changed meanwhile, or the blob was written again, it is moved back; else it is removed.
 * If a run counts on it all the same, it finds it lost and makes it again.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { CurrentDisk, type Disk } from "./disk.ts"
import { look, makeDurable, uniqueName } from "./durable.ts"
import type { Store } from "./store.ts"
import type { StoreError } from "./storeError.ts"

/** One thing that can go. `name` is a blob's digest, a stage key (resume points), a run (log), or a file's name. */
export interface Garbage {
  readonly kind: "blob" | "resume points" | "quarantined" | "temporary" | "log"
  readonly name: string
  readonly path: string
  readonly bytes: number
}

/** What is kept: digests of blobs, runs of which there may be a log, and the keys of stages that are finished, whose resume points are of no more use. */
export interface Kept {
  readonly blobs: ReadonlySet<string>
  readonly logs: ReadonlySet<string>
  readonly isFinished: (key: string) => boolean
}

/** Resume points that nobody has gone on from for so long are given up, and so are the logs of detached runs. */
const RESUME_MS = 14 * 24 * 60 * 60 * 1000

const DAY_MS = 24 * 60 * 60 * 1000

const sizeOf = (disk: Disk, at: string): number => {
  const stat = disk.stat(at)
  if (stat?.isFolder !== true) return stat?.bytes ?? 0
  return safeList(disk, at).reduce((sum, name) => sum + sizeOf(disk, path.join(at, name)), 0)
}

const safeList = (disk: Disk, at: string): ReadonlyArray<string> => disk.list(at) ?? []

/** What can go now. `grace` is in milliseconds. */
export const findGarbage = Effect.fnUntraced(function* (
  store: Store["Service"],
  kept: Kept,
  grace: number
): Effect.fn.Return<ReadonlyArray<Garbage>, StoreError> {
  const disk = yield* CurrentDisk
  const now = yield* Clock.currentTimeMillis
  const leases = (yield* store.leases).filter(({ alive }) => alive)
  const before = Math.min(now - grace, ...leases.map(({ since }) => since))
  const held = new Set(leases.map(({ key }) => key))
  const under = (folder: string) => path.join(store.folder, folder)
  return yield* look(store.folder, () => {
    const found: Array<Garbage> = []
    const add = (kind: Garbage["kind"], folder: string, name: string, limit: number) => {
      const at = path.join(folder, name)
      const stat = disk.stat(at)
      if (stat !== undefined && stat.changed < limit) found.push({ kind, name, path: at, bytes: sizeOf(disk, at) })
    }
    for (const group of safeList(disk, under("objects"))) {
      const folder = path.join(under("objects"), group)
      for (const name of safeList(disk, folder)) if (!kept.blobs.has(name)) add("blob", folder, name, before)
    }
    for (const key of safeList(disk, under("resume"))) {
      if (held.has(key)) continue
      add("resume points", under("resume"), key, kept.isFinished(key) ? Math.min(before, now - grace) : now - RESUME_MS)
    }
    for (const name of safeList(disk, under("detached"))) {
      const events = disk.stat(path.join(under("detached"), name, "events"))
      if ((events?.changed ?? 0) < now - RESUME_MS) add("log", under("detached"), name, now - RESUME_MS)
    }
    for (const run of safeList(disk, under("runs"))) if (!kept.logs.has(run)) add("log", under("runs"), run, before)
    for (const name of safeList(disk, under("quarantine"))) add("quarantined", under("quarantine"), name, now - grace)
    for (const name of safeList(disk, under("temporary"))) {
      add("temporary", under("temporary"), name, now - Math.max(grace, DAY_MS))
    }
    return found
  })
})

/** Removes garbage. `kept` is asked once more when blobs have been moved aside. Gives what was removed. */
export const removeGarbage = Effect.fnUntraced(function* (
  store: Store["Service"],
  garbage: ReadonlyArray<Garbage>,
  kept: Effect.Effect<Kept, StoreError>
): Effect.fn.Return<ReadonlyArray<Garbage>, StoreError> {
  const disk = yield* CurrentDisk
  const durable = makeDurable(disk, store.folder)
  const aside = path.join(store.folder, "temporary", `collected-${yield* uniqueName}`)
  const blobs = garbage.filter(({ kind }) => kind === "blob")
  const stamps = yield* look(aside, () => new Map(blobs.map((each) => [each.name, disk.stat(each.path)?.changed])))
  yield* durable.folder(aside)
  const moved: Array<Garbage> = []
  for (const each of blobs) {
    const done = disk.rename(each.path, path.join(aside, each.name))
    const there = yield* Effect.as(done, true).pipe(
      Effect.catch((error) => (error.reason === "lost" ? Effect.succeed(false) : Effect.fail(error)))
    )
    if (there) moved.push(each)
  }
  const { blobs: needed } = yield* kept
  const removed: Array<Garbage> = []
  for (const each of moved) {
    const at = path.join(aside, each.name)
    const changed = (yield* look(at, () => disk.stat(at)))?.changed
    if (needed.has(each.name) || changed !== stamps.get(each.name)) yield* disk.rename(at, each.path)
    else removed.push(each)
  }
  yield* disk.remove(aside)
  for (const each of garbage) {
    if (each.kind === "blob") continue
    yield* disk.remove(each.path)
    removed.push(each)
  }
  return removed
})
