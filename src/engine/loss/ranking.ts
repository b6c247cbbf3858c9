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

/** The better and the worse answer of each pair that a ranking orders. */
const pairsOf = ({ members, ranks }: Ranking) =>
  members.flatMap((i, a) => members.flatMap((j, b) => (ranks[a]! < ranks[b]! ? [[i, j] as const] : [])))

/**
 * `margin`: what the better answer's reward must lead by to cost ln 2 (Touvron et al. 2023, eq. 2). `centering`: weight of the mean over pairs of (r_w + r_l)^2, which keeps
 * rewards around 0 (Eisenstein et al. 2023). `prompts`: what the loss is divided by where `rankings` are a part of a batch (default: those with a pair).
 */
export interface RankingSettings {
  readonly margin?: number
  readonly centering?: number
  readonly prompts?: number
}

/**
 * loss = -1/pairs * sum over pairs (better w, worse l) of one prompt of log sigmoid(r_w - r_l - margin), averaged over the prompts: all
 * pairs of a prompt are one batch element, whatever K (K = 2: Bradley & Terry 1952). A prompt whose answers all tie counts for nothing.
 * `accuracy` is the share of pairs with r_w > r_l (ties half); `margin` the mean of r_w - r_l.
 */
export const rankingLoss = (
  rewards: ArrayLike<number>,
  rankings: ReadonlyArray<Ranking>,
  settings: RankingSettings = {}
) => {
  const { centering = 0, margin: lead = 0 } = settings
  const dReward = new Float64Array(rewards.length)
  const counted = rankings.map(pairsOf).filter((pairs) => pairs.length > 0)
  const prompts = settings.prompts ?? counted.length
  let loss = 0
  let right = 0
  let margin = 0
  let count = 0
  for (const pairs of counted) {
    for (const [better, worse] of pairs) {
      const difference = rewards[better]! - rewards[worse]!
      const share = 1 / (pairs.length * prompts)
      loss -= share * logSigmoid(difference - lead)
      // d/dx -log sigmoid(x) = -sigmoid(-x)
      const slope = -share * Math.exp(logSigmoid(lead - difference))
      dReward[better]! += slope
      dReward[worse]! -= slope
      if (centering > 0) {
        const sum = rewards[better]! + rewards[worse]!
        loss += share * centering * sum * sum
        dReward[better]! += 2 * share * centering * sum
        dReward[worse]! += 2 * share * centering * sum
      }
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

/** Of the pairs whose probability was said to be about `predicted`, the share `observed` came out so. */
export interface CalibrationBin {
  readonly predicted: number
  readonly observed: number
  readonly count: number
}

/**
 * Whether sigmoid(r_i - r_j) is the probability that i is ranked above j. Each pair counts in both orders; `error` is the expected calibration error (Naeini et al. 2015):
 * the mean over pairs of |predicted - observed| of their bin, of `bins` (default 10) of equal width.
 */
export const calibration = (rewards: ArrayLike<number>, rankings: ReadonlyArray<Ranking>, bins = 10) => {
  const sums = Array.from({ length: bins }, () => ({ predicted: 0, observed: 0, count: 0 }))
  const add = (probability: number, outcome: number) => {
    const bin = sums[Math.min(bins - 1, Math.floor(probability * bins))]!
    bin.predicted += probability
    bin.observed += outcome
    bin.count++
  }
  let pairs = 0
  for (const ranking of rankings) {
    for (const [better, worse] of pairsOf(ranking)) {
      const probability = Math.exp(logSigmoid(rewards[better]! - rewards[worse]!))
      add(probability, 1)
      add(1 - probability, 0)
      pairs++
    }
  }
  const filled = sums.filter(({ count }) => count > 0)
  const error = filled.reduce((sum, bin) => sum + Math.abs(bin.predicted - bin.observed), 0) / Math.max(2 * pairs, 1)
  const means = filled.map(
    ({ count, observed, predicted }): CalibrationBin => ({
      predicted: predicted / count,
      observed: observed / count,
      count
    })
  )
  return { error, bins: means }
}
