/** Generation with the engine: every answer has its full length, no token ends one. */
import * as Effect from "effect/Effect"
import { generate as sample } from "../../src/engine/generate.ts"
import { initialize } from "../../src/engine/model.ts"
import * as Session from "../../src/engine/session.ts"
import { configOf, parameterCount } from "../models.ts"
import { type GenerateSpec, type Open, randomTokens } from "./work.ts"

export const sampling = { temperature: 1, topK: 0, topP: 1, endToken: -1 }

export const generate: Open<GenerateSpec> = Effect.fnUntraced(function* (spec) {
  const session = yield* Session.make(initialize(configOf(spec), 1))
  const requests = Array.from({ length: spec.batch }, (_, i) => ({
    prompt: randomTokens(spec.prompt, spec.vocabulary, i),
    key: [1, i] as const,
    limit: spec.new
  }))
  const run = sample(session, requests, sampling, { batch: spec.batch })
  let sum = 0
  for (const { logProbabilities } of yield* run) sum += logProbabilities.reduce((a, b) => a + b, 0)
  return {
    opened: { parameters: parameterCount(spec), loss: -sum / (spec.batch * spec.new) },
    again: Effect.asVoid(run)
  }
})
