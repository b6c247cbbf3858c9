/**
 * AdamW's settings and state, and learning-rate schedules.
 *
 * @since 0.1.0
 */

/** Loshchilov & Hutter 2019. `form` "tensorflow" puts epsilon before the bias correction (as OpenAI's 2019 code did). */
export interface AdamW {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly weightDecay: number
  /** Gradients are scaled so that their global norm is at most this; 0: never. */
  readonly maxNorm: number
  readonly form: "pytorch" | "tensorflow"
}

/** nanoGPT's defaults. */
export const adamW: AdamW = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  maxNorm: 1,
  form: "pytorch"
}

/** Moments in the layout's order, and how many updates were made. */
export interface OptimizerState {
  readonly firstMoment: Float32Array
  readonly secondMoment: Float32Array
  readonly step: number
}

/**
 * The learning rate of update `step` (from 0) of `steps`: linear warm-up over `warmup` updates (step 0 has rate / (warmup + 1)), then cosine
 * down to `final` (a fraction of the rate), as nanoGPT; "linear" falls in a straight line, "constant" stays.
 */
export const learningRate = (
  schedule: "cosine" | "linear" | "constant",
  rate: number,
  step: number,
  steps: number,
  warmup: number,
  final: number
): number => {
  if (step < warmup) return (rate * (step + 1)) / (warmup + 1)
  if (schedule === "constant") return rate
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup))
  const share = schedule === "cosine" ? 0.5 * (1 + Math.cos(Math.PI * progress)) : 1 - progress
  return rate * (final + (1 - final) * share)
}
