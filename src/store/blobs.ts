/**
 * Blobs: files named by the SHA-256 of their bytes.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import { statSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { ArtifactError, type Blob, type BlobSource } from "../operator/artifact.ts"
import { sha256 } from "./digest.ts"
import { attempt, type Content, writeBlob } from "./durable.ts"
import { fromCause, StoreError } from "./storeError.ts"

/** Blobs in one folder. */
export interface Blobs {
  /** Writes a blob durably; the digest is taken as the bytes pass. */
  readonly put: <E = never>(data: Content<E>) => Effect.Effect<Blob, E | StoreError>
  /** The bytes, checked against the digest the first time that this process reads them. */
  readonly bytes: (blob: Blob) => Effect.Effect<Uint8Array<ArrayBuffer>, StoreError>
  /** A read-only file with the bytes, checked likewise. */
  readonly path: (blob: Blob) => Effect.Effect<string, StoreError>
  /** Whether there is a file of the right size: no bytes are read. */
  readonly has: (blob: Blob) => boolean
}

/** The blobs under `fileOf`. A damaged one is moved to `quarantine/`, so that what made it can make it again. */
export const makeBlobs = (options: {
  readonly temporary: string
  readonly quarantine: string
  readonly fileOf: (digest: string) => string
}): Blobs => {
  const { fileOf, quarantine, temporary } = options
  const checked = new Set<string>()

  const refuse = (blob: Blob, found: string) =>
    Effect.suspend(() => {
      const file = fileOf(blob.digest)
      return attempt(file, async () => {
        await fs.mkdir(quarantine, { recursive: true })
        await fs.rename(file, path.join(quarantine, `${blob.digest}-${process.pid}-${Date.now()}`))
      }).pipe(
        Effect.ignore,
        Effect.andThen(
          Effect.fail(
            new StoreError({
              reason: "corrupt",
              place: blob.digest,
              message: `blob ${blob.digest} is damaged (${found}) and was moved to ${quarantine}: run again, and the stage that made it runs again`
            })
          )
        )
      )
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
    const file = fileOf(blob.digest)
    const read = yield* Effect.mapError(
      attempt(file, () => fs.readFile(file)),
      lost(blob)
    )
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
        writeBlob(temporary, data, (blob) => fileOf(blob.digest)),
        (blob) => Effect.sync(() => checked.add(blob.digest))
      ),
    bytes,
    path: Effect.fnUntraced(function* (blob: Blob): Effect.fn.Return<string, StoreError> {
      const file = fileOf(blob.digest)
      const { size } = yield* Effect.mapError(
        attempt(file, () => fs.stat(file)),
        lost(blob)
      )
      if (size !== blob.bytes) return yield* refuse(blob, `${size} bytes in place of ${blob.bytes}`)
      if (!checked.has(blob.digest)) {
        if ((yield* digestFile(file)) !== blob.digest) return yield* refuse(blob, "its bytes have another digest")
        checked.add(blob.digest)
      }
      return file
    }),
    has: (blob) => statSync(fileOf(blob.digest), { throwIfNoEntry: false })?.size === blob.bytes
  }
}

/** The SHA-256 of a file, read in pieces of 1 MiB. */
export const digestFile = (file: string): Effect.Effect<string, StoreError> =>
  Effect.acquireUseRelease(
    attempt(file, () => fs.open(file, "r")),
    (handle) =>
      Effect.tryPromise({
        try: async (signal) => {
          const digest = createHash("sha256")
          const buffer = Buffer.allocUnsafe(1 << 20)
          while (!signal.aborted) {
            const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength)
            if (bytesRead === 0) break
            digest.update(buffer.subarray(0, bytesRead))
          }
          return digest.digest("hex")
        },
        catch: (cause) => fromCause(file, cause)
      }),
    (handle) => Effect.promise(() => handle.close())
  )

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
