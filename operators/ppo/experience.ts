/**
 * From scored answers to what PPO learns from: scaled scores, token rewards, advantages and returns.
 *
 * @since 0.1.0
 */
import { generalisedAdvantage, klEstimators, tokenRewards, whiten } from "../../src/engine/loss/advantage.ts"
import type { Experience, ScoredCompletion } from "../answers.ts"
import { sum } from "../scoring.ts"
import type { PpoParams } from "./params.ts"

/** What an answer's tokens are worth, one number a token: r before whitening, A and R. */
export interface Estimate {
  readonly rewards: Float64Array
  readonly advantages: Float64Array
  readonly returns: Float64Array
}

/** Mean and population variance. */
export const moments = (values: ReadonlyArray<number>) => {
  const mean = sum(values) / values.length
  return { mean, variance: sum(values.map((x) => (x - mean) ** 2)) / values.length }
}

/** Applies `f` to the parts as to one array. */
const together = (parts: ReadonlyArray<Float64Array>, f: (all: Float64Array) => Float64Array) => {
  const all = f(Float64Array.from(parts.flatMap((part) => Array.from(part))))
  let end = 0
  return parts.map((part) => {
    end += part.length
    return all.subarray(end - part.length, end)
  })
}

/** Rewards, then GAE, of answers that are whitened together; `values` are the critic's, one an answer token. */
export const estimate = (
  answers: ReadonlyArray<ScoredCompletion>,
  scores: ReadonlyArray<number>,
  values: ReadonlyArray<ArrayLike<number>>,
  beta: number,
  params: PpoParams
): ReadonlyArray<Estimate> => {
  const raw = answers.map((row, i) =>
    tokenRewards(row.logProbabilities, row.referenceLogProbabilities, scores[i]!, beta)
  )
  const rewards = params.whitenRewards ? together(raw, (all) => whiten(all, false, params.whitenDdof)) : raw
  const estimates = rewards.map((part, i) => ({
    rewards: raw[i]!,
    ...generalisedAdvantage(part, values[i]!, params.gamma, params.lambda)
  }))
  if (!params.whitenAdvantages) return estimates
  const white = together(
    estimates.map(({ advantages }) => advantages),
    (all) => whiten(all, true, params.whitenDdof)
  )
  return estimates.map((each, i) => ({ ...each, advantages: white[i]! }))
}

/** Answers with what their tokens are worth, as rows; `values` are the critic's, one an answer token. */
export const experienceOf = (
  answers: ReadonlyArray<ScoredCompletion>,
  values: ReadonlyArray<Float32Array>,
  estimates: ReadonlyArray<Estimate>
): ReadonlyArray<Experience> =>
  answers.map((row, i) => ({
    id: row.id,
    sample: row.sample,
    prompt: row.prompt,
    answer: row.answer,
    answerTokens: row.answerTokens,
    logProbabilities: row.logProbabilities,
    referenceLogProbabilities: row.referenceLogProbabilities,
    reward: row.reward,
    tokenRewards: Float32Array.from(estimates[i]!.rewards),
    values: values[i]!,
    advantages: Float32Array.from(estimates[i]!.advantages),
    returns: Float32Array.from(estimates[i]!.returns)
  }))

/** The scores of all rounds so far: how many, their mean, and the sum of squared deviations from it (Welford 1962; Chan et al. 1979). */
export interface ScoreHistory {
  readonly count: number
  readonly mean: number
  readonly squares: number
}

/** The history with another round's scores. */
export const extend = (history: ScoreHistory, scores: ReadonlyArray<number>): ScoreHistory => {
  const { mean, variance } = moments(scores)
  const count = history.count + scores.length
  const difference = mean - history.mean
  return {
    count,
    mean: history.mean + (difference * scores.length) / count,
    squares: history.squares + variance * scores.length + (difference ** 2 * history.count * scores.length) / count
  }
}

/** Scores divided by the standard deviation of `history` (undefined: as they are), then clipped. */
export const scaleScores = (scores: ReadonlyArray<number>, history: ScoreHistory | undefined, clip: number) => {
  const deviation = history === undefined ? 1 : Math.max(Math.sqrt(history.squares / history.count), 1e-6)
  const limit = clip > 0 ? clip : Number.POSITIVE_INFINITY
  return scores.map((score) => Math.min(limit, Math.max(-limit, score / deviation)))
}

/**
 * The rollout in figures. `kl` is the mean over answers of the sum of log pi - log ref (nats an answer); k1, k2 and k3 are Schulman's estimators a token;
 * `sampledEntropy` the mean of -log pi of an answer; `rewardTotal` the score less beta times the KL.
 */
export const rolloutMetrics = (answers: ReadonlyArray<ScoredCompletion>, beta: number) => {
  const tokens = sum(answers.map((row) => row.answerTokens.length))
  const estimators = answers.flatMap((row) =>
    Array.from(row.logProbabilities, (value, t) => klEstimators(value - row.referenceLogProbabilities[t]!))
  )
  const kl = sum(answers.map((r) => sum(r.logProbabilities) - sum(r.referenceLogProbabilities))) / answers.length
  const reward = moments(answers.map((row) => row.reward))
  return {
    reward: reward.mean,
    rewardDeviation: Math.sqrt(reward.variance),
    rewardTotal: reward.mean - beta * kl,
    kl,
    k1: sum(estimators.map(({ k1 }) => k1)) / tokens,
    k2: sum(estimators.map(({ k2 }) => k2)) / tokens,
    k3: sum(estimators.map(({ k3 }) => k3)) / tokens,
    klCoefficient: beta,
    sampledEntropy: -sum(answers.map((row) => sum(row.logProbabilities))) / answers.length,
    tokensPerAnswer: tokens / answers.length
  }
}

/** Returns and old values in figures; `explainedVariance` is 1 - mean((V - R)^2) / var(R). */
export const valueMetrics = (estimates: ReadonlyArray<Estimate>, values: ReadonlyArray<ArrayLike<number>>) => {
  const returns = estimates.flatMap((each) => Array.from(each.returns))
  const old = values.flatMap((each) => Array.from(each))
  const { mean, variance } = moments(returns)
  const known = moments(old)
  const error = sum(returns.map((r, i) => (r - old[i]!) ** 2)) / returns.length
  return {
    returnMean: mean,
    returnVariance: variance,
    valueMean: known.mean,
    valueVariance: known.variance,
    explainedVariance: 1 - error / Math.max(variance, 1e-8)
  }
}
