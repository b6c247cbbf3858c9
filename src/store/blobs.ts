/**
 * Blobs: files named by the SHA-256 of their bytes.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { ArtifactError, type Blob, type BlobSource } from "../operator/artifact.ts"
import { sha256 } from "./digest.ts"
import { type Content, type Durable, look, notThere, uniqueName } from "./durable.ts"
import { StoreError } from "./storeError.ts"

/** Blobs in one folder. */
export interface Blobs {
  /** Writes a blob durably; the digest is taken as the bytes pass. */
  readonly put: <E = never>(data: Content<E>) => Effect.Effect<Blob, E | StoreError>
  /** Writes a blob of which it is known what it must be. One that is another is refused, and nothing is kept of it. */
  readonly receive: <E>(blob: Blob, data: Content<E>) => Effect.Effect<void, E | StoreError>
  /** The bytes, checked against the digest the first time that this process reads them. */
  readonly bytes: (blob: Blob) => Effect.Effect<Uint8Array<ArrayBuffer>, StoreError>
  /** A read-only file with the bytes, checked likewise. */
  readonly path: (blob: Blob) => Effect.Effect<string, StoreError>
  /** Whether there is a file of the right size: no bytes are read. */
  readonly has: (blob: Blob) => boolean
  /** Another text when a blob has come or gone: blobs are not looked at, only the folders that they are in. */
  readonly mark: () => string
}

/** The blobs under `fileOf`. A damaged one is moved to `quarantine/`, so that what made it can make it again. */
export const makeBlobs = (
  durable: Durable,
  options: { readonly quarantine: string; readonly folder: string; readonly fileOf: (digest: string) => string }
): Blobs => {
  const { fileOf, folder, quarantine } = options
  const { disk } = durable
  const checked = new Set<string>()

  const refuse = Effect.fnUntraced(function* (blob: Blob, found: string): Effect.fn.Return<never, StoreError> {
    checked.delete(blob.digest)
    yield* durable.folder(quarantine).pipe(
      Effect.andThen(uniqueName),
      Effect.flatMap((name) => disk.rename(fileOf(blob.digest), path.join(quarantine, `${blob.digest}-${name}`))),
      Effect.ignore
    )
    return yield* new StoreError({
      reason: "corrupt",
      place: blob.digest,
      message: `blob ${blob.digest} is damaged (${found}) and was moved to ${quarantine}: run again, and the stage that made it runs again`
    })
  })

  const lost = (blob: Blob) => (error: StoreError) =>
    error.reason !== "lost"
      ? error
      : new StoreError({
          reason: "lost",
          place: blob.digest,
          message: `blob ${blob.digest} is not in the store (${fileOf(blob.digest)}): run again, and the stage that made it runs again`
        })

  const bytes = Effect.fnUntraced(function* (blob: Blob): Effect.fn.Return<Uint8Array<ArrayBuffer>, StoreError> {
    const read = yield* Effect.mapError(disk.load(fileOf(blob.digest)), lost(blob))
    if (read.byteLength !== blob.bytes) return yield* refuse(blob, `${read.byteLength} bytes in place of ${blob.bytes}`)
    if (!checked.has(blob.digest)) {
      if (sha256(read) !== blob.digest) return yield* refuse(blob, "its bytes have another digest")
      checked.add(blob.digest)
    }
    return read
  })

  return {
    put: (data) =>
      Effect.tap(
        durable.blob(data, (blob) => Effect.succeed(fileOf(blob.digest))),
        (blob) => Effect.sync(() => checked.add(blob.digest))
      ),
    receive: (blob, data) =>
      Effect.asVoid(
        durable.blob(data, ({ bytes, digest }) => {
          if (digest === blob.digest && bytes === blob.bytes) return Effect.succeed(fileOf(digest))
          const found =
            bytes === blob.bytes ? "its bytes have another digest" : `${bytes} bytes in place of ${blob.bytes}`
          const message = `blob ${blob.digest} came damaged (${found}) and was not kept`
          return Effect.fail(new StoreError({ reason: "corrupt", place: blob.digest, message }))
        })
      ),
    bytes,
    path: Effect.fnUntraced(function* (blob: Blob): Effect.fn.Return<string, StoreError> {
      const file = fileOf(blob.digest)
      const stat = yield* look(file, () => disk.stat(file))
      if (stat === undefined) return yield* lost(blob)(notThere(file))
      if (stat.bytes !== blob.bytes) return yield* refuse(blob, `${stat.bytes} bytes in place of ${blob.bytes}`)
      if (!checked.has(blob.digest)) {
        const digest = yield* Effect.mapError(disk.digest(file), lost(blob))
        if (digest !== blob.digest) return yield* refuse(blob, "its bytes have another digest")
        checked.add(blob.digest)
      }
      return file
    }),
    has: (blob) => disk.stat(fileOf(blob.digest))?.bytes === blob.bytes,
    mark: () =>
      (disk.list(folder) ?? [])
        .toSorted()
        .map((name) => `${name} ${disk.stat(path.join(folder, name))?.changed}`)
        .join("\n")
  }
}

/** Blobs as a port's codec sees them. */
export const sourceOf = (blobs: Pick<Blobs, "bytes" | "path">): BlobSource => ({
  bytes: (blob) => Effect.mapError(blobs.bytes(blob), asArtifactError),
  path: (blob) => Effect.mapError(blobs.path(blob), asArtifactError)
})

/** The same failure in the words of the operator's side. */
export const asArtifactError = <E>(error: E): ArtifactError | Exclude<E, StoreError> =>
  error instanceof StoreError
    ? new ArtifactError({ place: error.place, message: error.message })
    : (error as Exclude<E, StoreError>)
