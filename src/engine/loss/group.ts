/**
 * Losses for several answers to one prompt, which need no critic: their own mean is the baseline.
 *
 * @since 0.1.0
 */
import { policyTerm } from "./ppo.ts"

const sum = (values: ReadonlyArray<number>) => values.reduce((total, x) => total + x, 0)

/**
 * GRPO's advantages (Shao et al. 2024, section 4.1.2): (r - mean) / (deviation + 1e-4) within a group, or r - mean where `scale` is false (Liu et al. 2025). Equal
 * scores give 0.
 */
export const groupAdvantages = (scores: ReadonlyArray<number>, scale: boolean): ReadonlyArray<number> => {
  const mean = sum(scores) / scores.length
  const deviation = Math.sqrt(sum(scores.map((r) => (r - mean) ** 2)) / Math.max(scores.length - 1, 1))
  return scores.map((r) => (r - mean) / (scale ? deviation + 1e-4 : 1))
}

/** RLOO's advantages (Ahmadian et al. 2024, eq. 6): each score less the mean of the others of its group. */
export const leaveOneOut = (scores: ReadonlyArray<number>): ReadonlyArray<number> => {
  const total = sum(scores)
  return scores.map((r) => r - (total - r) / (scores.length - 1))
}

/** Rows of the answer tokens of sequences: `weight` is a row's share of the loss, 0 outside of answers. All [rows]. */
export interface GroupTargets {
  readonly weight: ArrayLike<number>
  readonly logProbability: ArrayLike<number>
  readonly reference: ArrayLike<number>
  readonly advantage: ArrayLike<number>
}

/**
 * GRPO's loss (Shao et al. 2024, eq. 3): the sum over rows of weight * (clipped policy term + klCoefficient * (e^-d - 1 + d)), d = log pi - log ref. In the metrics
 * `kl` is that estimate of the KL from the reference.
 */
export const grpoLoss = (
  statistics: { readonly logProbability: ArrayLike<number>; readonly entropy: ArrayLike<number> },
  targets: GroupTargets,
  settings: { readonly clip: number; readonly klCoefficient: number }
) => {
  const dLogProbability = new Float64Array(targets.weight.length)
  const metrics = { policyLoss: 0, kl: 0, entropy: 0, approximateKl: 0, clipFraction: 0, ratioDeviation: 0 }
  for (let i = 0; i < dLogProbability.length; i++) {
    const weight = targets.weight[i]!
    if (weight === 0) continue
    const logRatio = statistics.logProbability[i]! - targets.logProbability[i]!
    const d = statistics.logProbability[i]! - targets.reference[i]!
    const policy = policyTerm(logRatio, targets.advantage[i]!, settings.clip)
    metrics.policyLoss += weight * policy.value
    metrics.kl += weight * (Math.expm1(-d) + d)
    metrics.entropy += weight * statistics.entropy[i]!
    metrics.approximateKl += weight * 0.5 * logRatio * logRatio
    metrics.clipFraction += policy.clipped ? weight : 0
    metrics.ratioDeviation = Math.max(metrics.ratioDeviation, Math.abs(logRatio))
    dLogProbability[i] = weight * (policy.slope - settings.klCoefficient * Math.expm1(-d))
  }
  return { loss: metrics.policyLoss + settings.klCoefficient * metrics.kl, dLogProbability, metrics }
}

/** An answer in rows `from` up to `to`. */
export interface AnswerRows {
  readonly from: number
  readonly to: number
  readonly advantage: number
}

/**
 * RLOO's loss: REINFORCE on whole answers, with PPO's clip on the ratio of the whole answer's probabilities, which is 1 before the first update. The
 * sum over answers, divided by `denominator`.
 */
export const rlooLoss = (
  statistics: { readonly logProbability: ArrayLike<number>; readonly entropy: ArrayLike<number> },
  old: ArrayLike<number>,
  answers: ReadonlyArray<AnswerRows>,
  settings: { readonly clip: number },
  denominator: number
) => {
  const dLogProbability = new Float64Array(statistics.logProbability.length)
  const metrics = { policyLoss: 0, entropy: 0, approximateKl: 0, clipFraction: 0, ratioDeviation: 0 }
  const share = 1 / denominator
  for (const { advantage, from, to } of answers) {
    let logRatio = 0
    let entropy = 0
    for (let i = from; i < to; i++) {
      const difference = statistics.logProbability[i]! - old[i]!
      metrics.ratioDeviation = Math.max(metrics.ratioDeviation, Math.abs(difference))
      logRatio += difference
      entropy += statistics.entropy[i]!
    }
    const policy = policyTerm(logRatio, advantage, settings.clip)
    metrics.policyLoss += share * policy.value
    metrics.entropy += (share * entropy) / Math.max(to - from, 1)
    metrics.approximateKl += share * 0.5 * logRatio * logRatio
    metrics.clipFraction += policy.clipped ? share : 0
    for (let i = from; i < to; i++) dLogProbability[i] = share * policy.slope
  }
  return { loss: metrics.policyLoss, dLogProbability, metrics }
}

/** KL (nats) of the best of n samples from what they were sampled from, where no two scores are equal: ln n - (n - 1) / n (Stiennon et al. 2020). */
export const bestOfNKl = (n: number): number => Math.log(n) - (n - 1) / n
