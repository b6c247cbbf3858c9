/**
 * The PPO loss (Schulman et al. 2017, eq. 7 and 9; value clip as in openai/baselines) over the answer tokens of a minibatch.
 *
 * A minibatch may be computed in parts: with its number of answer tokens as `denominator`, losses, derivatives and means of the parts add up.
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

/** How many rows have mask 1. */
export const answerTokens = (mask: ArrayLike<number>): number => {
  let count = 0
  for (let i = 0; i < mask.length; i++) count += mask[i]!
  return count
}

/**
 * The policy's part. Means are over the rows with mask 1. `ratioDeviation` is the largest |log rho|: before any update it is what rollout and training
 * disagree by.
 */
export const policyLoss = (
  statistics: { readonly logProbability: ArrayLike<number>; readonly entropy: ArrayLike<number> },
  targets: Pick<PpoTargets, "mask" | "logProbability" | "advantage">,
  settings: Pick<PpoSettings, "clip" | "entropyCoefficient">,
  denominator: number = answerTokens(targets.mask)
) => {
  const rows = targets.mask.length
  const dLogProbability = new Float64Array(rows)
  const dEntropy = new Float64Array(rows)
  let policyLoss = 0
  let entropy = 0
  let approximateKl = 0
  let clipFraction = 0
  let ratio = 0
  let ratioMax = 0
  let ratioDeviation = 0
  const share = 1 / Math.max(denominator, 1)
  for (let i = 0; i < rows; i++) {
    if (targets.mask[i] === 0) continue
    const logRatio = statistics.logProbability[i]! - targets.logProbability[i]!
    const policy = policyTerm(logRatio, targets.advantage[i]!, settings.clip)
    policyLoss += share * policy.value
    entropy += share * statistics.entropy[i]!
    approximateKl += share * 0.5 * logRatio * logRatio
    clipFraction += policy.clipped ? share : 0
    ratio += share * Math.exp(logRatio)
    ratioMax = Math.max(ratioMax, Math.exp(logRatio))
    ratioDeviation = Math.max(ratioDeviation, Math.abs(logRatio))
    dLogProbability[i] = share * policy.slope
    dEntropy[i] = -share * settings.entropyCoefficient
  }
  return {
    loss: policyLoss - settings.entropyCoefficient * entropy,
    dLogProbability,
    dEntropy,
    metrics: { policyLoss, entropy, approximateKl, clipFraction, ratio, ratioMax, ratioDeviation }
  }
}

/** The critic's part, times the value coefficient. Means are over the rows with mask 1; `valueError` is that of (V - R)^2. */
export const valueLoss = (
  statistics: { readonly value: ArrayLike<number> },
  targets: Pick<PpoTargets, "mask" | "value" | "return">,
  settings: Pick<PpoSettings, "valueClip" | "valueCoefficient">,
  denominator: number = answerTokens(targets.mask)
) => {
  const rows = targets.mask.length
  const dValue = new Float64Array(rows)
  let valueLoss = 0
  let valueClipFraction = 0
  let valueError = 0
  const share = 1 / Math.max(denominator, 1)
  for (let i = 0; i < rows; i++) {
    if (targets.mask[i] === 0) continue
    const value = valueTerm(statistics.value[i]!, targets.value[i]!, targets.return[i]!, settings.valueClip)
    valueLoss += share * value.value
    valueClipFraction += value.clipped ? share : 0
    valueError += share * (statistics.value[i]! - targets.return[i]!) ** 2
    dValue[i] = share * settings.valueCoefficient * value.slope
  }
  return {
    loss: settings.valueCoefficient * valueLoss,
    dValue,
    metrics: { valueLoss, valueClipFraction, valueError }
  }
}

/** Both parts, for a value head on the policy's trunk. */
export const ppoLoss = (
  statistics: {
    readonly logProbability: ArrayLike<number>
    readonly entropy: ArrayLike<number>
    readonly value: ArrayLike<number>
  },
  targets: PpoTargets,
  settings: PpoSettings,
  denominator: number = answerTokens(targets.mask)
) => {
  const policy = policyLoss(statistics, targets, settings, denominator)
  const value = valueLoss(statistics, targets, settings, denominator)
  return {
    loss: policy.loss + value.loss,
    dLogProbability: policy.dLogProbability,
    dEntropy: policy.dEntropy,
    dValue: value.dValue,
    metrics: { ...policy.metrics, ...value.metrics }
  }
}
