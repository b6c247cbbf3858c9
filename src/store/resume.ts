/**
 * Resume points: the newest saved state of a stage that is not finished, by stage key.
 *
 * @since 0.1.0
 */
import { readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Json } from "effect/Schema"
import type { Blob, BlobSink, BlobSource } from "../operator/artifact.ts"
import { asArtifactError, type Blobs, makeBlobs, sourceOf } from "./blobs.ts"
import { attempt, makeFolder, syncFolder } from "./durable.ts"
import { frame, unframe } from "./journal.ts"
import type { StoreError } from "./storeError.ts"

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
  /** The newest point that is whole. All its blobs are checked; one with a damaged blob is none. */
  readonly load: (key: string) => Effect.Effect<Option.Option<Point>, StoreError>
  readonly drop: (key: string) => Effect.Effect<void, StoreError>
}

/** A folder `root/<key>/<n>` is a point, whole since it got that name; `.<n>` is one being written. */
export const makeResumePoints = (
  root: string,
  temporary: string,
  quarantine: string,
  prepare: Effect.Effect<void, StoreError>
): ResumePoints => {
  /** Points that this process has loaded: values may still read their files, so they stay until the stage is done. */
  const loaded = new Set<string>()

  const blobsIn = (folder: string): Blobs =>
    makeBlobs({ temporary, quarantine, fileOf: (digest) => path.join(folder, digest) })

  const save = <E>(key: string, write: (sink: BlobSink) => Effect.Effect<Json, E>) =>
    Effect.gen(function* () {
      yield* prepare
      const folder = path.join(root, key)
      const last = (yield* pointsIn(folder)).at(-1) ?? 0
      const writing = path.join(folder, `.${last + 1}`)
      const blobs = blobsIn(writing)
      const written: Array<Blob> = []
      yield* attempt(writing, () => fs.rm(writing, { recursive: true, force: true }))
      yield* makeFolder(writing)
      const value = yield* write({
        put: (data) =>
          Effect.tap(Effect.mapError(blobs.put(data), asArtifactError), (blob) => Effect.sync(() => written.push(blob)))
      })
      yield* attempt(writing, async () => {
        const handle = await fs.open(path.join(writing, "point"), "w")
        try {
          await handle.writeFile(frame({ kind: "point", key, value: { blobs: written, value } }))
          await handle.sync()
        } finally {
          await handle.close()
        }
      })
      yield* syncFolder(writing)
      yield* attempt(writing, () => fs.rename(writing, path.join(folder, `${last + 1}`)))
      yield* syncFolder(folder)
      for (const old of yield* pointsIn(folder)) {
        const point = path.join(folder, `${old}`)
        if (old <= last && !loaded.has(point)) {
          yield* attempt(point, () => fs.rm(point, { recursive: true, force: true }))
        }
      }
    })

  const load = Effect.fnUntraced(function* (key: string): Effect.fn.Return<Option.Option<Point>, StoreError> {
    const folder = path.join(root, key)
    for (const n of (yield* pointsIn(folder)).toReversed()) {
      const at = path.join(folder, `${n}`)
      const point = readPoint(at)
      if (point === undefined) continue
      const blobs = blobsIn(at)
      const whole = yield* Effect.isSuccess(Effect.forEach(point.blobs, blobs.path, { discard: true }))
      if (!whole) continue
      loaded.add(at)
      return Option.some({ value: point.value, source: sourceOf(blobs) })
    }
    return Option.none()
  })

  return {
    save,
    load,
    drop: (key) => attempt(root, () => fs.rm(path.join(root, key), { recursive: true, force: true }))
  }
}

const pointsIn = (folder: string): Effect.Effect<ReadonlyArray<number>, StoreError> =>
  attempt(folder, () => fs.readdir(folder)).pipe(
    Effect.map((names) =>
      names
        .filter((name) => /^\d+$/.test(name))
        .map(Number)
        .sort((a, b) => a - b)
    ),
    Effect.catch((error) => (error.reason === "lost" ? Effect.succeed([]) : Effect.fail(error)))
  )

const readPoint = (folder: string): { readonly blobs: ReadonlyArray<Blob>; readonly value: Json } | undefined => {
  try {
    const bytes = readFileSync(path.join(folder, "point"))
    return unframe(bytes.subarray(0, -1), 0)?.value() as unknown as { blobs: ReadonlyArray<Blob>; value: Json }
  } catch {
    return undefined
  }
}
