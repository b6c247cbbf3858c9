/**
 * The PPO loss (Schulman et al. 2017, eq. 7 and 9; value clip as in openai/baselines) over the answer tokens of a minibatch.
 *
 * @since 0.1.0
 */

/** clip: of the ratio and of the value's change; the total is policy + valueCoefficient * value - entropyCoefficient * entropy. */
export interface PpoSettings {
  readonly clip: number
  readonly valueClip: number
  readonly valueCoefficient: number
  readonly entropyCoefficient: number
}

/** What was known of each row when the answer was sampled; `mask` is 1 on answer tokens, 0 elsewhere. All [rows]. */
export interface PpoTargets {
  readonly mask: ArrayLike<number>
  readonly logProbability: ArrayLike<number>
  readonly value: ArrayLike<number>
  readonly advantage: ArrayLike<number>
  readonly return: ArrayLike<number>
}

/** Policy term max(-A * rho, -A * clip(rho, 1 - e, 1 + e)) and its derivative with respect to log pi. */
export const policyTerm = (logRatio: number, advantage: number, clip: number) => {
  const ratio = Math.exp(logRatio)
  const bounded = Math.min(1 + clip, Math.max(1 - clip, ratio))
  const free = -advantage * ratio
  const clipped = -advantage * bounded
  return clipped > free ? { value: clipped, slope: 0, clipped: true } : { value: free, slope: free, clipped: false }
}

/** Value term 0.5 * max((V - R)^2, (V_old + clip(V - V_old) - R)^2) and its derivative with respect to V. */
export const valueTerm = (value: number, old: number, target: number, clip: number) => {
  const bounded = old + Math.min(clip, Math.max(-clip, value - old))
  const free = (value - target) ** 2
  const clipped = (bounded - target) ** 2
  return clipped > free
    ? { value: 0.5 * clipped, slope: 0, clipped: true }
    : { value: 0.5 * free, slope: value - target, clipped: false }
}

/** Means are over the rows with mask 1. */
export const ppoLoss = (
  statistics: {
    readonly logProbability: ArrayLike<number>
    readonly entropy: ArrayLike<number>
    readonly value: ArrayLike<number>
  },
  targets: PpoTargets,
  settings: PpoSettings
) => {
  const rows = targets.mask.length
  let count = 0
  for (let i = 0; i < rows; i++) count += targets.mask[i]!
  const dLogProbability = new Float64Array(rows)
  const dEntropy = new Float64Array(rows)
  const dValue = new Float64Array(rows)
  let policyLoss = 0
  let valueLoss = 0
  let entropy = 0
  let approximateKl = 0
  let clipFraction = 0
  let valueClipFraction = 0
  let ratio = 0
  let ratioMax = 0
  const share = 1 / Math.max(count, 1)
  for (let i = 0; i < rows; i++) {
    if (targets.mask[i] === 0) continue
    const logRatio = statistics.logProbability[i]! - targets.logProbability[i]!
    const policy = policyTerm(logRatio, targets.advantage[i]!, settings.clip)
    const value = valueTerm(statistics.value[i]!, targets.value[i]!, targets.return[i]!, settings.valueClip)
    policyLoss += share * policy.value
    valueLoss += share * value.value
    entropy += share * statistics.entropy[i]!
    approximateKl += share * 0.5 * logRatio * logRatio
    clipFraction += policy.clipped ? share : 0
    valueClipFraction += value.clipped ? share : 0
    ratio += share * Math.exp(logRatio)
    ratioMax = Math.max(ratioMax, Math.exp(logRatio))
    dLogProbability[i] = share * policy.slope
    dValue[i] = share * settings.valueCoefficient * value.slope
    dEntropy[i] = -share * settings.entropyCoefficient
  }
  return {
    loss: policyLoss + settings.valueCoefficient * valueLoss - settings.entropyCoefficient * entropy,
    dLogProbability,
    dEntropy,
    dValue,
    metrics: { policyLoss, valueLoss, entropy, approximateKl, clipFraction, valueClipFraction, ratio, ratioMax }
  }
}
