/**
 * AdamW's settings and state.
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
