import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Completion, Ranking, ScoredCompletion } from "../../operators/answers.ts"
import { bestOfN } from "../../operators/best-of-n.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { dpo } from "../../operators/dpo.ts"
import { grpo } from "../../operators/grpo.ts"
import { rloo } from "../../operators/rloo.ts"
import { sample } from "../../operators/rollout.ts"
import { logProbabilities, rewards } from "../../operators/score.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Device } from "../../src/device/device.ts"
import { bestOfNKl } from "../../src/engine/loss/group.ts"
import { withScalarHead } from "../../src/engine/model.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { digitModel } from "./binary.ts"
import { makeStage, paramsOf, runReporting } from "./stage.ts"

const device = <A, E>(effect: Effect.Effect<A, E, Stage | Device>) =>
  effect.pipe(Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))

const sampling = { maximumTokens: 1, temperature: 1, topK: 0, topP: 1, stop: [], seed: 1 }

/** Four actions, the first of which is worth 1; the reference takes each as often as the others. */
const bandit = Effect.fnUntraced(function* (
  step: (
    policy: Checkpoint,
    scored: Table.Table<ScoredCompletion>,
    round: number
  ) => Effect.Effect<{ readonly policy: Checkpoint }, unknown, Device | Stage>
) {
  const reference = digitModel(4)
  reference.weights.values.fill(0)
  const wanted = Array.from({ length: 16 }, (_, i) => ({ id: `p${i}`, prompt: "0" })).flatMap((prompt) =>
    Array.from({ length: 16 }, (_, sample) => ({ prompt, sample }))
  )
  let policy = digitModel(4)
  for (let round = 0; round < 80; round++) {
    const completions = yield* sample(policy, wanted, sampling, round)
    const references = yield* logProbabilities(reference, completions)
    const rows = completions.map(
      (row, i): ScoredCompletion => ({
        ...row,
        reward: row.answerTokens[0] === 0 ? 1 : 0,
        referenceLogProbabilities: references[i]!
      })
    )
    policy = (yield* step(policy, Table.fromRows(ScoredCompletion, rows), round)).policy
  }
  const rows = [0, 1, 2, 3].map((n) => ({
    id: "p",
    sample: n,
    prompt: "0",
    answer: "",
    promptTokens: Int32Array.of(0),
    answerTokens: Int32Array.of(n),
    logProbabilities: new Float32Array(1),
    temperature: 1,
    ended: false
  }))
  return (yield* logProbabilities(policy, rows)).map((row) => Math.exp(row[0]!))
})
const rateOf = (round: number) => 0.01 * (1 - round / 80)

describe("without a critic", () => {
  it.effect("RLOO reaches pi* ~ pi_ref e^(R / beta)", () =>
    Effect.gen(function* () {
      const p = yield* bandit((policy, scored, round) => {
        const params = paramsOf(rloo, { epochs: 2, learningRate: rateOf(round), klCoefficient: 0.5 })
        return rloo.run({ inputs: { policy, scored }, params, sources: [] })
      })
      assert.closeTo(p[0]!, 0.7112, 0.012)
      for (const other of p.slice(1)) assert.closeTo(other, 0.0963, 0.012)
    }).pipe(device)
  )

  it.effect("GRPO, its KL in the loss, reaches the optimum of E[R] - beta KL(ref, pi)", () =>
    Effect.gen(function* () {
      const p = yield* bandit((policy, scored, round) => {
        const settings = { klCoefficient: 0.5, scaleAdvantages: false, average: round % 2 === 0 ? "token" : "answer" }
        const params = paramsOf(grpo, { epochs: 2, learningRate: rateOf(round), ...settings })
        return grpo.run({ inputs: { policy, scored }, params, sources: [] })
      })
      // In expectation the estimate's gradient is that of KL(ref, pi), so pi_i = beta ref_i / (beta + s (E[R] - R_i)); the mean of the
      // group holds the answer itself, so s = 15 / 16.
      const s = 15 / 16
      assert.closeTo(p[0]!, (s - 0.5 + Math.sqrt((s - 0.5) ** 2 + 0.5 * s)) / (2 * s), 0.01)
    }).pipe(device)
  )

  it.effect("refuses a prompt with one answer, naming it", () =>
    Effect.gen(function* () {
      const policy = digitModel(4)
      const completions = yield* sample(policy, [{ prompt: { id: "lone", prompt: "0" }, sample: 0 }], sampling, 0)
      const rows = completions.map((row) => ({ ...row, reward: 0, referenceLogProbabilities: row.logProbabilities }))
      const scored = Table.fromRows(ScoredCompletion, rows)
      const error = yield* Effect.flip(
        grpo.run({ inputs: { policy, scored }, params: paramsOf(grpo, {}), sources: [] })
      )
      assert.match(String(error), /lone|one answer/)
    }).pipe(device)
  )
})

describe("DPO", () => {
  it.effect("reaches beta (log pi / ref) = the rewards that preferences were drawn from", () =>
    Effect.gen(function* () {
      const { tokenizer, weights } = digitModel(4)
      const reference: Checkpoint = { weights, tokenizer: { ...tokenizer, special: { endOfText: 3, pad: 3 } } }
      // "1" is preferred to "2" three times of four: their rewards differ by ln 3.
      const rankings = Table.fromRows(
        Ranking,
        Array.from({ length: 44 }, (_, n) => ({
          id: `r${n}`,
          prompt: "0",
          answers: ["1", "2"],
          ranks: n % 4 === 0 ? [2, 1] : [1, 2]
        }))
      )
      const inputs = { policy: reference, reference, rankings }
      const params = paramsOf(dpo, {
        beta: 0.5,
        epochs: 200,
        batch: 40,
        learningRate: 3e-3,
        warmup: 2,
        heldOutFraction: 0.09
      })
      const { metrics, value } = yield* runReporting(dpo.run({ inputs, params, sources: [] }))
      assert.closeTo(metrics["heldOutLossBefore"]!, Math.LN2, 1e-6)
      const difference = Effect.fnUntraced(function* (policy: Checkpoint) {
        const rows = [1, 2].map((n) => ({
          id: "p",
          sample: n,
          prompt: "0",
          answer: "",
          promptTokens: Int32Array.of(0),
          answerTokens: Int32Array.of(n, 3),
          logProbabilities: new Float32Array(2),
          temperature: 1,
          ended: true
        }))
        const [better, worse] = (yield* logProbabilities(policy, rows)).map((row) => row[0]! + row[1]!)
        return better! - worse!
      })
      const moved = (yield* difference(value.policy)) - (yield* difference(reference))
      assert.closeTo(0.5 * moved, Math.log(3), 0.02)
      assert.isBelow(metrics["heldOutLoss"]!, metrics["heldOutLossBefore"]!)
    }).pipe(device)
  )
})

describe("best of n", () => {
  it.effect("keeps the answer to each prompt with the greatest reward, and says what it costs in KL", () =>
    Effect.gen(function* () {
      const { tokenizer, weights } = digitModel(6)
      const rewardModel: Checkpoint = {
        weights: withScalarHead(weights, "reward", 3),
        tokenizer: { ...tokenizer, special: { endOfText: 5, pad: 5 } }
      }
      const policy = { weights, tokenizer: rewardModel.tokenizer }
      const wanted = Array.from({ length: 9 }, (_, i) => ({ id: `p${i}`, prompt: `${i % 5}` })).flatMap((prompt) =>
        Array.from({ length: 4 }, (_, sample) => ({ prompt, sample }))
      )
      const completions = yield* sample(policy, wanted, { ...sampling, maximumTokens: 6 }, 0)
      const scores = yield* rewards(rewardModel, completions)
      const inputs = { completions: Table.fromRows(Completion, completions), rewardModel }
      const { metrics, value } = yield* runReporting(bestOfN.run({ inputs, params: {}, sources: [] }))
      const best = yield* Table.collect(value.best)
      assert.strictEqual(best.length, 9)
      best.forEach((row, p) => {
        const own = scores.slice(4 * p, 4 * p + 4)
        assert.strictEqual(row.sample, own.indexOf(Math.max(...own)))
        assert.strictEqual(row.id, `p${p}`)
      })
      assert.closeTo(metrics["kl"]!, bestOfNKl(4), 1e-12)
      assert.isAbove(metrics["rewardOfBest"]!, metrics["reward"]!)
      assert.strictEqual((yield* Table.collect(value.demonstrations))[3]!.answer, best[3]!.answer)
    }).pipe(device)
  )
})
