/** A training step with the engine. */
import * as Effect from "effect/Effect"
import type { Batch } from "../../src/engine/batch.ts"
import { initialize } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import * as Session from "../../src/engine/session.ts"
import { configOf, parameterCount } from "../models.ts"
import { type Open, randomTokens, type TrainSpec } from "./work.ts"

export const train: Open<TrainSpec> = Effect.fnUntraced(function* (spec) {
  const { batch, context: length, vocabulary } = spec
  const session = yield* Session.make(initialize(configOf(spec), 1), { precision: spec.dtype, own: true })
  const batches = Array.from({ length: 8 }, (_, i): Batch => {
    const tokens = randomTokens(batch * length, vocabulary, i)
    const targets = tokens.map((_, row) => tokens[(row + 1) % tokens.length]!)
    return { batch, length, tokens, targets, sequences: [] }
  })
  let next = 0
  const step = Effect.gen(function* () {
    const loss = yield* session.languageModelLoss(batches[next++ % batches.length]!, batch * length)
    yield* session.update(adamW, 3e-4)
    return loss
  })
  const loss = yield* step
  return { opened: { parameters: parameterCount(spec), loss }, again: Effect.asVoid(step) }
})
