/**
 * What happens in a run, as it happens. Every event encodes to one JSON object.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { FirstCause, Reason } from "../lineage/reason.ts"
import { Artifact } from "../operator/artifact.ts"
import { BatchCount, BatchPlan } from "./batches.ts"

const Metrics = Schema.Record(Schema.String, Schema.Number)

/** `time` is milliseconds since 1970. */
export const RunStarted = Schema.TaggedStruct("RunStarted", {
  run: Schema.String,
  pipeline: Schema.String,
  stages: Schema.Number,
  time: Schema.Number
})

/**
 * One stage of the plan; `cause` is why the stages before it run, where that alone is why; `seconds` is what it took last time; `remote` is where the
 * result is that will be reused, if it is not here yet; `batches` what is known of them where it maps batch by batch.
 */
export const StagePlanned = Schema.TaggedStruct("StagePlanned", {
  stage: Schema.String,
  operator: Schema.String,
  action: Schema.Literals(["reuse", "run", "maybe"]),
  reasons: Schema.Array(Reason),
  cause: Schema.optionalKey(FirstCause),
  seconds: Schema.optionalKey(Schema.Number),
  remote: Schema.optionalKey(Schema.String),
  batches: Schema.optionalKey(BatchPlan)
})

/** The store had the stage's result, or `remote` had it and it is here now. */
export const StageReused = Schema.TaggedStruct("StageReused", {
  stage: Schema.String,
  operator: Schema.String,
  key: Schema.String,
  artifacts: Schema.Record(Schema.String, Artifact),
  metrics: Metrics,
  remote: Schema.optionalKey(Schema.String)
})

/** Another process runs the stage; `seconds` is how long its lease has been held, `step` of `steps` how far it is, where it says so. */
export const StageWaiting = Schema.TaggedStruct("StageWaiting", {
  stage: Schema.String,
  operator: Schema.String,
  pid: Schema.Number,
  host: Schema.String,
  seconds: Schema.Number,
  step: Schema.optionalKey(Schema.Number),
  steps: Schema.optionalKey(Schema.Number)
})

/** The stage's inputs are known and it runs, for `reasons`; `device` is the name of that which it computes on. */
export const StageStarted = Schema.TaggedStruct("StageStarted", {
  stage: Schema.String,
  operator: Schema.String,
  key: Schema.String,
  reasons: Schema.Array(Reason),
  device: Schema.optionalKey(Schema.String)
})

/** A report of the operator, or the step that it goes on from (`resumed`). */
export const StageProgress = Schema.TaggedStruct("StageProgress", {
  stage: Schema.String,
  operator: Schema.String,
  step: Schema.optionalKey(Schema.Number),
  steps: Schema.optionalKey(Schema.Number),
  resumed: Schema.optionalKey(Schema.Boolean),
  metrics: Metrics,
  seconds: Schema.Number
})

/** The result is durable. `seconds` is the whole stage, `runSeconds` the operator's part of it; `batches` is there where it maps batch by batch; `uncached` says why no other run can reuse it. */
export const StageFinished = Schema.TaggedStruct("StageFinished", {
  stage: Schema.String,
  operator: Schema.String,
  key: Schema.String,
  artifacts: Schema.Record(Schema.String, Artifact),
  metrics: Metrics,
  batches: Schema.optionalKey(BatchCount),
  seconds: Schema.Number,
  runSeconds: Schema.Number,
  uncached: Schema.optionalKey(Schema.String)
})

/** The stage failed; what needs it is skipped. `cause` is the error's tag, or `Defect`. */
export const StageFailed = Schema.TaggedStruct("StageFailed", {
  stage: Schema.String,
  operator: Schema.String,
  cause: Schema.String,
  message: Schema.String
})

/** A stage that it needs failed. */
export const StageSkipped = Schema.TaggedStruct("StageSkipped", {
  stage: Schema.String,
  operator: Schema.String,
  because: Schema.String
})

/** The last event. */
export const RunFinished = Schema.TaggedStruct("RunFinished", {
  run: Schema.String,
  pipeline: Schema.String,
  status: Schema.Literals(["succeeded", "failed", "interrupted"]),
  reused: Schema.Number,
  ran: Schema.Number,
  failed: Schema.Number,
  skipped: Schema.Number,
  seconds: Schema.Number
})

export const Event = Schema.Union([
  RunStarted,
  StagePlanned,
  StageReused,
  StageWaiting,
  StageStarted,
  StageProgress,
  StageFinished,
  StageFailed,
  StageSkipped,
  RunFinished
])
export type Event = typeof Event.Type
