/**
 * Resume points: the newest saved state of a stage that is not finished, by stage key.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Json } from "effect/Schema"
import type { Blob, BlobSink, BlobSource } from "../operator/artifact.ts"
import { asArtifactError, type Blobs, makeBlobs, sourceOf } from "./blobs.ts"
import type { Disk } from "./disk.ts"
import { type Durable, look, uniqueName, writeAll } from "./durable.ts"
import { frame, unframe } from "./journal.ts"
import { StoreError } from "./storeError.ts"

/** A point as found: what was saved, and where its blobs are. */
export interface Point {
  readonly value: Json
  readonly source: BlobSource
}

/** Resume points of one store. */
export interface ResumePoints {
  /** Saves what `write` returns together with the blobs that it puts; then the point before goes. */
  readonly save: <E>(
    key: string,
    write: (sink: BlobSink) => Effect.Effect<Json, E>
  ) => Effect.Effect<void, E | StoreError>
  /** The newest point that is whole. All its blobs are checked; one with a damaged blob is none. One that was saved for another key is refused. */
  readonly load: (key: string) => Effect.Effect<Option.Option<Point>, StoreError>
  /** What is wrong with the points of a key, in words; undefined if one can be gone on from. Nothing is changed. */
  readonly problem: (key: string) => Effect.Effect<string | undefined, StoreError>
  readonly drop: (key: string) => Effect.Effect<void, StoreError>
}

/** A folder `root/<key>/<n>` is a point, whole since it got that name; `.<n>-...` is one being written. */
export const makeResumePoints = (
  durable: Durable,
  root: string,
  quarantine: string,
  prepare: Effect.Effect<void, StoreError>
): ResumePoints => {
  const { disk } = durable
  /** Points that this process has loaded: values may still read their files, so they stay until the stage is done. */
  const loaded = new Set<string>()

  const blobsIn = (folder: string): Blobs =>
    makeBlobs(durable, { quarantine, folder, fileOf: (digest) => path.join(folder, digest) })

  const save = <E>(key: string, write: (sink: BlobSink) => Effect.Effect<Json, E>) =>
    Effect.gen(function* () {
      yield* prepare
      const folder = path.join(root, key)
      for (const name of (yield* look(folder, () => disk.list(folder))) ?? []) {
        if (name.startsWith(".")) yield* disk.remove(path.join(folder, name))
      }
      const last = (yield* pointsIn(disk, folder)).at(-1) ?? 0
      const writing = path.join(folder, `.${last + 1}-${yield* uniqueName}`)
      const blobs = blobsIn(writing)
      const written: Array<Blob> = []
      yield* durable.folder(writing)
      const value = yield* write({
        put: (data) =>
          Effect.tap(Effect.mapError(blobs.put(data), asArtifactError), (blob) => Effect.sync(() => written.push(blob)))
      })
      const point = path.join(writing, "point")
      yield* Effect.acquireUseRelease(
        disk.open(point, "new"),
        (file) =>
          Effect.andThen(
            writeAll(point, file, Buffer.from(frame({ kind: "point", key, value: { blobs: written, value } }))),
            file.sync
          ),
        ({ close }) => close
      )
      yield* disk.syncFolder(writing)
      yield* disk.rename(writing, path.join(folder, `${last + 1}`))
      yield* disk.syncFolder(folder)
      for (const old of yield* pointsIn(disk, folder)) {
        const point = path.join(folder, `${old}`)
        if (old <= last && !loaded.has(point)) yield* disk.remove(point)
      }
    })

  const load = Effect.fnUntraced(function* (key: string): Effect.fn.Return<Option.Option<Point>, StoreError> {
    const folder = path.join(root, key)
    for (const n of (yield* pointsIn(disk, folder)).toReversed()) {
      const at = path.join(folder, `${n}`)
      const point = yield* look(at, () => readPoint(disk, at))
      if (point === undefined) continue
      if (point.key !== key) {
        return yield* new StoreError({ reason: "foreign", place: at, message: foreign(at, point.key) })
      }
      const blobs = blobsIn(at)
      const whole = yield* Effect.isSuccess(Effect.forEach(point.blobs, blobs.path, { discard: true }))
      if (!whole) continue
      loaded.add(at)
      return Option.some({ value: point.value, source: sourceOf(blobs) })
    }
    return Option.none()
  })

  const problem = Effect.fnUntraced(function* (key: string): Effect.fn.Return<string | undefined, StoreError> {
    const folder = path.join(root, key)
    for (const n of (yield* pointsIn(disk, folder)).toReversed()) {
      const at = path.join(folder, `${n}`)
      const point = yield* look(at, () => readPoint(disk, at))
      if (point === undefined) continue
      if (point.key !== key) return foreign(at, point.key)
      const whole = yield* Effect.forEach(point.blobs, ({ bytes, digest }) => {
        const file = path.join(at, digest)
        const there = Effect.map(
          look(file, () => disk.stat(file)),
          (stat) => stat?.bytes === bytes
        )
        return Effect.flatMap(there, (is) =>
          is ? Effect.map(disk.digest(file), (found) => found === digest) : Effect.succeed(false)
        )
      })
      if (whole.every((each) => each)) return undefined
    }
    return "none of its resume points is whole"
  })

  return { save, load, problem, drop: (key) => disk.remove(path.join(root, key)) }
}

const foreign = (at: string, key: string): string =>
  `${at} is a resume point of another stage key (${key}), so of other data, parameters or code: remove it`

const pointsIn = (disk: Disk, folder: string): Effect.Effect<ReadonlyArray<number>, StoreError> =>
  look(folder, () =>
    (disk.list(folder) ?? [])
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b)
  )

interface SavedPoint {
  readonly key: string
  readonly blobs: ReadonlyArray<Blob>
  readonly value: Json
}

/** What a point's file holds: undefined if it is damaged. */
const readPoint = (disk: Disk, folder: string): SavedPoint | undefined => {
  const bytes = disk.read(path.join(folder, "point"))
  const entry = bytes === undefined ? undefined : unframe(bytes.subarray(0, -1), 0)
  return entry === undefined ? undefined : { ...(entry.value() as unknown as Omit<SavedPoint, "key">), key: entry.key }
}
