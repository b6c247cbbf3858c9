/**
 * A port: the type of one input or output of an operator, as a codec between a value in memory and an artifact in a store.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import type { Artifact, ArtifactError, BlobSink, BlobSource } from "./artifact.ts"

/**
 * `kind` names the family ("table", "checkpoint", ...); `contract` is what of the port's type enters a stage key (a table's
 * schema). `encode` writes the blobs and returns the reference; `decode` may return a lazy handle on them. `resident` says that a value
 * just encoded may be handed to the next stage as it is; without it the next stage is given what `decode` makes of the artifact.
 */
export interface Port<in out A> {
  readonly kind: string
  readonly contract: Json
  readonly resident?: boolean
  readonly encode: (value: A, sink: BlobSink) => Effect.Effect<Artifact, ArtifactError>
  readonly decode: (artifact: Artifact, source: BlobSource) => Effect.Effect<A, ArtifactError>
}

/** Ports by name. Variance is checked where an edge is drawn, on the values. */
// biome-ignore lint/suspicious/noExplicitAny: the only way to say "a port of some value" for an invariant type
export type Ports = { readonly [name: string]: Port<any> }

/** The value that passes through a port. */
export type PortValue<P> = P extends Port<infer A> ? A : never

/** The values of several ports, by name. */
export type PortValues<P extends Ports> = { readonly [K in keyof P]: PortValue<P[K]> }
