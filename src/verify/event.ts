/**
 * What a process that verifies tells the one that started it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Verified } from "../lineage/verified.ts"

const Step = Schema.NullOr(Schema.Number)

/** A stage runs again, how far it is, and what was found. */
export const VerifyEvent = Schema.Union([
  Schema.TaggedStruct("Stage", { stage: Schema.String }),
  Schema.TaggedStruct("Progress", { stage: Schema.String, step: Step, steps: Step }),
  Schema.TaggedStruct("Verdict", { verified: Verified })
])
export type VerifyEvent = typeof VerifyEvent.Type
