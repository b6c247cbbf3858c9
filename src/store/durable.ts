/**
 * Files that are whole or not there: written to a temporary name, flushed, renamed, and the folder flushed.
 *
 * @since 0.1.0
 */
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Blob } from "../operator/artifact.ts"
import { sha256 } from "./digest.ts"
import { fromCause, type StoreError } from "./storeError.ts"

/** A file operation as an Effect. */
export const attempt = <A>(place: string, operation: () => Promise<A>): Effect.Effect<A, StoreError> =>
  Effect.tryPromise({ try: operation, catch: (cause) => fromCause(place, cause) })

/** Makes names in a folder durable: after a crash they are still there. */
export const syncFolder = (folder: string): Effect.Effect<void, StoreError> =>
  attempt(folder, async () => {
    if (process.platform === "win32") return
    const handle = await fs.open(folder, "r")
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  })

/** Makes a folder and those above it, durably. */
export const makeFolder = (folder: string): Effect.Effect<void, StoreError> =>
  Effect.flatMap(
    attempt(folder, () => fs.mkdir(folder, { recursive: true })),
    (first) => {
      if (first === undefined) return Effect.void
      const changed = [path.dirname(first)]
      for (let made = folder; made.length > first.length; made = path.dirname(made)) changed.push(path.dirname(made))
      return Effect.forEach(changed, syncFolder, { discard: true })
    }
  )

/** Bytes to write: all at once, or as they come. */
export type Content<E> = Uint8Array | Stream.Stream<Uint8Array, E>

/**
 * Writes a blob to `temporary/`, then moves it, read-only, to the place that `target` gives for its digest. A file that is there is
 * replaced: if it was damaged it is now whole.
 */
export const writeBlob = <E = never>(
  temporary: string,
  data: Content<E>,
  target: (blob: Blob) => string
): Effect.Effect<Blob, E | StoreError> =>
  withTemporary(temporary, (name, handle) =>
    Effect.gen(function* () {
      let blob: Blob
      if (data instanceof Uint8Array) {
        yield* attempt(name, () => handle.writeFile(data))
        blob = { digest: sha256(data), bytes: data.byteLength }
      } else {
        const digest = createHash("sha256")
        let bytes = 0
        yield* Stream.runForEach(data, (chunk) => {
          digest.update(chunk)
          bytes += chunk.byteLength
          return attempt(name, () => handle.writeFile(chunk))
        })
        blob = { digest: digest.digest("hex"), bytes }
      }
      yield* publish(name, handle, target(blob))
      return blob
    })
  )

/** Writes a small file whole. */
export const writeWhole = (temporary: string, target: string, text: string): Effect.Effect<void, StoreError> =>
  withTemporary(temporary, (name, handle) =>
    Effect.andThen(
      attempt(name, () => handle.writeFile(text)),
      publish(name, handle, target)
    )
  )

const publish = (name: string, handle: fs.FileHandle, target: string) =>
  attempt(target, async () => {
    await handle.chmod(0o444)
    await handle.sync()
  }).pipe(
    Effect.andThen(makeFolder(path.dirname(target))),
    Effect.andThen(attempt(target, () => fs.rename(name, target))),
    Effect.andThen(syncFolder(path.dirname(target)))
  )

const withTemporary = <A, E>(
  folder: string,
  use: (name: string, handle: fs.FileHandle) => Effect.Effect<A, E>
): Effect.Effect<A, E | StoreError> =>
  Effect.suspend(() => {
    const name = path.join(folder, `${process.pid}-${randomBytes(8).toString("hex")}`)
    return Effect.acquireUseRelease(
      attempt(folder, async () => {
        await fs.mkdir(folder, { recursive: true })
        return await fs.open(name, "wx")
      }),
      (handle) => use(name, handle),
      (handle) =>
        Effect.promise(async () => {
          await handle.close()
          await fs.rm(name, { force: true })
        })
    )
  })
