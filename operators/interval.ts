/**
 * Means of outcomes with their uncertainty.
 *
 * @since 0.1.0
 */

/**
 * The mean of `n` outcomes between 0 and 1 and its 95% interval (Wilson 1927), which stays in 0..1 and is not empty where all outcomes are the same. For outcomes that are not all
 * 0 or 1 (a tie is half a win) it is wider than it need be.
 */
export const proportion = (outcomes: ReadonlyArray<number>) => {
  const z = 1.959964
  const n = outcomes.length
  const mean = outcomes.reduce((sum, x) => sum + x, 0) / n
  const middle = (mean + (z * z) / (2 * n)) / (1 + (z * z) / n)
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((mean * (1 - mean)) / n + (z * z) / (4 * n * n))
  return { mean, low: Math.max(0, middle - half), high: Math.min(1, middle + half) }
}
