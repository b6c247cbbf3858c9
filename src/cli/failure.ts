/**
 * Every error that a command can end with, as what a person is told.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import { type Failure, withoutStack } from "./render/failure.ts"

/** What was typed cannot be done. `next` says what can. */
export class CommandError extends Schema.TaggedError<CommandError>()("CommandError", {
  place: Schema.String,
  message: Schema.String,
  next: Schema.String
}) {}

const textOf = (error: object, field: string): string => {
  const value = (error as { readonly [field: string]: unknown })[field]
  return typeof value === "string" ? value : ""
}

/** The failure of a cause: of its error, or of the defect that nobody foresaw. */
export const failureOf = (cause: Cause.Cause<unknown>, folder: string): Failure => {
  const error = Cause.squash(cause)
  const defect = Cause.hasDies(cause)
  const text = error instanceof Error ? (defect ? (error.stack ?? error.message) : error.message) : String(error)
  const { message, place } = withoutStack(text, folder)
  if (defect) {
    return { message, place, next: "This is a defect, of ptmflow or of an operator: --debug shows where it came from." }
  }
  const named = typeof error === "object" && error !== null ? error : {}
  const given = textOf(named, "place") || textOf(named, "stage") || textOf(named, "device")
  return {
    message: message || textOf(named, "_tag"),
    place: place || (message.includes(given) ? "" : given),
    next: textOf(named, "next")
  }
}
