/** What repeats say: the middle, and how far they lie apart. */

/** The middle value; of an even number of values the mean of the two in the middle. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Least, middle and greatest. */
export interface Spread {
  readonly least: number
  readonly median: number
  readonly most: number
}

export const spread = (values: ReadonlyArray<number>): Spread => ({
  least: Math.min(...values),
  median: median(values),
  most: Math.max(...values)
})

/**
 * The ratio of two sides measured in turns: the ratio of their medians, and the least and greatest ratio of two repeats that were taken
 * one after the other.
 */
export const ratio = (over: ReadonlyArray<number>, under: ReadonlyArray<number>): Spread => {
  const pairs = over.slice(0, under.length).map((value, i) => value / under[i]!)
  return { least: Math.min(...pairs), median: median(over) / median(under), most: Math.max(...pairs) }
}
