/**
 * Files that are whole or not there: written to a temporary name, flushed, renamed, and the folder flushed.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Stream from "effect/Stream"
import type { Blob } from "../operator/artifact.ts"
import { sha256 } from "./digest.ts"
import type { Disk, OpenFile } from "./disk.ts"
import { Processes } from "./holder.ts"
import { cutShort, fromCause, StoreError } from "./storeError.ts"

/** Bytes to write: all at once, or as they come. */
export type Content<E> = Uint8Array | Stream.Stream<Uint8Array, E>

/** Writing that survives a crash, in one folder. */
export interface Durable {
  readonly disk: Disk
  /** Makes a folder and those above it, durably, whoever made them. */
  readonly folder: (folder: string) => Effect.Effect<void, StoreError>
  /**
   * Writes a blob to `temporary/`, then moves it, read-only, to the place that `target` gives for its digest; where that fails it is not there. A
   * file that is there is replaced: if it was damaged it is now whole.
   */
  readonly blob: <E = never>(
    data: Content<E>,
    target: (blob: Blob) => Effect.Effect<string, StoreError>
  ) => Effect.Effect<Blob, E | StoreError>
  /** Writes a small file whole. */
  readonly whole: (target: string, text: string) => Effect.Effect<void, StoreError>
}

/** A look at the disk as an Effect. */
export const look = <A>(place: string, operation: () => A): Effect.Effect<A, StoreError> =>
  Effect.try({ try: operation, catch: (cause) => fromCause(place, cause) })

/** A name that no other process, here or elsewhere, uses. */
export const uniqueName: Effect.Effect<string> = Effect.gen(function* () {
  const { pid } = yield* Processes
  const half = Effect.map(Random.nextIntBetween(0, 2 ** 32), (n) => n.toString(16).padStart(8, "0"))
  return `${pid}-${yield* half}${yield* half}`
})

/** Writes all of the bytes. A disk that takes only some of them, and no more, is full. */
export const writeAll = Effect.fnUntraced(function* (
  file: string,
  { write }: OpenFile,
  data: Uint8Array
): Effect.fn.Return<void, StoreError> {
  for (let done = 0; done < data.byteLength; ) {
    const count = yield* write(data.subarray(done))
    if (count === 0) return yield* cutShort(file, done, data.byteLength)
    done += count
  }
})

/** Writing under `root`, by way of its folder `temporary/`. */
export const makeDurable = (disk: Disk, root: string): Durable => {
  const temporary = path.join(root, "temporary")
  /** Folders whose names are on the disk. */
  const known = new Set<string>()

  const folder = Effect.fnUntraced(function* (at: string): Effect.fn.Return<void, StoreError> {
    const found = (yield* look(at, () => disk.stat(at))) !== undefined
    if (found && known.has(at)) return
    const above = path.dirname(at)
    const inside = at !== root && at.startsWith(root)
    if (inside || !found) yield* folder(above)
    if (!found) yield* disk.makeFolder(at)
    // Another process may have made a folder, and died before its name was durable. What is above the root may be closed to this process.
    const others = inside ? yield* look(above, () => disk.list(above)) : undefined
    yield* inside || !found ? disk.syncFolder(above) : Effect.ignore(disk.syncFolder(above))
    for (const name of others ?? []) known.add(path.join(above, name))
    known.add(at)
  })

  const withTemporary = Effect.fnUntraced(function* <A, E>(
    use: (name: string, file: OpenFile) => Effect.Effect<A, E>
  ): Effect.fn.Return<A, E | StoreError> {
    yield* folder(temporary)
    const name = path.join(temporary, yield* uniqueName)
    return yield* Effect.acquireUseRelease(
      disk.open(name, "new"),
      (file) => use(name, file),
      ({ close }) => Effect.andThen(close, Effect.ignore(disk.remove(name)))
    )
  })

  const publish = Effect.fnUntraced(function* (name: string, file: OpenFile, target: string) {
    yield* file.sync
    yield* folder(path.dirname(target))
    yield* disk.rename(name, target)
    yield* disk.syncFolder(path.dirname(target))
  })

  return {
    disk,
    folder,
    blob: (data, target) =>
      withTemporary(
        Effect.fnUntraced(function* (name, file) {
          let blob: Blob
          if (data instanceof Uint8Array) {
            yield* writeAll(name, file, data)
            blob = { digest: sha256(data), bytes: data.byteLength }
          } else {
            const digest = createHash("sha256")
            let bytes = 0
            const { runForEach } = yield* Effect.promise(() => import("effect/Stream"))
            yield* runForEach(data, (chunk) => {
              digest.update(chunk)
              bytes += chunk.byteLength
              return writeAll(name, file, chunk)
            })
            blob = { digest: digest.digest("hex"), bytes }
          }
          const place = yield* target(blob)
          yield* file.protect
          yield* publish(name, file, place)
          return blob
        })
      ),
    whole: (target, text) =>
      withTemporary((name, file) =>
        Effect.andThen(writeAll(name, file, new TextEncoder().encode(text)), publish(name, file, target))
      )
  }
}

/** What a file that is not there is told as. */
export const notThere = (place: string): StoreError =>
  new StoreError({ reason: "lost", place, message: `${place}: the file is not there` })
