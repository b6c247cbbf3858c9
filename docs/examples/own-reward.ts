/**
 * A reward of your own in the place of a reward model, in three ways. Each is an operator with the ports of `score` but for `rewardModel`:
 *
 *     const { scored } = p.add(shortAnswers, { inputs: { completions, reference } })
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schema from "effect/Schema"
import { PositiveInt, parameter } from "../../operators/parameter.ts"
import { scoreWith } from "../../operators/score-with.ts"

/** A plain function: 1 for an answer that ends by itself within `tokens` tokens, less the further it is from that. */
export const shortAnswers = scoreWith("short-answers", {
  description: "Likes answers that end soon",
  params: Schema.Struct({ tokens: parameter(PositiveInt, 12, "tokens that are short") }),
  reward: (answers, { tokens }) =>
    answers.map(({ answerTokens, ended }) => (ended ? 1 : 0) - Math.max(0, answerTokens.length - tokens) / tokens)
})

/** What another part of your program can do: here, look words up. */
export class Dictionary extends Context.Service<
  Dictionary,
  { readonly has: (word: string) => Effect.Effect<boolean> }
>()("examples/Dictionary") {}

/** An Effect, which may need services: the share of an answer's words that the dictionary has. A pipeline that uses it cannot be run without one. */
export const realWords = scoreWith("real-words", {
  description: "Likes answers of words that are in the dictionary",
  params: Schema.Struct({}),
  reward: Effect.fnUntraced(function* (answers) {
    const { has } = yield* Dictionary
    return yield* Effect.forEach(
      answers,
      Effect.fnUntraced(function* ({ answer }) {
        const words = answer.match(/\p{L}+/gu) ?? []
        const known = yield* Effect.forEach(words, has)
        return known.filter((is) => is).length / Math.max(words.length, 1)
      }),
      { concurrency: 16 }
    )
  })
})

/** The service's answer: one number for each text. */
const Judged = Schema.Struct({ rewards: Schema.Array(Schema.Number) })

/**
 * A service over HTTP, asked for all answers at once. What it says is not in the stage's key, so `version` is: raise it when the service has changed. A refused connection, another status
 * than 2xx or an answer of another form fails the stage with a typed error.
 */
export const judgedByService = scoreWith("judged-by-service", {
  description: "Rewards of a service over HTTP",
  params: Schema.Struct({
    url: Schema.String.annotateKey({ description: "where answers are posted to, as JSON" }),
    version: parameter(PositiveInt, 1, "of the service")
  }),
  reward: Effect.fnUntraced(function* (answers, { url }) {
    const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
    const request = yield* HttpClientRequest.post(url).pipe(
      HttpClientRequest.bodyJson({ answers: answers.map(({ answer, prompt }) => ({ prompt, answer })) })
    )
    const response = yield* client.execute(request)
    return (yield* HttpClientResponse.schemaBodyJson(Judged)(response)).rewards
  })
})
