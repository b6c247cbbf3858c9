/**
 * The store: immutable blobs named by their digests, and a journal of records.
 *
 *     .ptmflow/
 *       format              {"format":"ptmflow-store","version":1}, written first
 *       objects/ab/abcd...  blobs by SHA-256, read-only, never changed
 *       records             the journal: stage, run and code records, only added to (see journal.ts)
 *       records.sqlite      where records are in a journal that has grown large (see journal-index.ts); may be deleted
 *       batches.sqlite      the batch index: where rows are that a batch gave (see batches.ts); may be deleted
 *       ledger.sqlite       which stages took and gave an artifact, made from the journal (see lineage/artifact-index.ts); may be deleted
 *       resume/<key>/<n>/   the resume point of a stage that is not finished: its blobs and `point`
 *       leases/<key>.*      which process works on a key
 *       progress/<key>      how far it is
 *       runs/<run>          the log of a run, for those who look on (see lineage/run-log.ts); may be deleted
 *       settled/            the results of all stages of a pipeline in one piece (see executor/settled.ts); may be deleted
 *       memo                digests of files outside the store; may be deleted
 *       detached/<run>/     what a run without a terminal says (see cli/detached.ts)
 *       quarantine/         damaged blobs, kept for people to look at
 *       temporary/          files being written; what a killed process left is removed after a day
 *
 * A blob is flushed and renamed into place before a record names it, and the record is flushed before the stage counts as done, so what a
 * record names is there, whatever instant a process dies at. The store does not know what records mean.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { BlobSink, BlobSource } from "../operator/artifact.ts"
import { type BatchIndex, makeBatchIndex } from "./batches.ts"
import { asArtifactError, type Blobs, makeBlobs, sourceOf } from "./blobs.ts"
import { type Copies, makeCopies } from "./copies.ts"
import { CurrentDisk, type Disk } from "./disk.ts"
import { type Durable, look, makeDurable } from "./durable.ts"
import { type Files, makeFiles } from "./files.ts"
import { type Journal, openJournal } from "./journal.ts"
import { type Held, holding, type LeaseState, lease, leasesIn, type Waiting } from "./lease.ts"
import { type Memo, openMemo } from "./memo.ts"
import { makeResumePoints, type ResumePoints } from "./resume.ts"
import { StoreError } from "./storeError.ts"

/** The version of the layout above that this code writes. */
const VERSION = 1
const Format = Schema.fromJsonString(Schema.Struct({ format: Schema.Literal("ptmflow-store"), version: Schema.Number }))
const decodeFormat = Schema.decodeUnknownOption(Format)
const encodeFormat = Schema.encodeSync(Format)

const DAY_MS = 24 * 60 * 60 * 1000

/** Where artifacts and records are kept. */
export class Store extends Context.Service<
  Store,
  {
    /** The absolute path. */
    readonly folder: string
    /** Makes the store, if it is not there yet: whatever writes to it does. */
    readonly prepare: Effect.Effect<void, StoreError>
    readonly blobs: Blobs
    /** `blobs` as a port's codec sees them. */
    readonly sink: BlobSink
    readonly source: BlobSource
    readonly journal: Journal
    readonly batches: BatchIndex
    readonly files: Files
    readonly memo: Memo
    readonly copies: Copies
    readonly resumePoints: ResumePoints
    /** Holds `key` until the scope closes; waits while another process holds it. */
    readonly lease: (
      key: string,
      onWait: (waiting: Waiting) => Effect.Effect<void>
    ) => Effect.Effect<Held, StoreError, Scope.Scope>
    /** Runs an effect while `key` is held; again, if another process took the lease over meanwhile. */
    readonly holding: <A, E, R>(
      key: string,
      onWait: (waiting: Waiting) => Effect.Effect<void>,
      effect: (lease: Held) => Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | StoreError, R>
    readonly leases: Effect.Effect<ReadonlyArray<LeaseState>, StoreError>
  }
>()("ptmflow/store/Store") {}

/**
 * Opens the store in `folder`. One that is not there yet is made by the first write, so that looking leaves no trace. The journal is not read: see
 * `Journal.refresh`.
 */
export const open = Effect.fnUntraced(function* (folder: string): Effect.fn.Return<Store["Service"], StoreError> {
  const root = path.resolve(folder)
  const disk = yield* CurrentDisk
  const durable = makeDurable(disk, root)
  const found = yield* look(root, () => checkFormat(disk, root))
  const preparing = Semaphore.makeUnsafe(1)
  let prepared = false
  const makeReady = Effect.gen(function* () {
    if (prepared) return
    if (!found) {
      yield* durable.whole(path.join(root, "format"), encodeFormat({ format: "ptmflow-store", version: VERSION }))
      yield* durable.whole(path.join(root, ".gitignore"), "*\n")
    }
    yield* sweep(durable, path.join(root, "temporary"))
    prepared = true
  })
  const prepare = Effect.suspend(() => (prepared ? Effect.void : preparing.withPermits(1)(makeReady)))
  const quarantine = path.join(root, "quarantine")
  const objects = path.join(root, "objects", path.sep)
  const plain = makeBlobs(durable, {
    quarantine,
    folder: path.join(root, "objects"),
    fileOf: (digest) => `${objects}${digest.slice(0, 2)}${path.sep}${digest}`
  })
  const blobs: Blobs = {
    ...plain,
    put: (data) => Effect.andThen(prepare, plain.put(data)),
    receive: (blob, data) => Effect.andThen(prepare, plain.receive(blob, data))
  }
  const journal = yield* openJournal(durable, path.join(root, "records"), prepare, path.join(root, "records.sqlite"))
  const memo = yield* openMemo(durable, path.join(root, "memo"), prepare)
  const take = (key: string, onWait: (waiting: Waiting) => Effect.Effect<void>) =>
    Effect.andThen(prepare, lease(durable, path.join(root, "leases"), key, onWait))
  return Store.of({
    folder: root,
    prepare,
    blobs,
    sink: { put: (data) => Effect.mapError(blobs.put(data), asArtifactError) },
    source: sourceOf(blobs),
    journal,
    batches: makeBatchIndex(path.join(root, "batches.sqlite"), prepare),
    files: makeFiles(memo),
    memo,
    copies: makeCopies(durable, path.join(root, "settled"), prepare),
    resumePoints: makeResumePoints(durable, path.join(root, "resume"), quarantine, prepare),
    lease: take,
    holding: (key, onWait, effect) => holding(take(key, onWait), effect),
    leases: leasesIn(durable, path.join(root, "leases"))
  })
})

/** The store in `folder`. */
export const layer = (folder: string): Layer.Layer<Store, StoreError> =>
  Layer.effect(
    Store,
    Effect.tap(open(folder), ({ journal }) => journal.refresh)
  )

/** The same, for a run or a plan: they read of the journal what they need, which is little where nothing changed. */
export const unreadLayer = (folder: string): Layer.Layer<Store, StoreError> => Layer.effect(Store, open(folder))

const namesIn = (disk: Disk, root: string) => {
  try {
    return disk.list(root)
  } catch (cause) {
    if (disk.stat(root)?.isFolder !== false) throw cause
    const message = `${root} is a file, and a store is a folder: choose another name`
    throw new StoreError({ reason: "not-a-store", place: root, message })
  }
}

/** The store in `folder`, for what has nothing to do where there is none. */
export const existingLayer = (folder: string): Layer.Layer<Store, StoreError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const root = path.resolve(folder)
      const disk = yield* CurrentDisk
      if (yield* look(root, () => checkFormat(disk, root))) return layer(folder)
      return yield* new StoreError({ reason: "not-a-store", place: root, message: `there is no store in ${root}` })
    })
  )

/** Whether there is a store of a version that this code reads; false where there is none and one can be made. */
const checkFormat = (disk: Disk, root: string): boolean => {
  const names = namesIn(disk, root)
  if (names === undefined) return false
  if (!names.includes("format")) {
    if (names.every((name) => name === "temporary")) return false
    throw new StoreError({
      reason: "not-a-store",
      place: root,
      message: `${root} is not empty and is no store: choose another folder, or delete this one`
    })
  }
  const format = decodeFormat(disk.read(path.join(root, "format"))?.toString("utf8"))
  if (format._tag === "None") {
    throw new StoreError({
      reason: "not-a-store",
      place: path.join(root, "format"),
      message: `${root} has a format file that is not a store's: choose another folder`
    })
  }
  if (format.value.version > VERSION) {
    throw new StoreError({
      reason: "newer-format",
      place: path.join(root, "format"),
      message: `${root} has format ${format.value.version}, this ptmflow reads ${VERSION}: use a newer ptmflow, or another folder`
    })
  }
  return true
}

const sweep = Effect.fnUntraced(
  function* ({ disk }: Durable, temporary: string) {
    const now = yield* Clock.currentTimeMillis
    for (const name of (yield* look(temporary, () => disk.list(temporary))) ?? []) {
      const file = path.join(temporary, name)
      const changed = (yield* look(file, () => disk.stat(file)))?.changed ?? now
      if (now - changed > DAY_MS) yield* disk.remove(file)
    }
  },
  (effect) => Effect.ignore(effect)
)
