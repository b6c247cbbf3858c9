/**
 * Runs a pipeline: reuses what the store has, runs the rest, and records it.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Artifact } from "../operator/artifact.ts"
import type { Graph } from "../pipeline/graph.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import type { Event } from "./event.ts"
import { Reason } from "./reason.ts"

/** What became of one stage. `resumedFrom` is the step of the resume point that it went on from. */
export const StageReport = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  key: Schema.String,
  status: Schema.Literals(["reused", "ran"]),
  reasons: Schema.Array(Reason),
  artifacts: Schema.Record(Schema.String, Artifact),
  metrics: Schema.Record(Schema.String, Schema.Number),
  resumedFrom: Schema.optionalKey(Schema.Number),
  seconds: Schema.Number
})
export type StageReport = typeof StageReport.Type

/** A run that succeeded. `outputs` are the pipeline's outputs. */
export const RunReport = Schema.Struct({
  run: Schema.String,
  pipeline: Schema.String,
  stages: Schema.Array(StageReport),
  outputs: Schema.Record(Schema.String, Artifact),
  seconds: Schema.Number
})
export type RunReport = typeof RunReport.Type

/** One stage that failed; `cause` is its error's tag. */
export const StageFailure = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  cause: Schema.String,
  message: Schema.String
})
export type StageFailure = typeof StageFailure.Type

/** Stages failed; those that do not need them finished and are kept. */
export class RunError extends Schema.TaggedError<RunError>()("RunError", {
  run: Schema.String,
  failures: Schema.Array(StageFailure),
  skipped: Schema.Array(Schema.String),
  message: Schema.String
}) {}

/** `concurrency` is how many stages run at once (default: as many as there are cores); those that use the device go one at a time. */
export interface RunOptions {
  readonly onEvent?: (event: Event) => Effect.Effect<void>
  readonly concurrency?: number
}

export declare const run: <R>(
  graph: Graph<R>,
  options?: RunOptions
) => Effect.Effect<RunReport, RunError | StoreError, R | Store>
