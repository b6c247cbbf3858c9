/**
 * Over-optimisation of a reward model, with no download (Gao, Schulman & Hilton 2022). Rankings of walks by how short a way they are (`pipelines/random-walks.ts`) stand for people. A gold reward
 * model learns from many of them, of walks of all kinds; it labels the few walks that a smaller proxy learns from, and scores what best of n and PPO make of the proxy. The proxy never saw a walk
 * along an edge that is not there: the gold reward rises with it, then falls. The walks' own optimality is drawn as a check of the gold model.
 *
 *     npm run ptmflow -- run pipelines/overoptimisation.ts
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Ranking } from "../operators/answers.ts"
import { characterTokenizer } from "../operators/character-tokenizer.ts"
import { concat } from "../operators/concat.ts"
import { beginMeasurements, measure } from "../operators/measurements.ts"
import { measureBestOfN, overoptimisationReport, rankByScore, standardScores } from "../operators/overoptimisation.ts"
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
  steps: parameter(PositiveInt, 300, "updates of pretraining"),
  goldRankings: parameter(PositiveInt, 1200, "prompts of each kind whose four answers people rank for the gold model"),
  goldEpochs: parameter(PositiveInt, 4, "times that the gold model sees each ranking"),
  rankings: parameter(PositiveInt, 120, "prompts whose four answers the gold model ranks for the proxy"),
  epochs: parameter(PositiveInt, 4, "times that the proxy sees each ranking"),
  rounds: parameter(PositiveInt, 40, "rounds of PPO"),
  rollouts: parameter(PositiveInt, 128, "answers a round"),
  n: parameter(PositiveInt, 256, "answers to each of 20 prompts that best of n chooses from"),
  learningRate: parameter(Positive, 5e-4, "PPO's learning rate"),
  seed: parameter(Schema.Int, 1, "of the text, the weights and the draws")
})

const settings = { epochs: 4, klCoefficient: 0, klTarget: 0, whitenRewards: false, maxNorm: 1 }

/** The reference samples walks as they are, and at a higher temperature walks along edges that are not there. */
const temperatures = { usual: 1, wild: 2 }

export default Pipeline.make(
  "overoptimisation",
  { description: "A policy optimised against a proxy of a gold reward model", params: Params },
  (p, params) => {
    const { learningRate, seed } = params
    const prompted = Math.max(params.goldRankings, 640)
    const { documents, prompts } = p.add(randomWalks, { params: { seed, prompts: prompted } })
    const { tokenizer } = p.add(characterTokenizer, { inputs: { documents } })
    const tokens = p.add(tokenize, { inputs: { documents, tokenizer } })
    const model = (name: string, layers: number, width: number) =>
      p.add(pretrain, {
        name,
        inputs: { train: tokens.train, validation: tokens.validation, tokenizer },
        params: { seed, layers, heads: 4, width, context: 16, batch: 64, steps: params.steps, learningRate: 2e-3 }
      }).checkpoint
    const checkpoint = model("pretrain", 2, 64)
    const sampled = (name: string, count: number, answersPerPrompt: number, round: number, temperature = 1) =>
      p.add(rollout, {
        name,
        inputs: { policy: checkpoint, prompts },
        params: { prompts: count, answersPerPrompt, round, maximumTokens: 10, temperature, seed }
      }).completions
    type Completions = ReturnType<typeof sampled>
    const byPeople = (name: string, completions: Completions) =>
      p.add(scoreWalks, { name, inputs: { completions, reference: checkpoint }, params: { seed } }).scored
    const pool = sampled("pool", 20, params.n, 1)

    const kinds = Object.entries(temperatures).map(([kind, temperature], i) => {
      const answers = sampled(`${kind}-answers`, params.goldRankings, 4, 2 + i, temperature)
      const scored = byPeople(`${kind}-labels`, answers)
      return [kind, p.add(rankByScore, { name: `${kind}-rankings`, inputs: { scored } }).rankings] as const
    })
    const people = p.add(concat("people", Ranking, temperatures), { inputs: Object.fromEntries(kinds) }).rows
    const goldTrained = p.add(trainReward, {
      name: "gold-reward",
      inputs: { checkpoint: model("gold-pretrain", 3, 96), rankings: people },
      params: { epochs: params.goldEpochs, batch: 16, learningRate: 1e-3 }
    })
    const gold = p.add(normaliseReward, {
      name: "normalise-gold",
      inputs: { rewardModel: goldTrained.checkpoint, completions: pool }
    }).rewardModel
    const scoredBy = (name: string, rewardModel: typeof gold, completions: Completions) =>
      p.add(score, {
        name,
        inputs: { completions, rewardModel, reference: checkpoint },
        params: { missingEndPenalty: 2 }
      }).scored

    // The proxy learns from the gold model's order of a few answers that the reference gave.
    const labelled = scoredBy("gold-labels", gold, sampled("ranked-answers", params.rankings, 4, 0))
    const { rankings } = p.add(rankByScore, { inputs: { scored: labelled } })
    const trained = p.add(trainReward, {
      inputs: { checkpoint, rankings },
      params: { epochs: params.epochs, batch: 8, learningRate: 1e-3 }
    })
    const proxy = p.add(normaliseReward, { inputs: { rewardModel: trained.checkpoint, completions: pool } }).rewardModel
    const optimalityOfPool = byPeople("optimality-of-pool", pool)
    const standard = (name: string, scored: typeof optimalityOfPool) =>
      p.add(standardScores, { name, inputs: { scored, reference: optimalityOfPool } }).scored

    const start = { policy: checkpoint, ...p.add(beginMeasurements) }
    const last = p.iterate(params.rounds, start, ({ measurements, policy }, round) => {
      const { completions } = p.add(rollout, {
        inputs: { policy, prompts },
        params: { prompts: params.rollouts, round, maximumTokens: 10, seed: seed + 1 }
      })
      const scored = scoredBy("score", proxy, completions)
      const others = {
        gold: scoredBy("score-gold", gold, completions),
        optimality: standard("standard-optimality", byPeople("optimality", completions))
      }
      let measured = p.add(measure, {
        inputs: { measurements, scored },
        params: { series: "PPO, proxy", x: round }
      }).measurements
      for (const [what, scored] of Object.entries(others)) {
        const params = { series: `PPO, ${what}`, x: round }
        const inputs = { measurements: measured, scored }
        measured = p.add(measure, { name: `measure-${what}`, inputs, params }).measurements
      }
      const updated = p.add(ppo, { inputs: { policy, scored }, params: { ...settings, learningRate, seed } })
      return { measurements: measured, ...updated }
    })
    let { measurements } = last
    const proxyOfPool = scoredBy("proxy-of-pool", proxy, pool)
    const ofPool = {
      proxy: proxyOfPool,
      gold: scoredBy("gold-of-pool", gold, pool),
      optimality: standard("standard-optimality-of-pool", optimalityOfPool)
    }
    for (const [what, scored] of Object.entries(ofPool)) {
      const inputs = { measurements, proxy: proxyOfPool, scored }
      const series = `best of n, ${what}`
      measurements = p.add(measureBestOfN, { name: `best-of-n-${what}`, inputs, params: { series } }).measurements
    }
    return p.add(overoptimisationReport, { inputs: { measurements } })
  }
)
