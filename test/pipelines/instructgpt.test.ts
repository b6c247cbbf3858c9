import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { averaged } from "../../operators/averaged.ts"
import { characterTokenizer } from "../../operators/character-tokenizer.ts"
import { rankByScore } from "../../operators/overoptimisation.ts"
import { recipes } from "../../operators/ppo/params.ts"
import { ppoCriticPtx } from "../../operators/ppo.ts"
import { pretrain } from "../../operators/pretrain.ts"
import { randomWalks } from "../../operators/random-walks.ts"
import { trainReward } from "../../operators/reward.ts"
import { rollout } from "../../operators/rollout.ts"
import { score } from "../../operators/score.ts"
import { scoreWith } from "../../operators/score-with.ts"
import { tokenize } from "../../operators/tokenize.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Event } from "../../src/executor/event.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer } from "../../src/store/store.ts"
import { temporaryFiles } from "../operators/files.ts"

const recipe = recipes.instructgpt

/** How many letters of an answer are from the first half of the alphabet. */
const scoreEarly = scoreWith("score-early", {
  description: "Counts letters from a to j",
  params: Schema.Struct({}),
  reward: (answers) => answers.map(({ answer }) => answer.match(/[a-j]/g)?.length ?? 0)
})

/** InstructGPT's recipe on random walks: a critic that starts from the reward model, and pretraining gradients. */
const pipeline = Pipeline.make("instructgpt", {}, (p) => {
  const { documents, prompts } = p.add(randomWalks, { params: { walks: 200, prompts: 200 } })
  const { tokenizer } = p.add(characterTokenizer, { inputs: { documents } })
  const tokens = p.add(tokenize, { inputs: { documents, tokenizer } })
  const { checkpoint } = p.add(pretrain, {
    inputs: { train: tokens.train, validation: tokens.validation, tokenizer },
    params: { layers: 1, heads: 2, width: 16, context: 16, steps: 30 }
  })
  const labelled = p.add(rollout, {
    name: "label",
    inputs: { policy: checkpoint, prompts },
    params: { answersPerPrompt: 4, maximumTokens: 9 }
  })
  const { scored } = p.add(scoreEarly, { inputs: { completions: labelled.completions, reference: checkpoint } })
  const { rankings } = p.add(rankByScore, { inputs: { scored } })
  const reward = p.add(trainReward, { inputs: { checkpoint, rankings }, params: { batch: 4 } }).checkpoint
  const start = { policy: checkpoint, critic: reward }
  const last = p.iterate(2, start, ({ critic, policy }, round) => {
    const { completions } = p.add(rollout, {
      inputs: { policy, prompts },
      params: { ...recipe.rollout, prompts: 128, round, maximumTokens: 9 }
    })
    const { scored } = p.add(score, {
      inputs: { completions, rewardModel: reward, reference: checkpoint },
      params: recipe.score
    })
    return p.add(ppoCriticPtx, {
      inputs: { policy, critic, scored, pretraining: tokens.train },
      params: { ...recipe.ppo, ptxWindows: 4 }
    })
  })
  return p.add(averaged, { inputs: { checkpoint: last.policy } })
})

describe("InstructGPT's recipe", () => {
  it.live("policy and critic go from round to round, with pretraining gradients", () =>
    Effect.gen(function* () {
      const events: Array<Event> = []
      const graph = yield* Pipeline.build(pipeline)
      yield* run(graph, { onEvent: (event) => Effect.sync(() => events.push(event)) }).pipe(
        Effect.provide(layer(`${yield* temporaryFiles({})}/store`)),
        Effect.provide(cpu({ threads: 1 }))
      )
      const rounds = events.flatMap((event) =>
        event._tag === "StageFinished" && event.stage.startsWith("ppo-critic-ptx") ? [event] : []
      )
      assert.deepStrictEqual(
        rounds.map(({ stage }) => stage),
        ["ppo-critic-ptx.1", "ppo-critic-ptx.2"]
      )
      for (const { metrics } of rounds) {
        assert.strictEqual(metrics["klCoefficient"], 0.02)
        assert.isAbove(metrics["ptxLoss"]!, 0)
        assert.isAbove(metrics["criticGradientNorm"]!, 0)
        // One epoch of two minibatches: the second meets a policy that has moved a little.
        assert.isBelow(metrics["approximateKl"]!, 0.01)
      }
      // The final policy is the average of the weights: a checkpoint of its own, without the head that the policy's rounds do not need.
      const final = events.find((event) => event._tag === "StageFinished" && event.stage === "averaged")
      assert.isDefined(final)
      assert.isDefined(rounds[1]!.artifacts["policy"]!.parts["average.safetensors"])
      assert.notStrictEqual(rounds[0]!.artifacts["critic"]!.digest, rounds[1]!.artifacts["critic"]!.digest)
    }).pipe(Effect.scoped)
  )
})
