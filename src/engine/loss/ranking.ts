/**
 * The reward model's loss on human rankings (Ouyang et al. 2022, InstructGPT, eq. 1).
 *
 * @since 0.1.0
 */

/** One prompt with K answers: their rewards' places in a flat array, and their ranks (1 is best; equal ranks make no pair). */
export interface Ranking {
  readonly members: ReadonlyArray<number>
  readonly ranks: ReadonlyArray<number>
}

/** log(sigmoid(x)) without overflow. */
export const logSigmoid = (x: number): number => (x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x)))

/**
 * loss = -1/pairs * sum over pairs (better w, worse l) of one prompt of log sigmoid(r_w - r_l), averaged over the prompts: all
 * pairs of a prompt are one batch element, whatever K. A prompt whose answers all tie counts for nothing.
 * `accuracy` is the share of pairs with r_w > r_l (ties half); `margin` the mean of r_w - r_l.
 */
export const rankingLoss = (rewards: ArrayLike<number>, rankings: ReadonlyArray<Ranking>) => {
  const dReward = new Float64Array(rewards.length)
  const pairsOf = rankings.map(({ members, ranks }) =>
    members.flatMap((i, a) => members.flatMap((j, b) => (ranks[a]! < ranks[b]! ? [[i, j] as const] : [])))
  )
  const counted = pairsOf.filter((pairs) => pairs.length > 0)
  let loss = 0
  let right = 0
  let margin = 0
  let count = 0
  for (const pairs of counted) {
    for (const [better, worse] of pairs) {
      const difference = rewards[better]! - rewards[worse]!
      const share = 1 / (pairs.length * counted.length)
      loss -= share * logSigmoid(difference)
      // d/dx -log sigmoid(x) = -sigmoid(-x)
      const slope = -share * Math.exp(logSigmoid(-difference))
      dReward[better]! += slope
      dReward[worse]! -= slope
      right += difference > 0 ? 1 : difference === 0 ? 0.5 : 0
      margin += difference
      count++
    }
  }
  return {
    loss,
    dReward,
    pairs: count,
    right,
    accuracy: count === 0 ? 0.5 : right / count,
    margin: count === 0 ? 0 : margin / count
  }
}
