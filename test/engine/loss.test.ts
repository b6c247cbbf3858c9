import { assert, describe, it } from "@effect/vitest"
import { adaptBeta, generalisedAdvantage, klEstimators, tokenRewards, whiten } from "../../src/engine/loss/advantage.ts"
import { dpoLoss } from "../../src/engine/loss/dpo.ts"
import { bestOfNKl, groupAdvantages, grpoLoss, leaveOneOut, rlooLoss } from "../../src/engine/loss/group.ts"
import { policyTerm, ppoLoss, valueTerm } from "../../src/engine/loss/ppo.ts"
import { calibration, rankingLoss } from "../../src/engine/loss/ranking.ts"
import { normal, philox, uniform } from "../../src/engine/random.ts"

const close = (actual: ArrayLike<number>, expected: ReadonlyArray<number>, tolerance = 1e-5) => {
  assert.strictEqual(actual.length, expected.length)
  expected.forEach((value, i) => {
    assert.closeTo(actual[i]!, value, tolerance, `element ${i}`)
  })
}

/** Central differences of a scalar function. */
const differences = (f: (x: Float64Array) => number, x: Float64Array, h = 1e-6) =>
  Array.from(x, (_, i) => {
    const at = (delta: number) => {
      const moved = x.slice()
      moved[i]! += delta
      return f(moved)
    }
    return (at(h) - at(-h)) / (2 * h)
  })

describe("K-way ranking loss", () => {
  const four = { members: [0, 1, 2, 3], ranks: [1, 2, 3, 4] }

  it("is ln 2 for a zero head, whatever K", () => {
    for (const k of [2, 4, 9]) {
      const members = Array.from({ length: k }, (_, i) => i)
      const { loss, pairs } = rankingLoss(new Float64Array(k), [{ members, ranks: members }])
      assert.closeTo(loss, Math.LN2, 1e-12)
      assert.strictEqual(pairs, (k * (k - 1)) / 2)
    }
  })

  it("gives the published numbers for K = 4", () => {
    const { accuracy, dReward, loss } = rankingLoss([2, 1, 0, -1], [four])
    assert.closeTo(loss, 0.207038, 1e-6)
    close(dReward, [-0.072595, -0.019867, 0.019867, 0.072595], 1e-6)
    assert.strictEqual(accuracy, 1)
  })

  it("equals the mean of the pairwise losses, gradient included", () => {
    const rewards = [0.3, -0.7, 1.1, 0.2]
    const whole = rankingLoss(rewards, [four])
    const parts = [0, 1, 2, 3].flatMap((i) =>
      [0, 1, 2, 3].flatMap((j) => (i < j ? [rankingLoss(rewards, [{ members: [i, j], ranks: [1, 2] }])] : []))
    )
    assert.closeTo(whole.loss, parts.reduce((sum, part) => sum + part.loss, 0) / 6, 1e-12)
    for (const k of [0, 1, 2, 3]) {
      assert.closeTo(whole.dReward[k]!, parts.reduce((sum, part) => sum + part.dReward[k]!, 0) / 6, 1e-12)
    }
  })

  it("has the gradient of finite differences, ties and several prompts included", () => {
    const groups = [
      { members: [0, 1, 2], ranks: [2, 1, 2] },
      { members: [3, 4], ranks: [1, 2] },
      { members: [5, 6], ranks: [1, 1] }
    ]
    const rewards = Float64Array.from([0.5, -1, 0.2, 3, -2, 0.1, 0.4])
    close(
      rankingLoss(rewards, groups).dReward,
      differences((x) => rankingLoss(x, groups).loss, rewards),
      1e-8
    )
  })

  it("does not change when all rewards shift", () => {
    const { loss } = rankingLoss([2, 1, 0, -1], [four])
    assert.closeTo(rankingLoss([102, 101, 100, 99], [four]).loss, loss, 1e-12)
  })
})

describe("reward-model loss with margin and centering", () => {
  const pair = { members: [0, 1], ranks: [1, 2] }

  it("a margin of 0.5 gives the published numbers", () => {
    assert.closeTo(rankingLoss([1, 0], [pair]).loss, 0.31326, 1e-5)
    assert.closeTo(rankingLoss([1, 0], [pair], { margin: 0.5 }).loss, 0.47408, 1e-5)
  })

  it("has the gradient of finite differences, a part of a batch included", () => {
    const groups = [
      { members: [0, 1, 2], ranks: [2, 1, 2] },
      { members: [3, 4], ranks: [1, 2] }
    ]
    const settings = { margin: 0.3, centering: 0.01, prompts: 5 }
    const rewards = Float64Array.from([0.5, -1, 0.2, 3, -2])
    close(
      rankingLoss(rewards, groups, settings).dReward,
      differences((x) => rankingLoss(x, groups, settings).loss, rewards),
      1e-8
    )
  })

  it("centering is the mean of (r_w + r_l)^2 over pairs, and parts add up to the whole", () => {
    const free = rankingLoss([2, 1, 5, -1], [pair, { members: [2, 3], ranks: [1, 2] }])
    const settings = { centering: 0.01, prompts: 2 }
    const first = rankingLoss([2, 1, 5, -1], [pair], settings)
    const second = rankingLoss([2, 1, 5, -1], [{ members: [2, 3], ranks: [1, 2] }], settings)
    assert.closeTo(first.loss + second.loss, free.loss + (0.01 * (9 + 16)) / 2, 1e-12)
  })

  it("K = 9 answers to 64 prompts are 576 forwards and 2,304 pairs", () => {
    const groups = Array.from({ length: 64 }, (_, prompt) => {
      const ranks = Array.from({ length: 9 }, (_, k) => k)
      return { members: ranks.map((k) => 9 * prompt + k), ranks }
    })
    const { dReward, loss, pairs } = rankingLoss(new Float64Array(576), groups)
    assert.strictEqual(pairs, 2304)
    assert.closeTo(loss, Math.LN2, 1e-12)
    assert.closeTo(
      dReward.reduce((a, b) => a + b, 0),
      0,
      1e-12
    )
  })

  it("the rewards that labels were drawn from have the loss floor, the accuracy ceiling and no calibration error", () => {
    const count = 60_000
    const rewards = new Float32Array(2 * count)
    normal([1, 2], rewards, 1)
    const groups = Array.from({ length: count }, (_, n) => {
      const probability = 1 / (1 + Math.exp(rewards[2 * n + 1]! - rewards[2 * n]!))
      const ranks = uniform(philox([3, 4], [n, 0, 0, 0])[0]!) < probability ? [1, 2] : [2, 1]
      return { members: [2 * n, 2 * n + 1], ranks }
    })
    const { accuracy, loss } = rankingLoss(rewards, groups)
    assert.closeTo(loss, 0.5396, 0.006)
    assert.closeTo(accuracy, 0.7251, 0.006)
    assert.isBelow(calibration(rewards, groups).error, 0.01)
    // Twice as sure as it should be: the order stays, the probabilities are off.
    const sure = rewards.map((r) => 2 * r)
    assert.strictEqual(rankingLoss(sure, groups).accuracy, accuracy)
    assert.isAbove(calibration(sure, groups).error, 0.08)
  })
})

describe("advantages", () => {
  it("GAE gives the published numbers", () => {
    close(generalisedAdvantage([0, 0, 1], [0, 0, 0], 1, 0.95).advantages, [0.9025, 0.95, 1])
    const half = generalisedAdvantage([0, 0, 1], [0.5, 0.5, 0.5], 1, 0.95)
    close(half.advantages, [0.45125, 0.475, 0.5])
    close(half.returns, [0.95125, 0.975, 1])
    close(generalisedAdvantage([0, 0, 0, 1], [0, 0, 0, 1], 0.9, 0.95).returns, [0.6579225, 0.7695, 0.9, 1])
    const rewards = [0.1, -0.2, 0.3, 1]
    const values = [0.4, 0.1, -0.3, 0.2]
    close(generalisedAdvantage(rewards, values, 1, 0.95).advantages, [0.6379, 0.882, 1.56, 0.8], 1e-4)
    close(generalisedAdvantage(rewards, values, 1, 1).returns, [1.2, 1.1, 1.3, 1])
    close(generalisedAdvantage(rewards, values, 1, 0).advantages, [-0.2, -0.6, 0.8, 0.8])
  })

  it("whitening without shift gives the published numbers for both variances", () => {
    const values = Array.from({ length: 9 }, (_, i) => 1.2 + 0.1 * i)
    const zero = whiten(values, false, 0)
    const one = whiten(values, false, 1)
    close([zero[0]!, zero[8]!], [0.0508, 3.1492], 1e-4)
    close([one[0]!, one[8]!], [0.1394, 3.0606], 1e-4)
    assert.closeTo(
      whiten(values).reduce((sum, x) => sum + x, 0),
      0,
      1e-9
    )
  })

  it("the reward has the KL penalty on each token and the score at the last", () => {
    close(tokenRewards([-0.1, -0.1, -0.1], [0, 0, 0], 1, 0.5), [0.05, 0.05, 1.05])
  })

  it("the rewards of an answer sum to its score less beta times its KL", () => {
    const [logProbability, reference] = [
      [-0.3, -2, -0.7, -1.1],
      [-0.5, -1.4, -0.9, -1.6]
    ]
    const kl = logProbability.reduce((sum, value, t) => sum + value - reference[t]!, 0)
    const rewards = tokenRewards(logProbability, reference, 0.8, 0.15)
    assert.closeTo(
      rewards.reduce((sum, r) => sum + r, 0),
      0.8 - 0.15 * kl,
      1e-12
    )
    // At gamma = lambda = 1 and V = 0 the first advantage is that sum: the score reaches every token undiscounted.
    assert.closeTo(generalisedAdvantage(rewards, [0, 0, 0, 0], 1, 1).advantages[0]!, 0.8 - 0.15 * kl, 1e-12)
  })

  it("beta adapts by the published steps", () => {
    close(
      [4, 4.8, 6, 7.2, 100].map((kl) => adaptBeta(0.15, kl, 6, 10000, 512)),
      [0.148464, 0.148464, 0.15, 0.151536, 0.151536],
      1e-9
    )
  })

  it("KL estimators give the published numbers", () => {
    const { k1, k2, k3 } = klEstimators(0.1)
    close([k1, k2, k3], [0.1, 0.005, 0.0048374], 1e-7)
    assert.closeTo(klEstimators(-0.1).k3, 0.0051709, 1e-7)
  })
})

describe("PPO loss", () => {
  it("the policy term gives the published numbers", () => {
    const cases = [
      [Math.E, 1, -1.2],
      [1 / Math.E, 1, -0.3679],
      [1.3, -1, 1.3],
      [0.7, -1, 0.8],
      [0.5, -2, 1.6]
    ] as const
    for (const [ratio, advantage, expected] of cases) {
      assert.closeTo(policyTerm(Math.log(ratio), advantage, 0.2).value, expected, 1e-4)
    }
  })

  it("the value term gives the published numbers", () => {
    assert.closeTo(valueTerm(1.5, 1, 2, 0.2).value, 0.32, 1e-9)
    assert.closeTo(valueTerm(1.5, 1, 1, 0.2).value, 0.125, 1e-9)
  })

  it("has the gradient of finite differences, and none where the mask is 0", () => {
    const targets = {
      mask: [1, 1, 0, 1, 1],
      logProbability: [-1, -2, -3, -0.5, -1.5],
      value: [0.1, 0.2, 0.3, 0.4, 0.5],
      advantage: [1, -1, 5, 0.7, -2],
      return: [0.3, 0.1, 0.9, 1.4, -0.5]
    }
    const settings = { clip: 0.2, valueClip: 0.2, valueCoefficient: 0.1, entropyCoefficient: 0.01 }
    const start = Float64Array.from([-0.9, -2.5, -3.3, 0.1, -1.45, 1, 2, 3, 4, 5, 0.15, 0.9, 0.1, 0.35, 0.55])
    const loss = (x: Float64Array) =>
      ppoLoss(
        { logProbability: x.subarray(0, 5), entropy: x.subarray(5, 10), value: x.subarray(10) },
        targets,
        settings
      )
    const result = loss(start)
    close(
      [...result.dLogProbability, ...result.dEntropy, ...result.dValue],
      differences((x) => loss(x).loss, start),
      1e-8
    )
    assert.strictEqual(result.dLogProbability[2], 0)
  })

  it("padding changes no metric, and parts of a minibatch add up to it", () => {
    const settings = { clip: 0.2, valueClip: 0.2, valueCoefficient: 0.1, entropyCoefficient: 0.01 }
    const statistics = { logProbability: [-0.9, -2.5, -0.4], entropy: [1, 2, 3], value: [0.4, -1, 0.2] }
    const known = {
      logProbability: [-1, -2, -0.5],
      value: [0.1, 0.2, 0.3],
      advantage: [1, -1, 0.5],
      return: [0.3, 0.1, 1]
    }
    const plain = ppoLoss(statistics, { mask: [1, 1, 1], ...known }, settings)
    const pad = (values: ReadonlyArray<number>) => [99, ...values, -50, 7]
    const padded = ppoLoss(
      {
        logProbability: pad(statistics.logProbability),
        entropy: pad(statistics.entropy),
        value: pad(statistics.value)
      },
      {
        mask: [0, 1, 1, 1, 0, 0],
        logProbability: pad(known.logProbability),
        value: pad(known.value),
        advantage: pad(known.advantage),
        return: pad(known.return)
      },
      settings
    )
    assert.deepStrictEqual(padded.metrics, plain.metrics)
    const part = (...rows: ReadonlyArray<number>) => {
      const take = (values: ReadonlyArray<number>) => rows.map((row) => values[row]!)
      return ppoLoss(
        {
          logProbability: take(statistics.logProbability),
          entropy: take(statistics.entropy),
          value: take(statistics.value)
        },
        {
          mask: rows.map(() => 1),
          logProbability: take(known.logProbability),
          value: take(known.value),
          advantage: take(known.advantage),
          return: take(known.return)
        },
        settings,
        3
      )
    }
    const [first, second] = [part(0, 1), part(2)]
    assert.closeTo(first.loss + second.loss, plain.loss, 1e-12)
    assert.closeTo(first.metrics.approximateKl + second.metrics.approximateKl, plain.metrics.approximateKl, 1e-12)
    close([...first.dLogProbability, ...second.dLogProbability], [...plain.dLogProbability], 1e-12)
  })

  it("before any step the ratio is 1, nothing is clipped and the KL is 0; later they are those of the ratios", () => {
    const metricsOf = (logProbability: ReadonlyArray<number>) => {
      const statistics = { logProbability, entropy: [1, 1], value: [0.5, 0.5] }
      const targets = { mask: [1, 1], logProbability: [-1, -2], value: [0.5, 0.5], advantage: [-1, 1], return: [1, 0] }
      const settings = { clip: 0.2, valueClip: 0.2, valueCoefficient: 0.1, entropyCoefficient: 0 }
      const { approximateKl, clipFraction, ratio, ratioDeviation, ratioMax } = ppoLoss(
        statistics,
        targets,
        settings
      ).metrics
      return [ratio, ratioMax, ratioDeviation, clipFraction, approximateKl]
    }
    assert.deepStrictEqual(metricsOf([-1, -2]), [1, 1, 0, 0, 0])
    const [less, more] = [Math.exp(-0.5), Math.exp(0.1)]
    close(metricsOf([-1.5, -1.9]), [(less + more) / 2, more, 0.5, 0.5, 0.065], 1e-12)
  })
})

describe("DPO loss", () => {
  const four = [{ members: [0, 1, 2, 3], ranks: [1, 2, 3, 4] }]

  it("is ln 2 where policy and reference are the same, with opposite derivatives for a pair", () => {
    const { dLogProbability, loss } = dpoLoss([-3, -5], [-3, -5], [{ members: [0, 1], ranks: [1, 2] }], { beta: 0.1 })
    assert.closeTo(loss, Math.LN2, 1e-12)
    close(dLogProbability, [-0.05, 0.05], 1e-12)
  })

  it("has the gradient of finite differences", () => {
    const reference = [-3, -2, -5, -4]
    const start = Float64Array.from([-1, -2.5, -4, -7])
    close(
      dpoLoss(start, reference, four, { beta: 0.3 }).dLogProbability,
      differences((x) => dpoLoss(x, reference, four, { beta: 0.3 }).loss, start),
      1e-8
    )
  })
})

describe("losses of groups", () => {
  it("equal scores have no advantage, so no gradient", () => {
    close(groupAdvantages([0.7, 0.7, 0.7], true), [0, 0, 0], 1e-11)
    close(leaveOneOut([0.7, 0.7, 0.7]), [0, 0, 0], 1e-11)
    const statistics = { logProbability: [-1, -2], entropy: [1, 1] }
    const targets = { weight: [0.5, 0.5], logProbability: [-1, -2], reference: [-1, -2], advantage: [0, 0] }
    close(grpoLoss(statistics, targets, { clip: 0.2, klCoefficient: 0.04 }).dLogProbability, [0, 0], 0)
  })

  it("advantages are those of the papers", () => {
    close(groupAdvantages([1, 2, 3], false), [-1, 0, 1], 1e-12)
    close(groupAdvantages([1, 2, 3], true), [-1, 0, 1], 1e-3)
    close(leaveOneOut([1, 2, 6]), [-3, -1.5, 4.5], 1e-12)
  })

  it("GRPO's loss has the gradient of finite differences", () => {
    const targets = {
      weight: [0.25, 0.25, 0, 0.5],
      logProbability: [-1, -2, -3, -0.5],
      reference: [-1.2, -1.5, -3, -1],
      advantage: [1, -1, 5, 0.7]
    }
    const settings = { clip: 0.2, klCoefficient: 0.3 }
    const loss = (x: Float64Array) => grpoLoss({ logProbability: x, entropy: [1, 1, 1, 1] }, targets, settings)
    const start = Float64Array.from([-0.9, -2.5, -3.3, -0.55])
    close(
      loss(start).dLogProbability,
      differences((x) => loss(x).loss, start),
      1e-8
    )
    assert.closeTo(loss(start).metrics.ratioDeviation, 0.5, 1e-12)
  })

  it("RLOO's loss has the gradient of finite differences; its ratio is that of whole answers", () => {
    const old = [-1, -2, -3, -0.5, -1]
    const answers = [
      { from: 0, to: 2, advantage: 1.5 },
      { from: 3, to: 5, advantage: -0.5 }
    ]
    const loss = (x: Float64Array) =>
      rlooLoss({ logProbability: x, entropy: [1, 1, 1, 1, 1] }, old, answers, { clip: 0.2 }, 4)
    const start = Float64Array.from([-0.95, -2, -3, -0.6, -1.05])
    close(
      loss(start).dLogProbability,
      differences((x) => loss(x).loss, start),
      1e-8
    )
    assert.closeTo(loss(start).metrics.ratioDeviation, 0.1, 1e-12)
    assert.closeTo(loss(start).loss, (-1.5 * Math.exp(0.05) + 0.5 * Math.exp(-0.15)) / 4, 1e-12)
  })

  it("best of n has the published KL, which is that of the exact distribution", () => {
    close([2, 4, 16].map(bestOfNKl), [0.1931, 0.6363, 1.8351], 5e-5)
    // The best of n of 20,000 equally likely outcomes of different scores.
    const outcomes = 20_000
    for (const n of [2, 4, 16]) {
      let kl = 0
      for (let i = 0; i < outcomes; i++) {
        const p = ((i + 1) / outcomes) ** n - (i / outcomes) ** n
        if (p > 0) kl += p * Math.log(p * outcomes)
      }
      assert.closeTo(kl, bestOfNKl(n), 1e-3)
    }
  })
})
