/**
 * One parameter of an operator: a schema with a default and a description that the command line shows.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A parameter that may be left out: it then is `value`. */
export const parameter = <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  value: S["Encoded"],
  description: string
) => schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value))).annotateKey({ description })
