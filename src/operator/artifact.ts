/**
 * An artifact: an immutable value with a content digest, kept as named blobs.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

/** Bytes in a content-addressed store: the SHA-256 of them in hex, and how many. */
export const Blob = Schema.Struct({ digest: Schema.String, bytes: Schema.Number })
export type Blob = typeof Blob.Type

/**
 * A value by reference. `digest` is of the logical content: for a table it does not depend on how rows are cut into batches;
 * `parts` are the blobs that hold it; `meta` is small, is shown to people, and can be read without reading a blob.
 */
export const Artifact = Schema.Struct({
  kind: Schema.String,
  digest: Schema.String,
  parts: Schema.Record(Schema.String, Blob),
  meta: Schema.Record(Schema.String, Schema.Json)
})
export type Artifact = typeof Artifact.Type

/** A value could not be written as blobs, or blobs could not be read as a value. `place` names the artifact, port or file. */
export class ArtifactError extends Schema.TaggedError<ArtifactError>()("ArtifactError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** Where blobs go. The digest is taken as the bytes pass. */
export interface BlobSink {
  readonly put: <E = never>(data: Uint8Array | Stream.Stream<Uint8Array, E>) => Effect.Effect<Blob, E | ArtifactError>
}

/** Where blobs come from. `path` is a read-only file with the blob's bytes, for reading without loading it whole. */
export interface BlobSource {
  readonly bytes: (blob: Blob) => Effect.Effect<Uint8Array<ArrayBuffer>, ArtifactError>
  readonly path: (blob: Blob) => Effect.Effect<string, ArtifactError>
}
