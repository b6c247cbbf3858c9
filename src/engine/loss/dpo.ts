/**
 * Direct preference optimisation: the reward model's loss on the reward that a policy implies.
 *
 * @since 0.1.0
 */
import { type Ranking, rankingLoss } from "./ranking.ts"

/**
 * DPO (Rafailov et al. 2023, eq. 7) over all pairs of each ranking: the ranking loss of beta * (log pi(y) - log ref(y)), log-probabilities (nats) of whole answers.
 * `dLogProbability` is with respect to log pi(y). `prompts`: see `rankingLoss`.
 */
export const dpoLoss = (
  logProbability: ArrayLike<number>,
  reference: ArrayLike<number>,
  rankings: ReadonlyArray<Ranking>,
  settings: { readonly beta: number; readonly prompts?: number }
) => {
  const { beta, ...rest } = settings
  const rewards = Float64Array.from(logProbability, (value, i) => beta * (value - reference[i]!))
  const { dReward, ...result } = rankingLoss(rewards, rankings, rest)
  return { ...result, rewards, dLogProbability: dReward.map((slope) => beta * slope) }
}
