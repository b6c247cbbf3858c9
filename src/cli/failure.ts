/**
 * Every error that a command can end with, as what a person is told.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { nearest } from "../pipeline/nearest.ts"
import { printJson } from "./output.ts"
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

/** Whether JSON was asked for; it holds for errors of parsing too. */
export const wantsJson = (options: ReadonlyArray<string>): boolean =>
  options.some((option) => option === "--json" || option === "--json=true")

/** Writes to standard output what went wrong, as one JSON value: `tag` is the error's, or `Defect`, or `UsageError`. */
export const printFailure = (tag: string, { message, next, place }: Failure) =>
  printJson({ error: { tag, message, place, next } })

/** The tag of a cause's error, or `Defect`. */
export const tagOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return !Cause.hasDies(cause) && Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Defect"
}

/** Names near the one that an error is of, among those that there are. */
const nearOf = (error: object): ReadonlyArray<string> => {
  const isOfName = Schema.is(Schema.Struct({ reference: Schema.String, candidates: Schema.Array(Schema.String) }))
  return isOfName(error) ? nearest(error.reference, error.candidates) : []
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
  const near = nearOf(named)
  const given = textOf(named, "place") || textOf(named, "stage") || textOf(named, "device")
  return {
    message: message || textOf(named, "_tag"),
    place: place || given,
    next: textOf(named, "next") || (near.length > 0 ? `Did you mean ${near.join(" or ")}?` : "")
  }
}
