import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mergeAdapter } from "../../operators/adapter.ts"
import { Demonstration, Prompt, ScoredCompletion } from "../../operators/answers.ts"
import { type Checkpoint, CheckpointPort } from "../../operators/checkpoint.ts"
import { HuggingFacePort } from "../../operators/huggingface/port.ts"
import { ppo } from "../../operators/ppo.ts"
import { rollout } from "../../operators/rollout.ts"
import { sft } from "../../operators/sft.ts"
import { characterOfByte } from "../../operators/tokenizer/byte-characters.ts"
import { load } from "../../operators/tokenizer/load.ts"
import { write } from "../../operators/tokenizer/tokenizer-json.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { initialize, layout, parameter, type Weights } from "../../src/engine/model.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { temporaryBlobs } from "../table/blobs.ts"
import { makeStage } from "./stage.ts"

const decode = <P>(operator: { readonly params: Schema.Codec<P, unknown> }, given: object): P =>
  Schema.decodeUnknownSync(operator.params)(given)

const base = Effect.gen(function* () {
  const tokenizer = yield* load(
    write({ tokens: characterOfByte.toSorted(), merges: [], special: ["<|endoftext|>", "<|pad|>"] })
  )
  const { vocabularySize: vocabulary } = tokenizer
  const config = { family: "gpt2", layers: 1, heads: 2, width: 16, vocabulary, context: 24, scalarHead: false } as const
  const weights = initialize(config, 1)
  // The head stays as it is, so it must be able to tell tokens apart.
  const table = parameter(weights, "wte.weight")
  table.forEach((value, i) => {
    table[i] = 20 * value
  })
  const checkpoint: Checkpoint = { weights, tokenizer }
  return checkpoint
})

/** The parameters that another model has too are as they are there. */
const assertBaseOf = (weights: Weights, of: Weights) => {
  for (const { name } of layout({ ...of.config, scalarHead: false }).parameters) {
    assert.deepStrictEqual(parameter(weights, name), parameter(of, name), name)
  }
}

/** The policy after one round of PPO on answers that it sampled, which are rewarded for their length. */
const round = Effect.fnUntraced(function* (policy: Checkpoint, params: object) {
  const { completions } = yield* rollout.run({
    inputs: { policy, prompts: Table.fromRows(Prompt, [{ id: "p", prompt: "ab" }]) },
    params: decode(rollout, { answersPerPrompt: 8, maximumTokens: 4 }),
    sources: []
  })
  const scored = (yield* Table.collect(completions)).map((row) => ({
    ...row,
    reward: row.answerTokens.length,
    referenceLogProbabilities: row.logProbabilities
  }))
  const inputs = { policy, scored: Table.fromRows(ScoredCompletion, scored) }
  return (yield* ppo.run({ inputs, params: decode(ppo, params), sources: [] })).policy
})

describe("fine-tuning with adapters", () => {
  it.effect("SFT and PPO train them, their checkpoints keep the base once, and merged they are a plain model", () =>
    Effect.gen(function* () {
      const checkpoint = yield* base
      const demonstrations = Table.fromRows(
        Demonstration,
        Array.from({ length: 24 }, (_, i) => ({ id: `d${i}`, prompt: "ab", answer: "cd" }))
      )
      const lora = { loraRank: 4, loraAlpha: 8 }
      const tuned = yield* sft.run({
        inputs: { checkpoint, demonstrations },
        params: decode(sft, { ...lora, batch: 8, epochs: 40, learningRate: 1e-2, warmup: 1 }),
        sources: []
      })
      const [before, after] = tuned.report.figures.map(({ value }) => value)
      assert.isBelow(after!, 0.7 * before!)
      const { weights } = tuned.checkpoint
      assert.deepStrictEqual(weights.config.adapter, { rank: 4, alpha: 8, layers: "all" })
      assertBaseOf(weights, checkpoint.weights)

      const blobs = yield* temporaryBlobs
      const plain = yield* CheckpointPort.encode(checkpoint, blobs)
      const artifact = yield* CheckpointPort.encode(tuned.checkpoint, blobs)
      assert.deepStrictEqual(artifact.parts["model.safetensors"], plain.parts["model.safetensors"])
      assert.isBelow(artifact.parts["adapter.safetensors"]!.bytes, plain.parts["model.safetensors"]!.bytes / 2)
      assert.deepStrictEqual((yield* CheckpointPort.decode(artifact, blobs)).weights, weights)

      const policy = yield* round(tuned.checkpoint, { epochs: 2 })
      assertBaseOf(policy.weights, checkpoint.weights)
      assert.notDeepEqual(
        parameter(policy.weights, "h.0.attn.c_attn.lora_b"),
        parameter(weights, "h.0.attn.c_attn.lora_b")
      )
      const resumed = yield* CheckpointPort.decode(yield* CheckpointPort.encode(policy, blobs), blobs)
      assert.deepStrictEqual(resumed.optimizer, policy.optimizer)
      const second = yield* round(resumed, { epochs: 2 })
      assert.isAbove(second.optimizer!.step, policy.optimizer!.step)

      const merged = (yield* mergeAdapter.run({ inputs: { checkpoint: policy }, params: {}, sources: [] })).checkpoint
      assert.isUndefined(merged.weights.config.adapter)
      const exported = yield* HuggingFacePort.encode({ checkpoint: policy, shardBytes: 1e9 }, blobs)
      assert.strictEqual(
        (yield* HuggingFacePort.encode({ checkpoint: merged, shardBytes: 1e9 }, blobs)).digest,
        exported.digest
      )
      const error = yield* Effect.flip(mergeAdapter.run({ inputs: { checkpoint }, params: {}, sources: [] }))
      assert.match(error.message, /no adapters to merge/)
    }).pipe(Effect.scoped, Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("PPO adds them where the policy has none", () =>
    Effect.gen(function* () {
      const checkpoint = yield* base
      const policy = yield* round(checkpoint, { epochs: 1, loraRank: 2, loraLayers: "attention" })
      assert.deepStrictEqual(policy.weights.config.adapter, { rank: 2, alpha: 16, layers: "attention" })
      assertBaseOf(policy.weights, checkpoint.weights)
    }).pipe(Effect.scoped, Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))
  )
})
