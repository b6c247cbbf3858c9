/**
 * Step 3: one PPO update of the policy on scored answers, against the frozen reference.
 *
 * The recipe is OpenAI's of 2019 (Ziegler et al.): per-token KL penalty in the reward, GAE, whitened advantages, a value head on the
 * policy's trunk, clipped policy and value losses, several epochs of minibatches, an adaptive KL coefficient, TensorFlow-form Adam.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { pad } from "../src/engine/batch.ts"
import { adaptBeta, generalisedAdvantage, tokenRewards, whiten } from "../src/engine/loss/advantage.ts"
import { ppoLoss } from "../src/engine/loss/ppo.ts"
import { withScalarHead } from "../src/engine/model.ts"
import type { AdamW } from "../src/engine/optimizer.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import * as AnswerSequence from "./answer-sequence.ts"
import { ScoredCompletion } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import * as Order from "./order.ts"
import * as Pace from "./pace.ts"
import { NonNegative, Positive, PositiveInt, Precision, parameter, Share } from "./parameter.ts"
import { score, sum } from "./scoring.ts"

const optimizer: AdamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, weightDecay: 0, maxNorm: 1, form: "tensorflow" }

/** Parameters of a PPO update; the defaults follow openai/lm-human-preferences but for learning rate, minibatch, temperature and clipped gradients. */
export const PpoParams = Schema.Struct({
  epochs: parameter(PositiveInt, 4, "passes over the answers"),
  minibatch: parameter(PositiveInt, 64, "answers an update"),
  learningRate: parameter(Positive, 3e-4, "learning rate"),
  clip: parameter(NonNegative, 0.2, "of the probability ratio"),
  valueClip: parameter(NonNegative, 0.2, "of the change of a value"),
  valueCoefficient: parameter(NonNegative, 0.1, "weight of the value loss"),
  entropyCoefficient: parameter(NonNegative, 0, "weight of the entropy bonus"),
  gamma: parameter(Share, 1, "discount a token"),
  lambda: parameter(Share, 0.95, "of generalised advantage estimation"),
  temperature: parameter(Positive, 1, "the rollout's temperature"),
  klCoefficient: parameter(NonNegative, 0.15, "beta of the first round: reward lost per nat of KL from the reference"),
  klTarget: parameter(NonNegative, 6, "nats an answer that the adaptive coefficient aims at; 0 keeps beta fixed"),
  klHorizon: parameter(Positive, 10000, "answers over which beta adapts"),
  precision: Precision,
  seed: parameter(Schema.Int, 1, "of the order of the answers")
})

/** Takes a policy and answers it sampled, with rewards and reference log-probabilities; gives the policy after `epochs` passes. */
export const ppo = Operator.make("ppo", {
  description: "One PPO update of a policy on scored answers",
  params: PpoParams,
  inputs: { policy: CheckpointPort, scored: Table.of(ScoredCompletion) },
  outputs: { policy: CheckpointPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const { policy } = inputs
    const answers = (yield* Table.collect(inputs.scored)).filter((row) => row.answerTokens.length > 0)
    if (answers.length < params.minibatch) {
      return yield* new Operator.OperatorError({
        operator: "ppo",
        place: "scored",
        message: `${answers.length} answers are fewer than one minibatch of ${params.minibatch}`
      })
    }
    const beta = policy.state?.["klCoefficient"] ?? params.klCoefficient
    const initial = policy.weights.config.scalarHead
      ? policy.weights
      : withScalarHead(policy.weights, "value", params.seed)
    const { precision } = params
    const heads = { language: true, scalar: true, temperature: params.temperature }
    const sequences = answers.map((row) => AnswerSequence.join(row.promptTokens, row.answerTokens))
    const saved = yield* stage.resume(CheckpointPort)
    const first = Option.isSome(saved) ? saved.value.step : 0
    // What the policy was before its first update is scored anew, so that a stage that goes on sees the same values.
    const scored = (session: Session.Session) => score(session, sequences, heads)
    const { old, session } = Option.isNone(saved)
      ? yield* Effect.flatMap(Session.make(initial, { state: policy.optimizer, precision }), (session) =>
          Effect.map(scored(session), (old) => ({ old, session }))
        )
      : {
          old: yield* Effect.scoped(Effect.flatMap(Session.make(initial, { precision }), scored)),
          session: yield* Session.make(saved.value.value.weights, { state: saved.value.value.optimizer, precision })
        }
    const estimates = answers.map((row, i) => {
      const rewards = tokenRewards(row.logProbabilities, row.referenceLogProbabilities, row.reward, beta)
      return generalisedAdvantage(rewards, old[i]!.value, params.gamma, params.lambda)
    })
    const advantages = whitenTogether(estimates.map((estimate) => estimate.advantages))

    const longest = sequences.reduce((n, s) => Math.max(n, s.tokens.length), 0)
    const length = Math.min(session.config.context, Math.ceil(longest / 16) * 16)
    const perEpoch = Math.floor(answers.length / params.minibatch)
    const steps = params.epochs * perEpoch
    const kl = sum(answers.map((r) => sum(r.logProbabilities) - sum(r.referenceLogProbabilities))) / answers.length
    const reward = sum(answers.map((r) => r.reward)) / answers.length
    const update = policy.state?.["updates"] ?? 0
    const rowsOf = Order.rowsOfStep(answers.length, params.minibatch, params.seed + update)
    let metrics: Record<string, number> = {}
    const pace = yield* Pace.make(first, steps, params.minibatch * length)
    for (let step = first; step < steps; step++) {
      const members = rowsOf(step)
      const batch = pad(
        Array.from(members, (row) => sequences[row]!),
        { length }
      )
      const rows = batch.batch * length
      const targets = {
        mask: new Float64Array(rows),
        logProbability: new Float64Array(rows),
        value: new Float64Array(rows),
        advantage: new Float64Array(rows),
        return: new Float64Array(rows)
      }
      members.forEach((row, b) => {
        const at = b * length + sequences[row]!.from - 1
        const count = answers[row]!.answerTokens.length
        targets.mask.fill(1, at, at + count)
        targets.logProbability.set(answers[row]!.logProbabilities, at)
        targets.value.set(old[row]!.value, at)
        targets.advantage.set(advantages[row]!, at)
        targets.return.set(estimates[row]!.returns, at)
      })
      const result = yield* session.customLoss(batch, heads, (statistics) => ppoLoss(statistics, targets, params))
      const gradientNorm = yield* session.update(optimizer, params.learningRate)
      metrics = { reward, kl, klCoefficient: beta, loss: result.loss, gradientNorm, ...result.metrics }
      yield* Pace.refuseDivergence(stage.name, step + 1, result.loss)
      yield* stage.report({ step: step + 1, steps, metrics })
      if (step + 1 < steps && (yield* pace.due)) {
        const value = {
          weights: yield* session.weights,
          tokenizer: policy.tokenizer,
          optimizer: yield* session.optimizerState
        }
        yield* stage.save(CheckpointPort, { step: step + 1, value })
      }
    }
    const returns = estimates.flatMap((estimate) => Array.from(estimate.returns))
    const errors = estimates.flatMap((estimate, i) => Array.from(estimate.returns, (r, t) => r - old[i]!.value[t]!))
    const explainedVariance = 1 - variance(errors) / Math.max(variance(returns), 1e-8)
    yield* stage.report({ step: steps, steps, metrics: { ...metrics, explainedVariance } })
    const adapted = params.klTarget > 0 ? adaptBeta(beta, kl, params.klTarget, params.klHorizon, answers.length) : beta
    return {
      policy: {
        weights: yield* session.weights,
        tokenizer: policy.tokenizer,
        optimizer: yield* session.optimizerState,
        state: { klCoefficient: adapted, updates: update + steps }
      }
    }
  }, Effect.scoped)
})

const variance = (values: ReadonlyArray<number>): number => {
  const mean = sum(values) / values.length
  return sum(values.map((x) => (x - mean) ** 2)) / values.length
}

/** Whitens the advantages of all answers as one set. */
const whitenTogether = (parts: ReadonlyArray<Float64Array>): ReadonlyArray<Float64Array> => {
  const white = whiten(parts.flatMap((part) => Array.from(part)))
  let end = 0
  return parts.map((part) => {
    end += part.length
    return white.subarray(end - part.length, end)
  })
}
