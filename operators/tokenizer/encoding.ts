/**
 * Encoding inside an operator.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { OperatorError } from "../../src/operator/operator.ts"
import { UnknownCharacter } from "./characters.ts"
import { NoEndToken } from "./tokenizer.ts"

/** Runs what encodes a text; a character that the tokenizer does not know, or an end token that it does not have, becomes the operator's error, at `place`. */
export const encoding = <A>(operator: string, place: string, encode: () => A): Effect.Effect<A, OperatorError> =>
  Effect.try({
    try: encode,
    catch: (error) => {
      if (!(error instanceof UnknownCharacter || error instanceof NoEndToken)) throw error
      return new OperatorError({ operator, place, message: error.message })
    }
  })
