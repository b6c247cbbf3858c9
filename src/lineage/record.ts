/**
 * The facts that are kept: what a stage key gave, and what a run did. Records are never changed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Artifact, Blob } from "../operator/artifact.ts"
import { ColumnSources } from "../operator/column-source.ts"
import { Holder } from "../store/holder.ts"
import { Reason } from "./reason.ts"

/** A file outside the store that was read: its name as the operator let it out, and the SHA-256 of its bytes. */
export const SourceDigest = Schema.Struct({ name: Schema.String, digest: Schema.String })

const portType = { kind: Schema.String, contract: Schema.Json }

/**
 * All that can change a stage's result, as a tree whose every record says what it is. The stage key is its digest. `code` and `packages` are
 * digests of trees that the journal has too. `params` is the tree of the decoded parameters, with defaults filled in: one that is
 * absent is not in it. `seeds` are those of them that are seeds, where there are any. `numerics` is null where the stage does not use the device, and "any" where its pipeline accepts any.
 */
export const Preimage = Schema.TaggedStruct("StageKey", {
  schema: Schema.Number,
  operator: Schema.TaggedStruct("Operator", { name: Schema.String, version: Schema.Number }),
  code: Schema.String,
  packages: Schema.String,
  params: Schema.Json,
  seeds: Schema.optionalKey(Schema.TaggedStruct("Seeds", { values: Schema.Record(Schema.String, Schema.Json) })),
  inputs: Schema.Record(Schema.String, Schema.TaggedStruct("Input", { ...portType, digest: Schema.String })),
  outputs: Schema.Record(Schema.String, Schema.TaggedStruct("Output", portType)),
  sources: Schema.Array(Schema.TaggedStruct("Source", SourceDigest.fields)),
  numerics: Schema.NullOr(Schema.String)
})
export type Preimage = typeof Preimage.Type

/** The parameters of a stage, seeds among them. */
export const paramsOf = ({ params, seeds }: Pick<Preimage, "params" | "seeds">): Schema.Json =>
  seeds === undefined ? params : { ...(params as { readonly [name: string]: Schema.Json }), ...seeds.values }

/**
 * The stage with `key` gave `outputs`. `recipe` is the digest of the preimage without its inputs; `inputs` says which key and port
 * each input came from; `reasons` why it ran; `time` (of the start) is milliseconds since 1970; `metrics` are the last values that the operator reported.
 */
export const StageRecord = Schema.Struct({
  key: Schema.String,
  recipe: Schema.String,
  preimage: Preimage,
  reasons: Schema.Array(Reason),
  run: Schema.String,
  pipeline: Schema.String,
  stage: Schema.String,
  inputs: Schema.Record(Schema.String, Schema.Struct({ key: Schema.String, port: Schema.String })),
  outputs: Schema.Record(Schema.String, Artifact),
  metrics: Schema.Record(Schema.String, Schema.Number),
  device: Schema.NullOr(Schema.String),
  /** What `device` describes: its kind, its name in the run, and its numerics class, which the key has only where the pipeline does not accept any. */
  ranOn: Schema.optionalKey(Schema.Struct({ kind: Schema.String, name: Schema.String, numerics: Schema.String })),
  time: Schema.Number,
  seconds: Schema.Number,
  runSeconds: Schema.Number,
  /** How many batches of its inputs were made and reused, where it maps batch by batch; `over` are those inputs. */
  batches: Schema.optionalKey(
    Schema.Struct({
      made: Schema.Number,
      reused: Schema.Number,
      over: Schema.optionalKey(Schema.Array(Schema.String))
    })
  ),
  resumedFrom: Schema.optionalKey(Schema.Number),
  /** What each update took in, and which input rows the rows of tables came from: see trace.ts. */
  trace: Schema.optionalKey(Blob),
  /** All rows of its inputs that it learned from, by port, as text (see row-text.ts). */
  learned: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Resume points that were kept when it was done, by the number of updates. */
  points: Schema.optionalKey(Schema.Array(Schema.Struct({ step: Schema.Number, artifact: Artifact }))),
  /** Which columns of its input tables those of its output tables come from, where the operator says so. */
  columns: Schema.optionalKey(ColumnSources),
  /** Why it is the result of no key: `key` is then found by this run and what came from it alone. */
  uncached: Schema.optionalKey(Schema.String)
})
export type StageRecord = typeof StageRecord.Type

/** Where a stage ran, in words: `cuda:1, NVIDIA H100 ..., numerics 3fa2b1c04d5e`; null where it used no device. Records of older versions have the description alone. */
export const placeOf = ({ device, ranOn }: Pick<StageRecord, "device" | "ranOn">): string | null =>
  device === null || ranOn === undefined ? device : `${ranOn.name}, ${device}, numerics ${ranOn.numerics.slice(0, 12)}`

/** Which key each stage of a pipeline had, in an order of running. Runs with the same keys share one. */
export const Binding = Schema.Array(Schema.Struct({ stage: Schema.String, key: Schema.String }))
export type Binding = typeof Binding.Type

/** A stage that failed; `cause` is the tag of its error. */
export const StageFailure = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  cause: Schema.String,
  message: Schema.String
})
export type StageFailure = typeof StageFailure.Type

/**
 * One execution of a pipeline, written when its first stage starts (`running`) and again when it ends; the later record counts. `binding` names
 * the stages that have a result; those in `ran` made it in this run, the others were reused.
 */
export const RunRecord = Schema.Struct({
  run: Schema.String,
  pipeline: Schema.String,
  status: Schema.Literals(["running", "succeeded", "failed", "interrupted"]),
  time: Schema.Number,
  seconds: Schema.NullOr(Schema.Number),
  settings: Schema.Array(Schema.Struct({ path: Schema.String, value: Schema.String })),
  params: Schema.Json,
  /** The pipeline's file, from the store's folder on, where it is known. */
  file: Schema.optionalKey(Schema.String),
  holder: Holder,
  stages: Schema.Number,
  binding: Schema.String,
  ran: Schema.Array(Schema.String),
  /** Where they computed, in the words of `placeOf`. */
  devices: Schema.optionalKey(Schema.Array(Schema.String)),
  failures: Schema.Array(StageFailure),
  skipped: Schema.Array(Schema.String),
  outputs: Schema.Record(Schema.String, Schema.Struct({ stage: Schema.String, port: Schema.String }))
})
export type RunRecord = typeof RunRecord.Type
