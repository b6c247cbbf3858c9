/**
 * Continuing a text with a checkpoint.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { encoding } from "../../operators/tokenizer/encoding.ts"
import type { Device } from "../device/device.ts"
import { generate, noEndToken } from "../engine/generate.ts"
import type { ModelError } from "../engine/model.ts"
import * as Session from "../engine/session.ts"

/** The prompt cannot be continued: it is too long for the model, or has a character that its tokenizer does not know. */
export class ContinuationError extends Schema.TaggedError<ContinuationError>()("ContinuationError", {
  place: Schema.String,
  message: Schema.String,
  next: Schema.String
}) {}

/** How a text is continued. */
export interface ContinuationOptions {
  /** Tokens at most (default 64); fewer where the model's context has no room for them, or the model ends its answer. */
  readonly tokens?: number
  /** Of the softmax (default 1); 0 takes the likeliest token. */
  readonly temperature?: number
  /** Draws from so many of the likeliest tokens (default 0: from all). */
  readonly topK?: number
  /** Draws from the likeliest tokens that together have this probability (default 1). */
  readonly topP?: number
  /** Of the draws (default 1): the same seed gives the same text. */
  readonly seed?: number
  /** Continuations (default 1). */
  readonly count?: number
}

/** One continuation. `logProbabilities` are in nats, one a token; `ended`: the model ended it by itself, with the last token. */
export interface Continuation {
  readonly text: string
  readonly tokens: Int32Array
  readonly logProbabilities: Float32Array
  readonly ended: boolean
}

/** Continuations of a text; `limit` is how many tokens each could have. */
export interface Continuations {
  readonly promptTokens: Int32Array
  readonly limit: number
  readonly completions: ReadonlyArray<Continuation>
}

/** Lets a checkpoint continue `prompt`, which may be empty: a document then begins. */
export const continueText = (
  checkpoint: Pick<Checkpoint, "tokenizer" | "weights">,
  prompt: string,
  options: ContinuationOptions = {}
): Effect.Effect<Continuations, ContinuationError | Session.SessionError | ModelError, Device> =>
  Effect.scoped(continued(checkpoint, prompt, options))

const continued = Effect.fnUntraced(function* (
  { tokenizer, weights }: Pick<Checkpoint, "tokenizer" | "weights">,
  prompt: string,
  options: ContinuationOptions
) {
  const { count = 1, seed = 1, temperature = 1, tokens = 64, topK = 0, topP = 1 } = options
  const { context } = weights.config
  const { endOfText } = tokenizer.special
  const endToken = endOfText ?? noEndToken
  const encoded = yield* Effect.mapError(
    encoding("generate", "prompt", () => tokenizer.encode(prompt)),
    ({ message, place }) => new ContinuationError({ place, message: `the prompt, ${message}`, next: "" })
  )
  // Documents follow an end token in training, so an empty prompt is the start of one.
  const promptTokens = encoded.length === 0 && endOfText !== undefined ? Int32Array.of(endOfText) : encoded
  if (promptTokens.length === 0) {
    return yield* new ContinuationError({
      place: "prompt",
      message: "the prompt is empty, and the tokenizer has no special token that a document could begin after",
      next: "Give a prompt of at least one token."
    })
  }
  const limit = Math.min(tokens, context - promptTokens.length)
  if (limit < 1) {
    return yield* new ContinuationError({
      place: "prompt",
      message: `the prompt has ${promptTokens.length} tokens and the model reads ${context}: there is no room for an answer`,
      next: "Shorten the prompt."
    })
  }
  const session = yield* Session.make(weights)
  const requests = Array.from({ length: count }, (_, index) => ({
    prompt: promptTokens,
    key: [seed | 0, index] as const,
    limit
  }))
  const made = yield* generate(session, requests, { temperature, topK, topP, endToken })
  const completions = made.map(({ logProbabilities, tokens }): Continuation => {
    const ended = tokens.at(-1) === endToken
    return { text: tokenizer.decode(ended ? tokens.subarray(0, -1) : tokens), tokens, logProbabilities, ended }
  })
  return { promptTokens, limit, completions }
})
