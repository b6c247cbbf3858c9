/**
 * What a `tokenizer.json` is refused with.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Component } from "./tokenizer-json.ts"

/** A `tokenizer.json` that is not one, or that asks for something ptmflow does not do. `place` is a path inside the file. */
export class TokenizerError extends Schema.TaggedError<TokenizerError>()("TokenizerError", {
  place: Schema.String,
  message: Schema.String
}) {}

export const refuse = (place: string, message: string) =>
  new TokenizerError({ place, message: `tokenizer.json: ${message}` })

const isComponent = Schema.is(Schema.Struct({ type: Schema.String }))

/** The parts of a Sequence. */
export const members = (component: Component, key: string, place: string): ReadonlyArray<Component> => {
  const list = component[key]
  if (!Array.isArray(list) || !list.every(isComponent)) throw refuse(place, `${place} Sequence has no ${key}`)
  return list as unknown as ReadonlyArray<Component>
}

/** A text among a component's fields. */
export const textOf = (component: Component, key: string, place: string): string => {
  const value = component[key]
  if (typeof value !== "string") throw refuse(place, `${place} ${component.type} has no ${key}`)
  return value
}

/** Makes something of a pattern, or refuses the pattern. */
export const withPattern = <A>(place: string, make: () => A): A => {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw refuse(place, `${place} has a pattern that JavaScript has not: ${error.message}`)
  }
}
