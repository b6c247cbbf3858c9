/** Numbers that are a function of a seed. */

export interface Draws {
  /** In [0, 1). */
  readonly next: () => number
  /** A whole number in [from, to). */
  readonly between: (from: number, to: number) => number
  readonly chance: (probability: number) => boolean
}

/** Mulberry32. */
export const drawsOf = (seed: number): Draws => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    between: (from, to) => from + Math.floor(next() * (to - from)),
    chance: (probability) => next() < probability
  }
}
