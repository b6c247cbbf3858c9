/** Blobs in a temporary folder, for tests of ports. */
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ArtifactError, type BlobSink, type BlobSource } from "../../src/operator/artifact.ts"

/** A sink and the source of what was put into it; removed with the scope. */
export const temporaryBlobs = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "ptmflow-blobs-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ),
  (folder): BlobSink & BlobSource & { readonly folder: string } => ({
    folder,
    put: Effect.fnUntraced(function* (data) {
      const chunks = data instanceof Uint8Array ? [data] : yield* Stream.runCollect(data)
      const bytes = Buffer.concat(chunks)
      const digest = createHash("sha256").update(bytes).digest("hex")
      writeFileSync(join(folder, digest), bytes)
      return { digest, bytes: bytes.byteLength }
    }),
    path: (blob) => Effect.succeed(join(folder, blob.digest)),
    bytes: (blob) =>
      Effect.try({
        try: () => new Uint8Array(readFileSync(join(folder, blob.digest))),
        catch: (cause) => new ArtifactError({ place: blob.digest, message: String(cause) })
      })
  })
)
