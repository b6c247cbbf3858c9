/**
 * Encoding inside an operator.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { OperatorError } from "../../src/operator/operator.ts"
import { UnknownCharacter } from "./characters.ts"

/** Runs what encodes a text; a character that the tokenizer does not know becomes the operator's error, at `place`. */
export const encoding = <A>(operator: string, place: string, encode: () => A): Effect.Effect<A, OperatorError> =>
  Effect.try({
    try: encode,
    catch: (error) => {
      if (!(error instanceof UnknownCharacter)) throw error
      return new OperatorError({ operator, place, message: error.message })
    }
  })
