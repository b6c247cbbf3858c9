/**
 * Reward-model over-optimisation (Gao, Schulman & Hilton 2022): a gold reward stands in for people, a proxy learns from its labels, and a policy is optimised against the proxy.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { bestOfNKl } from "../src/engine/loss/group.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Ranking, ScoredCompletion } from "./answers.ts"
import { Measurement } from "./measurements.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { plot } from "./plot.ts"
import { moments } from "./ppo/experience.ts"
import { ReportPort } from "./report.ts"
import { sum } from "./scoring.ts"

/** Ranks the answers to each prompt by their scores. */
export const rankByScore = Operator.make("rank-by-score", {
  description: "Ranks answers by their scores, in the place of people",
  params: Schema.Struct({}),
  inputs: { scored: Table.of(ScoredCompletion) },
  outputs: { rankings: Table.of(Ranking) },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const rows = yield* Table.collect(inputs.scored)
    const rankings = Array.from(
      Map.groupBy(rows, (row) => row.id),
      ([id, members]): Ranking => ({
        id,
        prompt: members[0]!.prompt,
        answers: members.map(({ answer }) => answer),
        ranks: members.map(({ reward }) => 1 + members.filter((other) => other.reward > reward).length)
      })
    )
    return { rankings: Table.fromRows(Ranking, rankings) }
  })
})

/** Rewards less the mean and over the standard deviation of those of `reference`. */
export const standardScores = Operator.make("standard-scores", {
  description: "Gives scores mean 0 and standard deviation 1 on the reference's answers",
  params: Schema.Struct({}),
  inputs: { scored: Table.of(ScoredCompletion), reference: Table.of(ScoredCompletion) },
  outputs: { scored: Table.of(ScoredCompletion) },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const { mean, variance } = moments((yield* Table.collect(inputs.reference)).map(({ reward }) => reward))
    const rows = yield* Table.collect(inputs.scored)
    const scaled = rows.map((row) => ({ ...row, reward: (row.reward - mean) / Math.max(Math.sqrt(variance), 1e-6) }))
    return { scored: Table.fromRows(ScoredCompletion, scaled) }
  })
})

/**
 * The expected value of `values` at the best of n of `scores`, for n of them drawn without replacement: each is the best with probability C(i, n - 1) / C(N, n), i being how many scores are below
 * it (no bias, and less variance than drawing; Stiennon et al. 2020, appendix).
 */
export const expectedBest = (scores: ReadonlyArray<number>, values: ReadonlyArray<number>, n: number): number => {
  const order = scores.map((_, i) => i).sort((a, b) => scores[a]! - scores[b]!)
  const total = order.length
  // C(i, n - 1) / C(total, n), from the greatest down.
  let probability = n / total
  let expected = 0
  for (let i = total - 1; i >= n - 1; i--) {
    expected += probability * values[order[i]!]!
    probability *= (i - n + 1) / i
  }
  return expected
}

/**
 * Proxy and gold reward of the best of n by the proxy, for n = 1, 2, 4, ... up to the answers that each prompt has; `x` is n. `proxy` and `gold` score the
 * same answers, row by row.
 */
export const bestOfNCurve = Operator.make("best-of-n-curve", {
  description: "Proxy and gold reward of the best of n by the proxy",
  params: Schema.Struct({}),
  inputs: { proxy: Table.of(ScoredCompletion), gold: Table.of(ScoredCompletion) },
  outputs: { measurements: Table.of(Measurement) },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const proxy = yield* Table.collect(inputs.proxy)
    const gold = yield* Table.collect(inputs.gold)
    const other = proxy.findIndex(({ id, sample }, i) => gold[i]?.id !== id || gold[i]?.sample !== sample)
    if (other >= 0 || proxy.length !== gold.length) {
      return yield* new Operator.OperatorError({
        operator: "best-of-n-curve",
        place: `gold, row ${other < 0 ? proxy.length : other}`,
        message: "proxy and gold do not score the same answers in the same order"
      })
    }
    const groups = [...Map.groupBy(proxy.keys(), (i) => proxy[i]!.id).values()]
    const most = Math.min(...groups.map((members) => members.length))
    const rows: Array<Measurement> = []
    for (let n = 1; n <= most; n *= 2) {
      const best = groups.map((members) => {
        const scores = members.map((i) => proxy[i]!.reward)
        const golds = members.map((i) => gold[i]!.reward)
        return { proxy: expectedBest(scores, scores, n), gold: expectedBest(scores, golds, n) }
      })
      for (const name of ["proxy", "gold"] as const) {
        const reward = sum(best.map((each) => each[name])) / best.length
        rows.push({ series: `best of n, ${name}`, x: n, reward, kl: bestOfNKl(n) })
      }
    }
    return { measurements: Table.fromRows(Measurement, rows) }
  })
})

/** Least squares of y over two functions of d: a * f + b * g. */
export const fitTwo = (
  points: ReadonlyArray<{ readonly d: number; readonly y: number }>,
  f: (d: number) => number,
  g: (d: number) => number
) => {
  const dot = (u: (p: { d: number; y: number }) => number, v: typeof u) => sum(points.map((p) => u(p) * v(p)))
  const [ff, fg, gg] = [
    dot(
      (p) => f(p.d),
      (p) => f(p.d)
    ),
    dot(
      (p) => f(p.d),
      (p) => g(p.d)
    ),
    dot(
      (p) => g(p.d),
      (p) => g(p.d)
    )
  ]
  const [fy, gy] = [
    dot(
      (p) => f(p.d),
      (p) => p.y
    ),
    dot(
      (p) => g(p.d),
      (p) => p.y
    )
  ]
  const determinant = ff * gg - fg * fg
  return { a: (fy * gg - gy * fg) / determinant, b: (gy * ff - fy * fg) / determinant }
}

/**
 * Reward over d = sqrt(KL), with the paper's fits of the gold reward: d (a - b d) for best of n, d (a - b ln d) for PPO. Rewards are of models that are 0 on the reference.
 */
export const overoptimisationReport = Operator.make("overoptimisation-report", {
  description: "Proxy and gold reward over the distance from the reference",
  params: Schema.Struct({
    smooth: parameter(PositiveInt, 5, "rounds of PPO that the greatest gold reward is a mean of")
  }),
  inputs: { ppo: Table.of(Measurement), bestOfN: Table.of(Measurement) },
  outputs: { report: ReportPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const rows = [...(yield* Table.collect(inputs.ppo)), ...(yield* Table.collect(inputs.bestOfN))]
    const distance = (row: Measurement) => Math.sqrt(Math.max(row.kl, 0))
    const of = (series: string) => rows.filter((row) => row.series === series)
    const points = (series: string) =>
      of(series)
        .filter((row) => row.kl > 0.05)
        .map((row) => ({ d: distance(row), y: row.reward }))
    const best = fitTwo(
      points("best of n, gold"),
      (d) => d,
      (d) => -d * d
    )
    const rl = fitTwo(
      points("PPO, gold"),
      (d) => d,
      (d) => -d * Math.log(d)
    )
    const gold = of("PPO, gold")
    const means = gold.slice(params.smooth - 1).map((_, i) => {
      const some = gold.slice(i, i + params.smooth)
      return { reward: sum(some.map((r) => r.reward)) / some.length, kl: sum(some.map((r) => r.kl)) / some.length }
    })
    const peak = means.reduce((a, b) => (b.reward > a.reward ? b : a))
    const last = means.at(-1)!
    const proxies = of("PPO, proxy").slice(-params.smooth)
    const proxy = sum(proxies.map((r) => r.reward)) / proxies.length
    yield* stage.report({ metrics: { goldPeak: peak.reward, goldEnd: last.reward, proxyEnd: proxy } })
    const note = `mean of ${params.smooth} rounds`
    return {
      report: {
        title: "Over-optimisation of a reward model",
        figures: [
          { name: "PPO, greatest gold reward", value: peak.reward, note },
          { name: "KL there", value: peak.kl, unit: "nats/answer" },
          { name: "PPO, gold reward at the end", value: last.reward, note },
          { name: "PPO, proxy reward at the end", value: proxy, note },
          { name: "KL at the end", value: last.kl, unit: "nats/answer" },
          { name: "best of n, a of gold = d (a - b d)", value: best.a },
          { name: "best of n, b", value: best.b },
          { name: "PPO, a of gold = d (a - b ln d)", value: rl.a },
          { name: "PPO, b", value: rl.b }
        ],
        samples: [],
        plots: [
          yield* plot(
            rows.map((row) => ({ series: row.series, x: distance(row), y: row.reward })).sort((a, b) => a.x - b.x),
            {
              name: "overoptimisation",
              title: "Reward over the distance from the reference",
              x: "sqrt(KL), KL in nats an answer",
              y: "reward (reference: mean 0, deviation 1)"
            }
          )
        ]
      }
    }
  })
})
