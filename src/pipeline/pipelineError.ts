/**
 * What a person gets wrong when writing or setting a pipeline.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** A pipeline could not be built. `place` names the stage or the setting. */
export class PipelineError extends Schema.TaggedError<PipelineError>()("PipelineError", {
  pipeline: Schema.String,
  place: Schema.String,
  message: Schema.String
}) {}
