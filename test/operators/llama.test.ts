/** The recipe on a model of the llama family: every operator takes it as it takes a gpt2. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Demonstration, LexiconEntry, Prompt, Ranking } from "../../operators/answers.ts"
import { CheckpointPort } from "../../operators/checkpoint.ts"
import { evaluate } from "../../operators/evaluate.ts"
import { ppo } from "../../operators/ppo.ts"
import { pretrain } from "../../operators/pretrain.ts"
import { trainReward } from "../../operators/reward.ts"
import { rollout } from "../../operators/rollout.ts"
import { TokenSequence } from "../../operators/rows.ts"
import { score } from "../../operators/score.ts"
import { sft } from "../../operators/sft.ts"
import { characterOfByte } from "../../operators/tokenizer/byte-characters.ts"
import { load } from "../../operators/tokenizer/load.ts"
import { write } from "../../operators/tokenizer/tokenizer-json.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { temporaryBlobs } from "../table/blobs.ts"
import { makeStage, paramsOf } from "./stage.ts"

const words = ["the good whale", "a bad sea", "the calm captain", "a good ship"]
const text = Array.from({ length: 300 }, (_, i) => `${words[(i * 7 + (i >> 2)) % 4]} and `).join("")

describe("a llama", () => {
  it.effect("is pretrained, fine-tuned, made a reward model, sampled, scored, optimised and evaluated", () =>
    Effect.gen(function* () {
      const tokenizer = yield* load(
        write({ tokens: characterOfByte.toSorted(), merges: [], special: ["<|endoftext|>", "<|pad|>"] })
      )
      const tokens = tokenizer.encode(text)
      const stream = Table.fromRows(TokenSequence, [{ id: "t", tokens, bytes: tokens.length }])
      const given = { family: "llama", layers: 2, heads: 4, keyHeads: 2, width: 32, context: 48, tied: false }
      const base = yield* pretrain.run({
        inputs: { train: stream, validation: stream, tokenizer },
        params: paramsOf(pretrain, { ...given, batch: 8, steps: 60, warmup: 5, validationWindows: 8 }),
        sources: []
      })
      const figure = (name: string) => base.report.figures.find((each) => each.name === name)!.value
      assert.isBelow(figure("validation loss after"), 0.6 * figure("validation loss before"))
      const { config } = base.checkpoint.weights
      assert.deepInclude(config, { family: "llama", keyHeads: 2, headWidth: 8, feedForward: 96, tied: false })

      const blobs = yield* temporaryBlobs
      const artifact = yield* CheckpointPort.encode(base.checkpoint, blobs)
      assert.deepStrictEqual((yield* CheckpointPort.decode(artifact, blobs)).weights, base.checkpoint.weights)

      const demonstrations = Table.fromRows(
        Demonstration,
        Array.from({ length: 40 }, (_, i) => ({ id: `d${i}`, prompt: words[i % 4]!, answer: " and so" }))
      )
      const tuned = yield* sft.run({
        inputs: { checkpoint: base.checkpoint, demonstrations },
        params: paramsOf(sft, { batch: 8, epochs: 3, learningRate: 3e-3, warmup: 1 }),
        sources: []
      })
      const [before, after] = tuned.report.figures.map(({ value }) => value)
      assert.isBelow(after!, before!)

      const rankings = Table.fromRows(
        Ranking,
        Array.from({ length: 40 }, (_, i) => ({
          id: `r${i}`,
          prompt: words[i % 4]!,
          answers: [" good", " bad"],
          ranks: [1, 2]
        }))
      )
      const reward = yield* trainReward.run({
        inputs: { checkpoint: tuned.checkpoint, rankings },
        params: paramsOf(trainReward, { batch: 8, epochs: 3, learningRate: 3e-3, warmup: 1 }),
        sources: []
      })
      assert.strictEqual(reward.report.figures[0]!.value, 1)

      const prompts = Table.fromRows(
        Prompt,
        Array.from({ length: 16 }, (_, i) => ({ id: `p${i}`, prompt: words[i % 4]! }))
      )
      const sampling = { maximumTokens: 6 }
      const policy = tuned.checkpoint
      const { completions } = yield* rollout.run({
        inputs: { policy, prompts },
        params: paramsOf(rollout, sampling),
        sources: []
      })
      const { scored } = yield* score.run({
        inputs: { completions, rewardModel: reward.checkpoint, reference: policy },
        params: paramsOf(score),
        sources: []
      })
      for (const row of yield* Table.collect(scored)) {
        assert.deepStrictEqual(row.referenceLogProbabilities, row.logProbabilities, "as sampled, so scored")
      }
      const updated = yield* ppo.run({
        inputs: { policy, scored },
        params: paramsOf(ppo, { minibatch: 8, epochs: 1 }),
        sources: []
      })
      assert.isTrue(updated.policy.weights.config.scalarHead)
      const lexicon = Table.fromRows(LexiconEntry, [
        { word: "good", valence: 2 },
        { word: "bad", valence: -2 }
      ])
      const { report } = yield* evaluate.run({
        inputs: { policy: updated.policy, reference: policy, rewardModel: reward.checkpoint, prompts, lexicon },
        params: paramsOf(evaluate, sampling),
        sources: []
      })
      assert.isAbove(report.figures.length, 3)
    }).pipe(Effect.scoped, Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))
  )
})
