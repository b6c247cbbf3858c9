/**
 * trlX's random-walks task, with no download: pretrain on 1,000 random walks over a random graph of 21 nodes, then PPO towards shortest ways to node "a".
 *
 *     npm run ptmflow -- run pipelines/random-walks.ts
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { characterTokenizer } from "../operators/character-tokenizer.ts"
import { beginMeasurements, measure } from "../operators/measurements.ts"
import { Positive, PositiveInt, parameter } from "../operators/parameter.ts"
import { ppo } from "../operators/ppo.ts"
import { pretrain } from "../operators/pretrain.ts"
import { randomWalks, scoreWalks, walksReport } from "../operators/random-walks.ts"
import { rollout } from "../operators/rollout.ts"
import { tokenize } from "../operators/tokenize.ts"
import * as Pipeline from "../src/pipeline/pipeline.ts"

const Params = Schema.Struct({
  seeds: parameter(PositiveInt, 5, "repetitions, each with a graph, walks, weights and draws of its own"),
  epochs: parameter(PositiveInt, 20, "rounds of rollout and PPO"),
  rollouts: parameter(PositiveInt, 128, "walks a round"),
  layers: parameter(PositiveInt, 2, "transformer blocks"),
  width: parameter(PositiveInt, 64, "width of the residual stream"),
  steps: parameter(PositiveInt, 300, "updates of pretraining"),
  learningRate: parameter(Positive, 1e-3, "PPO's learning rate")
})

/** trlX's settings: no KL penalty, value coefficient 1.2, 4 epochs. */
const settings = { epochs: 4, klCoefficient: 0, klTarget: 0, valueCoefficient: 1.2, whitenRewards: false, maxNorm: 1 }

export default Pipeline.make(
  "random-walks",
  { description: "Pretraining and PPO on random walks: shortest ways in a graph", params: Params },
  (p, params) => {
    const begun = p.add(beginMeasurements)
    const { measurements } = p.iterate(params.seeds, begun, ({ measurements }, seed) => {
      const { documents, prompts } = p.add(randomWalks, { params: { seed } })
      const { tokenizer } = p.add(characterTokenizer, { inputs: { documents } })
      const tokens = p.add(tokenize, { inputs: { documents, tokenizer } })
      const { steps, width } = params
      const { checkpoint } = p.add(pretrain, {
        inputs: { train: tokens.train, validation: tokens.validation, tokenizer },
        params: { seed, layers: params.layers, heads: 4, width, context: 16, batch: 64, steps, learningRate: 2e-3 }
      })

      // A round measures the policy that it begins with; nobody needs the policy of the last round, so its PPO is left out.
      const start = { policy: checkpoint, measurements }
      const last = p.iterate(params.epochs + 1, start, ({ measurements, policy }, round) => {
        const { completions } = p.add(rollout, {
          inputs: { policy, prompts },
          params: { prompts: params.rollouts, round, maximumTokens: 9, seed }
        })
        const { scored } = p.add(scoreWalks, { inputs: { completions, reference: checkpoint }, params: { seed } })
        const measured = p.add(measure, {
          inputs: { measurements, scored },
          params: { series: `seed ${seed}`, x: round - 1 }
        })
        const { learningRate } = params
        return {
          ...measured,
          ...p.add(ppo, { inputs: { policy, scored }, params: { ...settings, learningRate, seed } })
        }
      })
      return { measurements: last.measurements }
    })
    return { report: p.add(walksReport, { inputs: { measurements } }).report }
  }
)
