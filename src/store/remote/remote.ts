/**
 * A remote: objects that several machines share, by name. It knows nothing of stages, and nothing that it gives is trusted: who asks checks it.
 *
 *     cas/<sha256>   bytes, named by their digest
 *     ac/<key>       a small object of a key: a record of what that key gave
 *
 * An object is whole or not there. These are the names, and over HTTP the requests (GET, HEAD, PUT), that build caches use.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { Blob } from "../../operator/artifact.ts"

/**
 * A remote did not do what was asked. `missing`: there is no such object; `unreachable`: it does not answer, for now; `refused`: it answers, and says
 * no; `damaged`: what it gave is not what the name says.
 */
export class RemoteError extends Schema.TaggedError<RemoteError>()("RemoteError", {
  reason: Schema.Literals(["missing", "unreachable", "refused", "damaged"]),
  place: Schema.String,
  message: Schema.String
}) {}

/** What is put: a file of known digest and length, or a small text. */
export type RemoteContent = { readonly file: string; readonly blob: Blob } | { readonly text: string }

/** `cas/` or `ac/`, and 64 hex digits. */
export const isObjectName = (name: string): boolean => /^(cas|ac)\/[0-9a-f]{64}$/.test(name)

/** The objects of one remote; `place` is what people call it, without credentials. */
export interface RemoteObjects {
  readonly place: string
  /** The bytes as they come, unchecked. */
  readonly get: (name: string) => Stream.Stream<Uint8Array, RemoteError>
  readonly has: (name: string) => Effect.Effect<boolean, RemoteError>
  /** Nothing of it can be seen before all of it is there. */
  readonly put: (name: string, content: RemoteContent) => Effect.Effect<void, RemoteError>
}

/**
 * What a run makes of a remote. Where it cannot be reached when it is first asked: `normal`, `optional` and `read-only` warn and go on without it,
 * `required` fails. Where a result could not be pushed: `normal` and `required` fail, `optional` warns, `read-only` pushes none.
 */
export const RemotePolicy = Schema.Literals(["normal", "required", "optional", "read-only"])
export type RemotePolicy = typeof RemotePolicy.Type

/** The remote that runs and plans ask; none where it is undefined. */
export const CurrentRemote = Context.Reference<
  { readonly objects: RemoteObjects; readonly policy: RemotePolicy } | undefined
>("ptmflow/store/Remote", { defaultValue: () => undefined })
