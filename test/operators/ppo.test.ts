import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ScoredCompletion } from "../../operators/answers.ts"
import { ScoredCompletion as ScoredCompletionRow } from "../../operators/answers.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { ppo } from "../../operators/ppo.ts"
import { sample } from "../../operators/rollout.ts"
import { logProbabilities } from "../../operators/score.ts"
import type { Tokenizer } from "../../operators/tokenizer/port.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { initialize, type ModelConfig } from "../../src/engine/model.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { makeStage } from "./stage.ts"

/** Two tokens, 0 and 1, written as digits; no end token. */
const binary: Tokenizer = {
  vocabularySize: 2,
  special: { endOfText: -1, pad: -1 },
  encode: (text: string) => Int32Array.from(text, Number),
  decode: (ids: Iterable<number>) => [...ids].join("")
} as unknown as Tokenizer

const config: ModelConfig = {
  family: "gpt2",
  layers: 1,
  heads: 2,
  width: 16,
  vocabulary: 2,
  context: 16,
  scalarHead: false
}

const { stage } = makeStage()

const sampling = { maximumTokens: 2, temperature: 1, topK: 0, topP: 1, seed: 1 }

/** log pi(answer | prompt "0") of the four answers 00, 01, 10, 11. */
const fourAnswers = (policy: Checkpoint) => {
  const answers = [0, 1, 2, 3].map((n) => ({
    id: "p",
    sample: n,
    prompt: "0",
    answer: "",
    promptTokens: Int32Array.of(0),
    answerTokens: Int32Array.of(n >> 1, n & 1),
    logProbabilities: new Float32Array(2)
  }))
  return Effect.map(logProbabilities(policy, answers, 1), (rows) => rows.map((row) => row[0]! + row[1]!))
}

describe("ppo", () => {
  // V = 2, T = 2, reward = number of ones: the optimum of E[R] - beta KL is pi* ~ pi_ref e^(R / beta).
  for (const beta of [1, 0.5]) {
    it.effect(`reaches the closed-form optimum of the KL-regularised reward, beta = ${beta}`, () =>
      Effect.gen(function* () {
        const reference: Checkpoint = { weights: initialize(config, 7), tokenizer: binary }
        const prompts = Array.from({ length: 256 }, (_, i) => ({ prompt: { id: `p${i}`, prompt: "0" }, sample: 0 }))
        let policy = reference
        const rounds = 120
        for (let round = 0; round < rounds; round++) {
          const completions = yield* sample(policy, prompts, sampling, round)
          const references = yield* logProbabilities(reference, completions, 1)
          const scored = completions.map(
            (row, i): ScoredCompletion => ({
              ...row,
              reward: row.answerTokens[0]! + row.answerTokens[1]!,
              referenceLogProbabilities: references[i]!
            })
          )
          const params = {
            epochs: 4,
            minibatch: 256,
            learningRate: 0.01 * (1 - round / rounds),
            clip: 0.2,
            valueClip: 10,
            valueCoefficient: 0.5,
            entropyCoefficient: 0,
            gamma: 1,
            lambda: 1,
            temperature: 1,
            klCoefficient: beta,
            klTarget: 0,
            klHorizon: 1,
            precision: "f32" as const,
            seed: 1
          }
          const scoredTable = Table.fromRows(ScoredCompletionRow, scored)
          policy = (yield* ppo.run({ inputs: { policy, scored: scoredTable }, params, sources: [] })).policy
        }
        const before = yield* fourAnswers(reference)
        const after = yield* fourAnswers(policy)
        const weights = before.map((logProbability, n) => Math.exp(logProbability + ((n >> 1) + (n & 1)) / beta))
        const total = weights.reduce((sum, w) => sum + w, 0)
        const ones = (p: ReadonlyArray<number>) => ({ first: p[2]! + p[3]!, second: p[1]! + p[3]! })
        const optimum = ones(weights.map((w) => w / total))
        const reached = ones(after.map(Math.exp))
        assert.closeTo(reached.first, optimum.first, 0.01)
        assert.closeTo(reached.second, optimum.second, 0.01)
      }).pipe(Effect.provideService(Stage, stage), Effect.provide(cpu({ threads: 1 })))
    )
  }

  it.effect("refuses fewer answers than a minibatch, naming the input", () =>
    Effect.gen(function* () {
      const policy: Checkpoint = { weights: initialize(config, 7), tokenizer: binary }
      const scored = Table.fromRows(ScoredCompletionRow, [])
      const params = { minibatch: 64 } as Parameters<typeof ppo.run>[0]["params"]
      const error = yield* Effect.flip(ppo.run({ inputs: { policy, scored }, params, sources: [] }))
      assert.match(error.message, /0 answers are fewer than one minibatch of 64/)
    }).pipe(Effect.provideService(Stage, stage), Effect.provide(cpu({ threads: 1 })))
  )
})
