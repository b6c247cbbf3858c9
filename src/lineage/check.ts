/**
 * The check of a store: whether all that its records name is there and whole, and what a crash left behind.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { CurrentDisk } from "../store/disk.ts"
import { look, makeDurable, uniqueName } from "../store/durable.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { runRecords, stageHeads, stageRecord } from "./records.ts"

/**
 * One thing that is not as it should be. `damage`: something is lost or wrong, and stages run again; `leftover`: it does no harm.
 * `repaired`: it was put aside or removed.
 */
export interface Problem {
  readonly kind: "damage" | "leftover"
  readonly place: string
  readonly message: string
  readonly repaired: boolean
}

/** What was looked at, and what was found. */
export interface Checked {
  readonly blobs: number
  readonly bytes: number
  readonly stages: number
  readonly runs: number
  readonly problems: ReadonlyArray<Problem>
}

/** `repair`: damaged blobs and resume points are moved to `quarantine/`, leftovers removed; `quick`: no blob is read, only its name and size. */
export interface CheckOptions {
  readonly repair: boolean
  readonly quick: boolean
}

const DAY_MS = 24 * 60 * 60 * 1000

/** Checks the store. Without `repair` nothing in it is changed. */
export const check = Effect.fnUntraced(function* ({
  quick,
  repair
}: CheckOptions): Effect.fn.Return<Checked, StoreError, Store> {
  const store = yield* Store
  const disk = yield* CurrentDisk
  const durable = makeDurable(disk, store.folder)
  const now = yield* Clock.currentTimeMillis
  const under = (folder: string) => path.join(store.folder, folder)
  const list = (folder: string) => look(folder, () => disk.list(folder) ?? [])
  const problems: Array<Problem> = []

  const found = Effect.fnUntraced(function* (
    kind: Problem["kind"],
    place: string,
    message: string,
    fix?: Effect.Effect<void, StoreError>
  ) {
    if (repair && fix !== undefined) yield* fix
    problems.push({ kind, place, message, repaired: repair && fix !== undefined })
  })
  const aside = (at: string) =>
    Effect.gen(function* () {
      yield* durable.folder(under("quarantine"))
      yield* disk.rename(at, path.join(under("quarantine"), `${path.basename(at)}-${yield* uniqueName}`))
    })

  yield* store.journal.refresh
  const { journal } = store
  const torn = journal.damaged()
  if (torn > 0) {
    const lines = `${torn} line${torn === 1 ? " is no record" : "s are no records"}: torn by a crash, or damaged`
    yield* found("damage", under("records"), `${lines}; what they held runs again`)
    // A copy would go on to be taken for what such a line held, and its lineage is lost.
    if (repair) yield* disk.remove(under("settled"))
  }

  /** Blobs whose bytes are not what their names say. */
  const bad = new Set<string>()
  let blobs = 0
  let bytes = 0
  for (const group of yield* list(under("objects"))) {
    for (const name of yield* list(path.join(under("objects"), group))) {
      const at = path.join(under("objects"), group, name)
      blobs++
      bytes += (yield* look(at, () => disk.stat(at)))?.bytes ?? 0
      if (!/^[0-9a-f]{64}$/.test(name) || !name.startsWith(group)) {
        yield* found("leftover", at, "it is no blob", aside(at))
      } else if (!quick && (yield* disk.digest(at)) !== name) {
        bad.add(name)
        yield* found("damage", at, "its bytes have another digest; the stages that gave it run again", aside(at))
      }
    }
  }

  const heads = new Map(stageHeads(journal).map((head) => [head.key, head]))
  for (const [key, { stage }] of heads) {
    const record = stageRecord(journal, key)
    if (record === undefined) {
      yield* found("damage", key, `the record of stage ${stage} cannot be read; it runs again`)
      continue
    }
    for (const [port, { parts }] of Object.entries(record.outputs)) {
      for (const [part, blob] of Object.entries(parts)) {
        if (bad.has(blob.digest) || store.blobs.has(blob)) continue
        const file = path.join(under("objects"), blob.digest.slice(0, 2), blob.digest)
        const size = (yield* look(file, () => disk.stat(file)))?.bytes
        const what = `blob ${part} of output ${port} of stage ${stage}`
        if (size === undefined) {
          // Collected, or lost: the store cannot tell, and it is the same to the next run.
          yield* found("leftover", blob.digest, `${what} is not in the store; if it is needed the stage runs again`)
        } else {
          yield* found("damage", blob.digest, `${what} has ${size} bytes in place of ${blob.bytes}`, aside(file))
        }
        bad.add(blob.digest)
      }
    }
  }
  const runs = [...runRecords(journal)].length

  for (const key of yield* list(under("resume"))) {
    const at = path.join(under("resume"), key)
    const problem = yield* store.resumePoints.problem(key)
    if (problem !== undefined) yield* found("damage", at, problem, aside(at))
    else if (heads.has(key)) {
      yield* found("leftover", at, "its stage is finished: these resume points are of no more use", disk.remove(at))
    }
  }
  for (const { alive, file, holder } of yield* store.leases) {
    if (!alive) yield* found("leftover", file, `the lease of process ${holder.pid}, which is gone`, disk.remove(file))
  }
  for (const name of yield* list(under("temporary"))) {
    const at = path.join(under("temporary"), name)
    const changed = (yield* look(at, () => disk.stat(at)))?.changed ?? now
    if (now - changed > DAY_MS) yield* found("leftover", at, "a file that a process had not finished", disk.remove(at))
  }
  return { blobs, bytes, stages: heads.size, runs, problems }
})
