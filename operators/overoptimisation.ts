/**
 * Reward-model over-optimisation (Gao, Schulman & Hilton 2022): a gold reward model stands in for people, a proxy learns from its labels, and a policy is optimised against the proxy.
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
  columns: {
    rankings: {
      ...Operator.unchanged("scored", ["id", "prompt"]),
      answers: { from: ["scored.answer"] },
      ranks: { from: ["scored.reward"] }
    }
  },
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
  columns: {
    scored: {
      ...Operator.unchanged("scored", Object.keys(ScoredCompletion.fields)),
      reward: { from: ["scored.reward", "reference.reward"] }
    }
  },
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
 * Adds what `scored` gives to the best of n by the proxy, for n = 1, 2, 4, ... up to the answers that each prompt has; `x` is n. `proxy` and `scored` are of the
 * same answers, row by row.
 */
export const measureBestOfN = Operator.make("measure-best-of-n", {
  description: "Adds the reward of the best of n by the proxy to the measurements",
  params: Schema.Struct({ series: Schema.String }),
  inputs: {
    measurements: Table.of(Measurement),
    proxy: Table.of(ScoredCompletion),
    scored: Table.of(ScoredCompletion)
  },
  outputs: { measurements: Table.of(Measurement) },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const proxy = yield* Table.collect(inputs.proxy)
    const scored = yield* Table.collect(inputs.scored)
    const other = proxy.findIndex(({ id, sample }, i) => scored[i]?.id !== id || scored[i]?.sample !== sample)
    if (other >= 0 || proxy.length !== scored.length) {
      return yield* new Operator.OperatorError({
        operator: "measure-best-of-n",
        place: `scored, row ${other < 0 ? proxy.length : other}`,
        message: "these are not the answers that the proxy scored, in the same order"
      })
    }
    const groups = [...Map.groupBy(proxy.keys(), (i) => proxy[i]!.id).values()]
    const most = Math.min(...groups.map((members) => members.length))
    const rows: Array<Measurement> = []
    for (let n = 1; n <= most; n *= 2) {
      const best = groups.map((members) =>
        expectedBest(
          members.map((i) => proxy[i]!.reward),
          members.map((i) => scored[i]!.reward),
          n
        )
      )
      rows.push({ series: params.series, x: n, reward: sum(best) / best.length, kl: bestOfNKl(n) })
    }
    const earlier = yield* Table.collect(inputs.measurements)
    return { measurements: Table.fromRows(Measurement, [...earlier, ...rows]) }
  })
})

/** Least squares of y over two functions of d: a * f + b * g. `r2` is the share of y's variance that the fit explains. */
export const fitTwo = (
  points: ReadonlyArray<{ readonly d: number; readonly y: number }>,
  f: (d: number) => number,
  g: (d: number) => number
) => {
  const [u, v, y] = [points.map(({ d }) => f(d)), points.map(({ d }) => g(d)), points.map((point) => point.y)]
  const dot = (p: ReadonlyArray<number>, q: ReadonlyArray<number>) => sum(p.map((x, i) => x * q[i]!))
  const determinant = dot(u, u) * dot(v, v) - dot(u, v) ** 2
  const a = (dot(u, y) * dot(v, v) - dot(v, y) * dot(u, v)) / determinant
  const b = (dot(v, y) * dot(u, u) - dot(u, y) * dot(u, v)) / determinant
  const mean = sum(y) / y.length
  const error = sum(y.map((value, i) => (value - a * u[i]! - b * v[i]!) ** 2))
  return { a, b, r2: 1 - error / sum(y.map((value) => (value - mean) ** 2)) }
}

/** The paper's two forms of the gold reward over d = sqrt(KL): of best of n, and of reinforcement learning. */
export const forms = {
  "d (a - b d)": (d: number) => -d * d,
  "d (a - b ln d)": (d: number) => -d * Math.log(d)
}

/**
 * Reward over d = sqrt(KL), with both of the paper's forms fitted to the gold reward of best of n and of PPO. Rewards are of models that are 0 on the reference; series are
 * "PPO, proxy", "PPO, gold" and the same of "best of n", and others are drawn beside them.
 */
export const overoptimisationReport = Operator.make("overoptimisation-report", {
  description: "Proxy and gold reward over the distance from the reference",
  params: Schema.Struct({
    smooth: parameter(PositiveInt, 5, "rounds of PPO that the greatest gold reward is a mean of")
  }),
  inputs: { measurements: Table.of(Measurement) },
  outputs: { report: ReportPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const rows = yield* Table.collect(inputs.measurements)
    const distance = (row: Measurement) => Math.sqrt(Math.max(row.kl, 0))
    const of = (series: string) => rows.filter((row) => row.series === series)
    const fits = ["best of n", "PPO"].flatMap((method) => {
      const points = of(`${method}, gold`)
        .filter((row) => row.kl > 0.05)
        .map((row) => ({ d: distance(row), y: row.reward }))
      return Object.entries(forms).flatMap(([form, g]) => {
        const { a, b, r2 } = fitTwo(points, (d) => d, g)
        return [
          { name: `${method}, a of gold = ${form}`, value: a, note: `R^2 ${r2.toFixed(3)}` },
          { name: `${method}, b of gold = ${form}`, value: b }
        ]
      })
    })
    const gold = of("PPO, gold")
    const smooth = Math.min(params.smooth, gold.length)
    const means = gold.slice(smooth - 1).map((_, i) => {
      const some = gold.slice(i, i + smooth)
      return { reward: sum(some.map((r) => r.reward)) / some.length, kl: sum(some.map((r) => r.kl)) / some.length }
    })
    const peak = means.reduce((a, b) => (b.reward > a.reward ? b : a))
    const last = means.at(-1)!
    const proxies = of("PPO, proxy").slice(-smooth)
    const proxy = sum(proxies.map((r) => r.reward)) / proxies.length
    yield* stage.report({ metrics: { goldPeak: peak.reward, goldEnd: last.reward, proxyEnd: proxy } })
    const note = `mean of ${smooth} rounds`
    return {
      report: {
        title: "Over-optimisation of a reward model",
        figures: [
          { name: "PPO, greatest gold reward", value: peak.reward, note },
          { name: "KL there", value: peak.kl, unit: "nats/answer" },
          { name: "PPO, gold reward at the end", value: last.reward, note },
          { name: "PPO, proxy reward at the end", value: proxy, note },
          { name: "KL at the end", value: last.kl, unit: "nats/answer" },
          ...fits
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
