/**
 * Advantages: the KL-penalised reward of each token, generalised advantage estimation, whitening.
 *
 * @since 0.1.0
 */

/**
 * Reward of each token of one answer: -beta * (log pi - log pi_ref), and `score` added at the last token
 * (Ziegler et al. 2019, eq. 2; k1 estimator of the KL).
 */
export const tokenRewards = (
  logProbability: ArrayLike<number>,
  reference: ArrayLike<number>,
  score: number,
  beta: number
): Float64Array => {
  const rewards = Float64Array.from(logProbability, (value, t) => -beta * (value - reference[t]!))
  if (rewards.length > 0) rewards[rewards.length - 1]! += score
  return rewards
}

/**
 * GAE (Schulman et al. 2016, eq. 16) over one answer that ends at its last token (value 0 after it):
 * A_t = delta_t + gamma * lambda * A_{t+1}, delta_t = r_t + gamma * V_{t+1} - V_t. Returns are A + V.
 */
export const generalisedAdvantage = (
  rewards: ArrayLike<number>,
  values: ArrayLike<number>,
  gamma: number,
  lambda: number
): { readonly advantages: Float64Array; readonly returns: Float64Array } => {
  const advantages = new Float64Array(rewards.length)
  let next = 0
  for (let t = rewards.length - 1; t >= 0; t--) {
    const following = t + 1 < rewards.length ? values[t + 1]! : 0
    next = rewards[t]! + gamma * following - values[t]! + gamma * lambda * next
    advantages[t] = next
  }
  return { advantages, returns: advantages.map((advantage, t) => advantage + values[t]!) }
}

/** (x - mean) / sqrt(variance + 1e-8), plus the mean again unless `shiftMean`; `ddof` 0 divides the variance by n, 1 by n - 1. */
export const whiten = (values: ArrayLike<number>, shiftMean = true, ddof: 0 | 1 = 0): Float64Array => {
  const n = values.length
  const numbers = Float64Array.from(values)
  const mean = numbers.reduce((sum, x) => sum + x, 0) / Math.max(n, 1)
  const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(n - ddof, 1)
  const scale = 1 / Math.sqrt(variance + 1e-8)
  return numbers.map((x) => (x - mean) * scale + (shiftMean ? 0 : mean))
}

/**
 * The adaptive KL coefficient after a batch of `episodes` with mean KL `kl` (nats per answer): beta * (1 + e * episodes / horizon),
 * e = clip(kl / target - 1, -0.2, 0.2) (Ziegler et al. 2019, section 2.2).
 */
export const adaptBeta = (beta: number, kl: number, target: number, horizon: number, episodes: number): number =>
  beta * (1 + (Math.min(0.2, Math.max(-0.2, kl / target - 1)) * episodes) / horizon)

/** Three estimators of KL(pi, ref) from one sample, d = log pi - log ref (Schulman 2020): k1 = d, k2 = d^2 / 2, k3 = e^-d - 1 + d. */
export const klEstimators = (d: number) => ({ k1: d, k2: 0.5 * d * d, k3: Math.expm1(-d) + d })
