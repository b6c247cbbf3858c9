/**
 * Over-optimisation of a reward model, with no download. The gold reward is how short a way a walk is (`pipelines/random-walks.ts`); it ranks sampled walks, and a proxy learns from few of
 * these rankings. Best of n and PPO push the proxy's reward up. The proxy never saw a walk along an edge that is not there, which is worth nothing: the gold reward rises with it, then falls.
 *
 *     npm run ptmflow -- run pipelines/overoptimisation.ts
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { characterTokenizer } from "../operators/character-tokenizer.ts"
import { beginMeasurements, measure } from "../operators/measurements.ts"
import { bestOfNCurve, overoptimisationReport, rankByScore, standardScores } from "../operators/overoptimisation.ts"
import { Positive, PositiveInt, parameter } from "../operators/parameter.ts"
import { ppo } from "../operators/ppo.ts"
import { pretrain } from "../operators/pretrain.ts"
import { randomWalks, scoreWalks } from "../operators/random-walks.ts"
import { normaliseReward, trainReward } from "../operators/reward.ts"
import { rollout } from "../operators/rollout.ts"
import { score } from "../operators/score.ts"
import { tokenize } from "../operators/tokenize.ts"
import * as Pipeline from "../src/pipeline/pipeline.ts"

const Params = Schema.Struct({
  rankings: parameter(PositiveInt, 120, "prompts whose four answers the gold reward ranks for the proxy"),
  epochs: parameter(PositiveInt, 4, "times that the proxy sees each ranking"),
  rounds: parameter(PositiveInt, 40, "rounds of PPO"),
  rollouts: parameter(PositiveInt, 128, "answers a round"),
  n: parameter(PositiveInt, 256, "answers to each of 20 prompts that best of n chooses from"),
  learningRate: parameter(Positive, 5e-4, "PPO's learning rate"),
  seed: parameter(Schema.Int, 1, "of the text, the weights and the draws")
})

const settings = { epochs: 4, klCoefficient: 0, klTarget: 0, whitenRewards: false, maxNorm: 1 }

export default Pipeline.make(
  "overoptimisation",
  { description: "A policy optimised against a proxy of a synthetic gold reward", params: Params },
  (p, params) => {
    const { learningRate, seed } = params
    const { documents, prompts } = p.add(randomWalks, { params: { seed } })
    const { tokenizer } = p.add(characterTokenizer, { inputs: { documents } })
    const tokens = p.add(tokenize, { inputs: { documents, tokenizer } })
    const { checkpoint } = p.add(pretrain, {
      inputs: { train: tokens.train, validation: tokens.validation, tokenizer },
      params: { seed, layers: 2, heads: 4, width: 64, context: 16, batch: 64, steps: 300, learningRate: 2e-3 }
    })
    const sampled = (name: string, count: number, answersPerPrompt: number, round: number) =>
      p.add(rollout, {
        name,
        inputs: { policy: checkpoint, prompts },
        params: { prompts: count, answersPerPrompt, round, maximumTokens: 9, seed }
      }).completions
    type Completions = ReturnType<typeof sampled>
    const byGold = (name: string, completions: Completions) =>
      p.add(scoreWalks, { name, inputs: { completions, reference: checkpoint }, params: { seed } }).scored

    // The proxy learns from the gold reward's order of a few answers that the reference gave.
    const ranked = byGold("gold-labels", sampled("ranked-answers", params.rankings, 4, 0))
    const { rankings } = p.add(rankByScore, { inputs: { scored: ranked } })
    const trained = p.add(trainReward, {
      inputs: { checkpoint, rankings },
      params: { epochs: params.epochs, batch: 8, learningRate: 1e-3 }
    })
    const pool = sampled("pool", 20, params.n, 1)
    const proxy = p.add(normaliseReward, { inputs: { rewardModel: trained.checkpoint, completions: pool } }).rewardModel
    const goldOfPool = byGold("gold-of-pool", pool)

    const start = { policy: checkpoint, ...p.add(beginMeasurements) }
    const last = p.iterate(params.rounds, start, ({ measurements, policy }, round) => {
      const { completions } = p.add(rollout, {
        inputs: { policy, prompts },
        params: { prompts: params.rollouts, round, maximumTokens: 9, seed: seed + 1 }
      })
      const inputs = { completions, rewardModel: proxy, reference: checkpoint }
      const { scored } = p.add(score, { inputs, params: { missingEndPenalty: 0 } })
      const gold = p.add(standardScores, {
        inputs: { scored: byGold("gold", completions), reference: goldOfPool }
      }).scored
      const half = p.add(measure, { inputs: { measurements, scored }, params: { series: "PPO, proxy", x: round } })
      const whole = p.add(measure, {
        name: "measure-gold",
        inputs: { measurements: half.measurements, scored: gold },
        params: { series: "PPO, gold", x: round }
      })
      return { ...whole, ...p.add(ppo, { inputs: { policy, scored }, params: { ...settings, learningRate, seed } }) }
    })
    const inputs = { completions: pool, rewardModel: proxy, reference: checkpoint }
    const proxyOfPool = p.add(score, { name: "proxy-of-pool", inputs, params: { missingEndPenalty: 0 } }).scored
    const gold = p.add(standardScores, {
      name: "standard-gold-of-pool",
      inputs: { scored: goldOfPool, reference: goldOfPool }
    }).scored
    const bestOfN = p.add(bestOfNCurve, { inputs: { proxy: proxyOfPool, gold } })
    return p.add(overoptimisationReport, { inputs: { ppo: last.measurements, bestOfN: bestOfN.measurements } })
  }
)
