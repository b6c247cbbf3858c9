/**
 * What a run gives back, or fails with.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Reason } from "../lineage/reason.ts"
import { StageFailure } from "../lineage/record.ts"
import { Artifact } from "../operator/artifact.ts"
import { BatchCount } from "./batches.ts"

/**
 * What became of one stage. `batches` counts those of its inputs, where it maps batch by batch. `resumedFrom` is the step of the resume point that
 * it went on from; `uncached` why no other run can reuse it; `remote` where a reused result came from, if it was not here.
 */
export const StageReport = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  key: Schema.String,
  status: Schema.Literals(["reused", "ran"]),
  reasons: Schema.Array(Reason),
  artifacts: Schema.Record(Schema.String, Artifact),
  metrics: Schema.Record(Schema.String, Schema.Number),
  batches: Schema.optionalKey(BatchCount),
  resumedFrom: Schema.optionalKey(Schema.Number),
  uncached: Schema.optionalKey(Schema.String),
  remote: Schema.optionalKey(Schema.String),
  seconds: Schema.Number
})
export type StageReport = typeof StageReport.Type

/** A run that succeeded: its stages in an order of running; `outputs` are the pipeline's outputs. */
export const RunReport = Schema.Struct({
  run: Schema.String,
  pipeline: Schema.String,
  stages: Schema.Array(StageReport),
  outputs: Schema.Record(Schema.String, Artifact),
  seconds: Schema.Number
})
export type RunReport = typeof RunReport.Type

/** Stages failed; those that do not need them finished and are kept. */
export class RunError extends Schema.TaggedError<RunError>()("RunError", {
  run: Schema.String,
  failures: Schema.Array(StageFailure),
  skipped: Schema.Array(Schema.String),
  message: Schema.String
}) {}
