import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Completion, ScoredCompletion } from "../../operators/answers.ts"
import { averaged } from "../../operators/averaged.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { extend, scaleScores } from "../../operators/ppo/experience.ts"
import { PpoParams, recipes } from "../../operators/ppo/params.ts"
import { ppo, ppoCritic, ppoCriticPtx } from "../../operators/ppo.ts"
import { sample } from "../../operators/rollout.ts"
import { TokenSequence } from "../../operators/rows.ts"
import { logProbabilities } from "../../operators/score.ts"
import * as Windows from "../../operators/windows.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Device } from "../../src/device/device.ts"
import { targetCount } from "../../src/engine/batch.ts"
import { parameter, withScalarHead } from "../../src/engine/model.ts"
import * as Session from "../../src/engine/session.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { digitModel } from "./binary.ts"
import { makeStage } from "./stage.ts"

type Overrides = Partial<typeof PpoParams.Encoded>
const paramsOf = (overrides: Overrides) => Schema.decodeSync(PpoParams)(overrides)

const sampling = { maximumTokens: 2, temperature: 1, topK: 0, topP: 1, stop: [], seed: 1 }
const prompts = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ prompt: { id: `p${i}`, prompt: "0" }, sample: 0 }))

const ones = (answer: Completion) => answer.answerTokens.reduce((n, token) => n + token, 0)

/** Answers of a policy with scores and reference log-probabilities. */
const experience = Effect.fnUntraced(function* (
  policy: Checkpoint,
  reference: Checkpoint,
  score: (answer: Completion) => number,
  options: { readonly round?: number; readonly count?: number; readonly sampling?: Partial<typeof sampling> } = {}
) {
  const completions = yield* sample(
    policy,
    prompts(options.count ?? 256),
    { ...sampling, ...options.sampling },
    options.round ?? 0
  )
  const references = yield* logProbabilities(reference, completions)
  return completions.map(
    (row, i): ScoredCompletion => ({ ...row, reward: score(row), referenceLogProbabilities: references[i]! })
  )
})
const tableOf = (rows: ReadonlyArray<ScoredCompletion>) => Table.fromRows(ScoredCompletion, rows)

/** pi(answer | prompt "0") of each of these answers. */
const probabilities = (policy: Checkpoint, answers: ReadonlyArray<ReadonlyArray<number>>, temperature = 1) => {
  const rows = answers.map((tokens, n) => ({
    id: "p",
    sample: n,
    prompt: "0",
    answer: "",
    promptTokens: Int32Array.of(0),
    answerTokens: Int32Array.from(tokens),
    logProbabilities: new Float32Array(tokens.length),
    temperature,
    ended: false
  }))
  return Effect.map(logProbabilities(policy, rows), (all) => all.map((row) => Math.exp(row.reduce((a, b) => a + b, 0))))
}
const four = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1]
]
const marginals = (p: ReadonlyArray<number>) => ({ first: p[2]! + p[3]!, second: p[1]! + p[3]! })

const runs = <A, E>(effect: Effect.Effect<A, E, Stage | Device>) => {
  const { reports, stage } = makeStage()
  return effect.pipe(
    Effect.map((value) => ({ value, reports })),
    Effect.provideService(Stage, stage)
  )
}
const device = <A, E>(effect: Effect.Effect<A, E, Stage | Device>) =>
  effect.pipe(Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))

/** A critic that says `value` everywhere. */
const constantCritic = (from: Checkpoint, value: number): Checkpoint => {
  const weights = withScalarHead(from.weights, "value", 1)
  parameter(weights, "score.bias")[0] = value
  return { ...from, weights }
}

const quick: Overrides = {
  epochs: 4,
  adamForm: "tensorflow",
  maxNorm: 1,
  valueClip: 10,
  valueCoefficient: 0.5,
  lambda: 1,
  whitenRewards: false,
  klTarget: 0,
  annealRounds: 80,
  learningRate: 0.01
}

describe("the optimum of E[R] - beta KL is pi* ~ pi_ref e^(R / beta)", () => {
  for (const beta of [2, 1, 0.5]) {
    it.effect(`V = 2, T = 2, R = number of ones, value head on the trunk, beta = ${beta}`, () =>
      Effect.gen(function* () {
        const reference = digitModel(2)
        let policy = reference
        for (let round = 0; round < 80; round++) {
          const scored = tableOf(yield* experience(policy, reference, ones, { round }))
          const params = paramsOf({ ...quick, klCoefficient: beta })
          policy = (yield* runs(ppo.run({ inputs: { policy, scored }, params, sources: [] }))).value.policy
        }
        const before = yield* probabilities(reference, four)
        const weights = before.map((p, n) => p * Math.exp(((n >> 1) + (n & 1)) / beta))
        const total = weights.reduce((sum, w) => sum + w, 0)
        const optimum = marginals(weights.map((w) => w / total))
        const reached = marginals(yield* probabilities(policy, four))
        assert.closeTo(reached.first, optimum.first, 0.01)
        assert.closeTo(reached.second, optimum.second, 0.01)
      }).pipe(device)
    )
  }

  it.effect("bandit R = [1, 0, 0, 0], beta = 0.5, a critic of its own: probabilities, KL and objective", () =>
    Effect.gen(function* () {
      const uniform = digitModel(4)
      // A uniform reference: all logits are 0.
      uniform.weights.values.fill(0)
      const start = digitModel(4)
      let policy: Checkpoint = start
      let critic = constantCritic(start, 0)
      const beta = 0.5
      for (let round = 0; round < 80; round++) {
        const reward = (row: Completion) => (row.answerTokens[0] === 0 ? 1 : 0)
        const scored = tableOf(yield* experience(policy, uniform, reward, { round, sampling: { maximumTokens: 1 } }))
        const params = paramsOf({ ...quick, klCoefficient: beta })
        const { value } = yield* runs(ppoCritic.run({ inputs: { policy, critic, scored }, params, sources: [] }))
        policy = value.policy
        critic = value.critic
      }
      const p = yield* probabilities(policy, [[0], [1], [2], [3]])
      assert.closeTo(p[0]!, 0.7112, 0.01)
      for (const other of p.slice(1)) assert.closeTo(other, 0.0963, 0.01)
      const kl = p.reduce((sum, x) => sum + x * Math.log(4 * x), 0)
      assert.closeTo(kl, 0.468, 0.03)
      assert.closeTo(p[0]! - beta * kl, 0.4772, 0.002)
    }).pipe(device)
  )

  for (const beta of [2, 1, 0.5]) {
    it.effect(`a critic blind to the prefix, lambda = 0.95, beta = ${beta}: logit_t = lambda^(T - 1 - t) / beta`, () =>
      Effect.gen(function* () {
        const reference = digitModel(2)
        reference.weights.values.fill(0)
        let policy = digitModel(2)
        const critic = constantCritic(policy, 0)
        for (let round = 0; round < 80; round++) {
          const scored = tableOf(yield* experience(policy, reference, ones, { round }))
          // Its loss has no weight, so the critic stays.
          const params = paramsOf({ ...quick, lambda: 0.95, klCoefficient: beta, valueCoefficient: 0 })
          const { value } = yield* runs(ppoCritic.run({ inputs: { policy, critic, scored }, params, sources: [] }))
          assert.deepStrictEqual(value.critic.weights.values, critic.weights.values)
          policy = value.policy
        }
        const { first, second } = marginals(yield* probabilities(policy, four))
        const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
        assert.closeTo(first, sigmoid(0.95 / beta), 0.01)
        assert.closeTo(second, sigmoid(1 / beta), 0.01)
      }).pipe(device)
    )
  }

  it.effect("beta = 1000 holds the policy at the reference", () =>
    Effect.gen(function* () {
      const reference = digitModel(2)
      const frozen = reference.weights.values.slice()
      let policy = reference
      for (let round = 0; round < 30; round++) {
        const scored = tableOf(yield* experience(policy, reference, ones, { round }))
        const params = paramsOf({ ...quick, klCoefficient: 1000, learningRate: 0.003, annealRounds: 30 })
        policy = (yield* runs(ppo.run({ inputs: { policy, scored }, params, sources: [] }))).value.policy
      }
      const before = yield* probabilities(reference, four)
      const after = yield* probabilities(policy, four)
      after.forEach((p, n) => {
        assert.closeTo(p, before[n]!, 0.03)
      })
      assert.deepStrictEqual(reference.weights.values, frozen)
      assert.notDeepEqual(policy.weights.values.subarray(0, frozen.length), frozen)
    }).pipe(device)
  )
})

describe("one round", () => {
  it.effect(
    "with a constant score, beta = 0 and a critic that knows it, the ptx update is gamma times the LM update",
    () =>
      Effect.gen(function* () {
        const policy = digitModel(4)
        const score = 0.5
        const critic = constantCritic(policy, score)
        const rows = yield* experience(policy, policy, () => score, { count: 64 })
        const tokens = Int32Array.from({ length: 300 }, (_, i) => (i * i) % 4)
        const pretraining = Table.fromRows(TokenSequence, [{ id: "a", tokens, bytes: 300 }])
        const params = paramsOf({ epochs: 1, klCoefficient: 0, klTarget: 0, whitenRewards: false, ptxCoefficient: 2 })
        const { reports, value } = yield* runs(
          ppoCriticPtx.run({ inputs: { policy, critic, scored: tableOf(rows), pretraining }, params, sources: [] })
        )
        assert.strictEqual(reports.at(-1)!.metrics!["policyLoss"], 0)
        assert.deepStrictEqual(value.critic.weights.values, critic.weights.values)
        const alone = yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* Session.make(policy.weights)
            const windows = Windows.random(tokens, params.ptxWindows, 16, params.seed, 0)
            yield* session.languageModelLoss(windows, targetCount(windows) / 2)
            const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, weightDecay: 0, maxNorm: 0 } as const
            yield* session.update({ ...optimizer, form: "tensorflow" }, params.learningRate)
            return yield* session.weights
          })
        )
        assert.notDeepEqual(value.policy.weights.values, policy.weights.values)
        assert.deepStrictEqual(value.policy.weights.values, alone.values)
      }).pipe(device)
  )

  it.effect("computed in parts gives the update of the whole", () =>
    Effect.gen(function* () {
      const policy = digitModel(4)
      const scored = tableOf(yield* experience(policy, digitModel(4, 8), ones, { count: 48 }))
      const update = (microBatch: number) =>
        runs(
          ppo.run({
            inputs: { policy, scored },
            params: paramsOf({ epochs: 2, minibatch: 24, microBatch, entropyCoefficient: 0.01 }),
            sources: []
          })
        )
      const whole = yield* update(24)
      const parts = yield* update(7)
      for (const [name, value] of Object.entries(whole.reports.at(-1)!.metrics!)) {
        assert.closeTo(parts.reports.at(-1)!.metrics![name]!, value, 1e-5, name)
      }
      whole.value.policy.weights.values.forEach((value, i) => {
        assert.closeTo(parts.value.policy.weights.values[i]!, value, 1e-5)
      })
    }).pipe(device)
  )

  it.effect("before any update the ratio is 1, at any temperature, and every metric is finite", () =>
    Effect.gen(function* () {
      const policy = digitModel(4)
      const rows = yield* experience(policy, digitModel(4, 8), ones, { count: 64, sampling: { temperature: 0.7 } })
      const params = paramsOf({ epochs: 1 })
      const { reports } = yield* runs(ppo.run({ inputs: { policy, scored: tableOf(rows) }, params, sources: [] }))
      const metrics = reports.at(-1)!.metrics!
      assert.isBelow(metrics["ratioDeviation"]!, 1e-5)
      assert.strictEqual(metrics["clipFraction"], 0)
      assert.isBelow(metrics["approximateKl"]!, 1e-10)
      const kl = rows.map((r) => r.logProbabilities.reduce((s, x, t) => s + x - r.referenceLogProbabilities[t]!, 0))
      assert.closeTo(metrics["kl"]!, kl.reduce((a, b) => a + b, 0) / 64, 1e-9)
      assert.closeTo(metrics["kl"]!, metrics["k1"]! * metrics["tokensPerAnswer"]!, 1e-9)
      assert.isAbove(metrics["k3"]!, 0)
      const names =
        "reward rewardTotal k2 klCoefficient entropy sampledEntropy ratioMax valueLoss valueClipFraction explainedVariance returnVariance gradientNorm learningRate"
      for (const name of names.split(" ")) assert.isTrue(Number.isFinite(metrics[name]), name)
    }).pipe(device)
  )

  it.effect("ends where the policy has left the rollout's by the KL that is allowed", () =>
    Effect.gen(function* () {
      const policy = digitModel(4)
      const scored = tableOf(yield* experience(policy, policy, ones, { count: 64 }))
      const update = (stopAtKl: number) =>
        runs(
          ppo.run({
            inputs: { policy, scored },
            params: paramsOf({ epochs: 20, learningRate: 0.01, stopAtKl }),
            sources: []
          })
        )
      const free = (yield* update(0)).value.policy
      const { reports, value } = yield* update(0.01)
      const { approximateKl, stoppedAfter } = reports.at(-1)!.metrics!
      assert.isAbove(approximateKl!, 0.01)
      assert.isAbove(stoppedAfter!, 0)
      assert.isBelow(stoppedAfter!, 20)
      assert.strictEqual(value.policy.optimizer!.step, stoppedAfter)
      assert.strictEqual(free.optimizer!.step, 20)
      // All updates but the last one that was made were within the limit.
      const within = reports.filter((r) => r.step! <= stoppedAfter!).map((r) => r.metrics!["approximateKl"]!)
      for (const kl of within) assert.isAtMost(kl, 0.01)
    }).pipe(device)
  )

  it.effect("beta, the optimizer and the history of scores go on to the next round", () =>
    Effect.gen(function* () {
      const reference = digitModel(4)
      let policy = reference
      const betas: Array<number> = []
      const all: Array<number> = []
      for (let round = 0; round < 3; round++) {
        const rows = yield* experience(policy, reference, ones, { count: 64, round })
        all.push(...rows.map((row) => row.reward))
        const params = paramsOf({ rewardScale: "running", klHorizon: 640, klTarget: 6 })
        const { reports, value } = yield* runs(
          ppo.run({ inputs: { policy, scored: tableOf(rows) }, params, sources: [] })
        )
        betas.push(reports.at(-1)!.metrics!["klCoefficient"]!)
        policy = value.policy
      }
      // KL is far below the target: beta falls by 0.2 * 64 / 640 a round.
      betas.forEach((beta, round) => {
        assert.closeTo(beta, 0.15 * 0.98 ** round, 1e-12)
      })
      assert.strictEqual(policy.optimizer!.step, 12)
      assert.strictEqual(policy.state!["rounds"], 3)
      const mean = all.reduce((a, b) => a + b, 0) / all.length
      const squares = all.reduce((sum, x) => sum + (x - mean) ** 2, 0)
      assert.closeTo(policy.state!["scoreMean"]!, mean, 1e-9)
      assert.closeTo(policy.state!["scoreSquares"]!, squares, 1e-6)
    }).pipe(device)
  )
})

describe("the average of the policy's weights", () => {
  it.effect("is decay^t w_0 + (1 - decay) sum of decay^(t - i) w_i, from round to round, and becomes a policy", () =>
    Effect.gen(function* () {
      const decay = 0.7
      const reference = digitModel(4)
      const rows = yield* experience(reference, reference, ones, { count: 64 })
      const params = paramsOf({ epochs: 1, averageDecay: decay, learningRate: 0.01 })
      // The head is new in the first round, and 0 in a reference that has it.
      let policy: Checkpoint = { ...reference, weights: withScalarHead(reference.weights, "value", params.seed) }
      let expected = Float64Array.from(policy.weights.values)
      for (let round = 0; round < 3; round++) {
        const scored = round === 0 ? rows : yield* experience(policy, reference, ones, { count: 64, round })
        const inputs = { policy: round === 0 ? reference : policy, scored: tableOf(scored) }
        policy = (yield* ppo.run({ inputs, params, sources: [] })).policy
        assert.strictEqual(policy.optimizer!.step, round + 1)
        expected = expected.map((value, i) => decay * value + (1 - decay) * policy.weights.values[i]!)
        assert.strictEqual(policy.average!.length, expected.length)
        policy.average!.forEach((value, i) => {
          assert.closeTo(value, expected[i]!, 1e-6)
        })
      }
      const moved = Math.max(...policy.weights.values.map((value, i) => Math.abs(value - policy.average![i]!)))
      assert.isAbove(moved, 1e-3)
      const { checkpoint } = yield* averaged.run({ inputs: { checkpoint: policy }, params: {}, sources: [] })
      assert.deepStrictEqual(checkpoint.weights.values, policy.average)
      assert.isUndefined(checkpoint.optimizer)
      const error = yield* Effect.flip(averaged.run({ inputs: { checkpoint: reference }, params: {}, sources: [] }))
      assert.match(error.message, /has no average/)
    }).pipe(device)
  )

  it.effect("leaves the updates as they are", () =>
    Effect.gen(function* () {
      const reference = digitModel(4)
      const rows = yield* experience(reference, reference, ones, { count: 64 })
      const updated = (averageDecay: number) =>
        ppo.run({
          inputs: { policy: reference, scored: tableOf(rows) },
          params: paramsOf({ averageDecay, minibatch: 16 }),
          sources: []
        })
      const [without, withAverage] = [(yield* updated(0)).policy, (yield* updated(0.992)).policy]
      assert.isUndefined(without.average)
      assert.deepStrictEqual(withAverage.weights.values, without.weights.values)
      assert.deepStrictEqual(withAverage.optimizer, without.optimizer)
    }).pipe(device)
  )
})

describe("scores", () => {
  it("are divided by the deviation of all rounds and then clipped", () => {
    const history = extend(extend({ count: 0, mean: 0, squares: 0 }, [1, 3]), [5, 7, 9])
    assert.closeTo(history.squares / history.count, 8, 1e-12)
    assert.deepStrictEqual(scaleScores([2, -100], history, 5), [2 / Math.sqrt(8), -5])
    assert.deepStrictEqual(scaleScores([2, -100], undefined, 0), [2, -100])
  })
})

describe("recipes", () => {
  it("the defaults are openai-2019's, and the others say where they differ", () => {
    const defaults = paramsOf({})
    assert.deepStrictEqual(paramsOf(recipes["openai-2019"].ppo), defaults)
    const { instructgpt, "n-implementation-details": details, trl } = recipes
    assert.deepInclude(paramsOf(details.ppo), { klCoefficient: 0.05, klTarget: 0, learningRate: 3e-6, whitenDdof: 1 })
    assert.deepInclude(paramsOf(trl.ppo), { klCoefficient: 0.05, learningRate: 3e-6, adamEpsilon: 1e-8, epochs: 4 })
    assert.deepInclude(paramsOf(instructgpt.ppo), {
      klCoefficient: 0.02,
      ptxCoefficient: 27.8,
      minibatch: 64,
      gamma: 1,
      averageDecay: 0.992
    })
    assert.strictEqual(instructgpt.rollout.temperature, 1)
    assert.strictEqual(details.score.missingEndScore, -1)
  })
})

describe("refuses", () => {
  const refusal = (rows: ReadonlyArray<ScoredCompletion>, overrides: Overrides = {}) =>
    Effect.map(
      Effect.flip(
        runs(
          ppo.run({
            inputs: { policy: digitModel(2), scored: tableOf(rows) },
            params: paramsOf(overrides),
            sources: []
          })
        )
      ),
      String
    )

  it.effect("fewer answers than a minibatch, or none", () =>
    Effect.gen(function* () {
      assert.match(yield* refusal([], { minibatch: 64 }), /0 answers are fewer than one minibatch of 64/)
      assert.match(yield* refusal([]), /0 answers are fewer than one minibatch of 1/)
    }).pipe(device)
  )

  it.effect("answers of another policy, and answers of two temperatures", () =>
    Effect.gen(function* () {
      const other = digitModel(2, 8)
      const rows = yield* experience(other, other, ones, { count: 8 })
      assert.match(yield* refusal(rows), /sampled from another policy/)
      const mixed = rows.map((row, i) => ({ ...row, temperature: i < 4 ? 1 : 0.7 }))
      assert.match(yield* refusal(mixed), /scored, row 4.*temperature 0\.7|temperature 0\.7/)
    }).pipe(device)
  )

  it.effect("a critic without a scalar head", () =>
    Effect.gen(function* () {
      const policy = digitModel(2)
      const rows = yield* experience(policy, policy, ones, { count: 8 })
      const inputs = { policy, critic: policy, scored: tableOf(rows) }
      const error = yield* Effect.flip(runs(ppoCritic.run({ inputs, params: paramsOf({}), sources: [] })))
      assert.match(String(error), /a critic starts from a reward model/)
    }).pipe(device)
  )
})
