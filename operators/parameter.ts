/**
 * One parameter of an operator: a schema with a default and a description that the command line shows.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A whole number from 1. */
export const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))

/** A number from 0. */
export const NonNegative = Schema.Number.check(Schema.isGreaterThanOrEqualTo(0))

/** A number above 0. */
export const Positive = Schema.Number.check(Schema.isGreaterThan(0))

/** A number from 0 to 1. */
export const Share = Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

/** A number between 0 and 1, neither of them included. */
export const Part = Schema.Number.check(
  Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true, exclusiveMaximum: true })
)

/** A parameter that may be left out: it then is `value`. */
export const parameter = <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  value: S["Encoded"],
  description: string
) => schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value))).annotateKey({ description })

/** How matrix products are computed while a model is trained. */
export const Precision = parameter(
  Schema.Literals(["f32", "bf16"]),
  "f32",
  "of matrix products in training; bf16 rounds their factors to bfloat16, and weights, sums and optimizer stay f32"
)
