/**
 * Questions asked of the records of past runs.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Artifact } from "../operator/artifact.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"

/** A reference that names nothing, or more than one thing. */
export class LineageError extends Schema.TaggedError<LineageError>()("LineageError", {
  reference: Schema.String,
  candidates: Schema.Array(Schema.String),
  message: Schema.String
}) {}

/** An artifact and where it came from: the stage that made it and what that stage was given. `time` is milliseconds since 1970. */
export interface LineageNode {
  readonly artifact: Artifact
  readonly stage: string
  readonly port: string
  readonly operator: string
  readonly key: string
  readonly params: Schema.Json
  readonly metrics: { readonly [name: string]: number }
  readonly device: string | null
  readonly time: number
  readonly seconds: number
  readonly sources: ReadonlyArray<{ readonly name: string; readonly digest: string }>
  readonly inputs: { readonly [port: string]: LineageNode }
}

/** One run: which stages were reused and which ran. */
export interface RunStatus {
  readonly run: string
  readonly pipeline: string
  readonly status: "running" | "succeeded" | "failed" | "interrupted"
  readonly time: number
  readonly seconds: number | undefined
  readonly settings: ReadonlyArray<{ readonly path: string; readonly value: string }>
  readonly stages: ReadonlyArray<{
    readonly stage: string
    readonly operator: string
    readonly status: "reused" | "ran" | "failed" | "skipped"
    readonly key: string | undefined
    readonly message: string | undefined
    readonly seconds: number | undefined
    readonly metrics: { readonly [name: string]: number }
    readonly artifacts: { readonly [port: string]: Artifact }
  }>
}

/** The artifact that a person means by a digest prefix (6 or more hex digits), `stage.port`, or `stage` (of the newest run). */
export declare const resolve: (reference: string) => Effect.Effect<Artifact, LineageError | StoreError, Store>
/** What an artifact came from, back to the files. */
export declare const upstream: (artifact: Artifact) => Effect.Effect<LineageNode, LineageError | StoreError, Store>
/** The newest run, if there was one. */
export declare const newestRun: Effect.Effect<RunStatus | undefined, StoreError, Store>
