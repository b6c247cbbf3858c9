/**
 * Why a stage runs: the leaves of its key that changed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * One cause. `place` is the parameter's path, the port, the file or the operator; `from` and `to` are the old and the new value
 * where they are small; `message` says it in words (`parameter learningRate: 0.0003 -> 0.0001`).
 */
export const Reason = Schema.Struct({
  kind: Schema.Literals([
    "never-ran",
    "operator",
    "version",
    "parameter",
    "seed",
    "code",
    "package",
    "input",
    "input-pending",
    "port",
    "source",
    "numerics",
    "key-schema",
    "blob-lost"
  ]),
  place: Schema.String,
  from: Schema.optionalKey(Schema.Json),
  to: Schema.optionalKey(Schema.Json),
  message: Schema.String
})
export type Reason = typeof Reason.Type

/** The first stage upstream that has reasons of its own, and the first of those in words. */
export const FirstCause = Schema.Struct({ stage: Schema.String, message: Schema.String })
export type FirstCause = typeof FirstCause.Type
