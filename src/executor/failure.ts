/**
 * A stage's failure in words, whatever its operator failed with.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import type { StageFailure } from "../lineage/record.ts"

/** Keeps the error's tag and message. A defect keeps its stack, as only that says where the bug is. */
export const failureOf = (stage: string, operator: string, cause: Cause.Cause<unknown>): StageFailure => {
  const failed = cause.reasons.find(Cause.isFailReason)
  if (failed !== undefined) return { stage, operator, ...describe(failed.error, false) }
  const died = cause.reasons.find(Cause.isDieReason)
  if (died !== undefined) return { stage, operator, cause: "Defect", message: describe(died.defect, true).message }
  return { stage, operator, cause: "Interrupted", message: "the stage was interrupted" }
}

const describe = (error: unknown, stack: boolean): { readonly cause: string; readonly message: string } => {
  const tag = Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : undefined
  if (error instanceof Error) {
    return { cause: tag ?? error.name, message: (stack ? error.stack : undefined) ?? error.message }
  }
  if (Predicate.hasProperty(error, "message") && typeof error.message === "string") {
    return { cause: tag ?? "Error", message: error.message }
  }
  return {
    cause: tag ?? "Error",
    message: typeof error === "string" ? error : (JSON.stringify(error) ?? String(error))
  }
}
