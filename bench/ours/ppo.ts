/** One PPO iteration with the engine: rollout, reference and value statistics, advantages, epochs of clipped updates. */
import * as Effect from "effect/Effect"
import { pad } from "../../src/engine/batch.ts"
import { generate } from "../../src/engine/generate.ts"
import { generalisedAdvantage, tokenRewards, whiten } from "../../src/engine/loss/advantage.ts"
import { ppoLoss } from "../../src/engine/loss/ppo.ts"
import { initialize, withScalarHead } from "../../src/engine/model.ts"
import type { AdamW } from "../../src/engine/optimizer.ts"
import * as Session from "../../src/engine/session.ts"
import { configOf, parameterCount } from "../models.ts"
import { sampling } from "./generate.ts"
import { type Open, type PpoSpec, randomTokens } from "./work.ts"

const settings = { clip: 0.2, valueClip: 0.2, valueCoefficient: 0.1, entropyCoefficient: 0 }
const optimizer: AdamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, weightDecay: 0, maxNorm: 1, form: "pytorch" }
const beta = 0.15

/** The reward is a function of the tokens that costs nothing: the share of odd ones. */
const reward = (tokens: Int32Array) => tokens.reduce((sum, token) => sum + (token % 2), 0) / tokens.length

export const ppo: Open<PpoSpec> = Effect.fnUntraced(function* (spec) {
  const weights = initialize(configOf(spec), 1)
  const precision = spec.dtype ?? "f32"
  const policy = yield* Session.make(withScalarHead(weights, "value", 1), { precision })
  const reference = yield* Session.make(weights, { precision })
  const prompts = Array.from({ length: spec.batch }, (_, i) => randomTokens(spec.prompt, spec.vocabulary, i))
  let round = 0

  const iteration = Effect.gen(function* () {
    const key = round++
    const requests = prompts.map((prompt, i) => ({ prompt, key: [key, i] as const, limit: spec.new }))
    const answers = yield* generate(policy, requests, sampling, { batch: spec.batch })
    const sequences = answers.map(({ tokens }, i) => ({
      tokens: Int32Array.from([...prompts[i]!, ...tokens]),
      from: spec.prompt
    }))
    const batch = pad(sequences)
    // The rows that predict the tokens of answer i.
    const rowsOf = (i: number) => {
      const first = i * batch.length + spec.prompt - 1
      return [first, first + spec.new] as const
    }
    const known = yield* reference.statistics(batch, { language: true, scalar: false, temperature: 1 })
    const { value } = yield* policy.statistics(batch, { language: false, scalar: true, temperature: 1 })
    const estimates = answers.map(({ logProbabilities, tokens }, i) => {
      const rewards = tokenRewards(logProbabilities, known.logProbability.slice(...rowsOf(i)), reward(tokens), beta)
      return generalisedAdvantage(rewards, value.slice(...rowsOf(i)), 1, 0.95)
    })
    const white = whiten(estimates.flatMap(({ advantages }) => [...advantages]))
    const rows = batch.batch * batch.length
    const targets = {
      mask: new Float64Array(rows),
      logProbability: new Float64Array(rows),
      value: Float64Array.from(value),
      advantage: new Float64Array(rows),
      return: new Float64Array(rows)
    }
    for (const [i, { logProbabilities }] of answers.entries()) {
      const [first, end] = rowsOf(i)
      targets.mask.fill(1, first, end)
      targets.logProbability.set(logProbabilities, first)
      targets.advantage.set(white.subarray(i * spec.new, (i + 1) * spec.new), first)
      targets.return.set(estimates[i]!.returns, first)
    }
    const heads = { language: true, scalar: true, temperature: 1 }
    for (let epoch = 0; epoch < spec.epochs; epoch++) {
      yield* policy.customLoss(batch, heads, (statistics) => ppoLoss(statistics, targets, settings))
      yield* policy.update(optimizer, 3e-4)
    }
    return -answers.reduce((sum, a) => sum + a.logProbabilities.reduce((x, y) => x + y, 0), 0) / (spec.batch * spec.new)
  })
  const loss = yield* iteration
  return { opened: { parameters: parameterCount(spec, true), loss }, again: Effect.asVoid(iteration) }
})
