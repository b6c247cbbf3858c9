/**
 * Learning-rate schedules.
 *
 * @since 0.1.0
 */

/**
 * A schedule of `steps` updates with peak `rate`. Warm-up is a line over the first `warmup` updates, to rate * (step + 1) / (warmup + 1) as in
 * nanoGPT, or to rate * (step + 1) / warmup as in llm.c (`warmupForm`, default "nanogpt"). Then, with `final` the share of the rate at the end:
 *
 * - constant: the rate stays;
 * - linear, cosine: it falls over all updates that are left;
 * - wsd (warm-up, stable, decay): it stays until the last `decayShare` (default 0.2) of all updates, then falls as 1 - sqrt(progress) (Hägele et
 *   al. 2024).
 */
export interface Schedule {
  readonly shape: "constant" | "linear" | "cosine" | "wsd"
  readonly rate: number
  readonly steps: number
  readonly warmup: number
  readonly final: number
  readonly decayShare?: number
  readonly warmupForm?: "nanogpt" | "llm.c"
}

/** The share of the way from the peak to the end that is left, from 1 to 0. */
const left = ({ decayShare = 0.2, shape, steps, warmup }: Schedule, step: number): number => {
  const start = shape === "wsd" ? Math.max(warmup, Math.floor((1 - decayShare) * steps)) : warmup
  const progress = Math.min(1, Math.max(0, (step - start) / Math.max(1, steps - start)))
  switch (shape) {
    case "constant":
      return 1
    case "linear":
      return 1 - progress
    case "cosine":
      return 0.5 * (1 + Math.cos(Math.PI * progress))
    case "wsd":
      return 1 - Math.sqrt(progress)
  }
}

/** The learning rate of update `step` (from 0). */
export const learningRate = (schedule: Schedule, step: number): number => {
  const { final, rate, warmup, warmupForm = "nanogpt" } = schedule
  if (step < warmup) return (rate * (step + 1)) / (warmupForm === "nanogpt" ? warmup + 1 : warmup)
  if (schedule.shape === "constant") return rate
  return rate * (final + (1 - final) * left(schedule, step))
}
