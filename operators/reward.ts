/**
 * Step 2: a reward model from rankings. It starts from a language model's trunk with a fresh scalar head, read at the last token.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { pad, paddedLength } from "../src/engine/batch.ts"
import { calibration, rankingLoss } from "../src/engine/loss/ranking.ts"
import { parameter as parameterOf, withScalarHead } from "../src/engine/model.ts"
import { adamW } from "../src/engine/optimizer.ts"
import { learningRate } from "../src/engine/schedule.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { rangesOf } from "../src/operator/row-ranges.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Completion, Ranking } from "./answers.ts"
import { type Checkpoint, CheckpointPort } from "./checkpoint.ts"
import * as Order from "./order.ts"
import * as Pace from "./pace.ts"
import { NonNegative, Positive, PositiveInt, Precision, parameter } from "./parameter.ts"
import { flatten, rankedPrompts } from "./ranked-prompts.ts"
import { ReportPort } from "./report.ts"
import { rewards as rewardsOf } from "./score.ts"
import { score } from "./scoring.ts"

const heads = { language: false, scalar: true, temperature: 1 }

/**
 * The head's output times `gain` plus `bias`, folded into the head; both are kept in the checkpoint's state (`rewardGain`, `rewardBias`), over all
 * normalisations so far.
 */
const transformed = ({ state, ...checkpoint }: Checkpoint, gain: number, bias: number): Checkpoint => {
  const weights = { ...checkpoint.weights, values: checkpoint.weights.values.slice() }
  const head = parameterOf(weights, "score.weight")
  head.forEach((value, i) => {
    head[i] = value * gain
  })
  const shift = parameterOf(weights, "score.bias")
  shift[0] = shift[0]! * gain + bias
  const rewardGain = (state?.["rewardGain"] ?? 1) * gain
  const rewardBias = (state?.["rewardBias"] ?? 0) * gain + bias
  return { ...checkpoint, weights, state: { ...state, rewardGain, rewardBias } }
}

/** Gain and bias that give rewards mean 0 and standard deviation 1 (Ziegler et al. 2019, section 2.1), or mean 0 only. */
const normalisation = (rewards: ReadonlyArray<number>, scale: boolean) => {
  const mean = rewards.reduce((sum, r) => sum + r, 0) / rewards.length
  const deviation = Math.sqrt(rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0) / rewards.length)
  const gain = scale ? 1 / Math.max(deviation, 1e-6) : 1
  return { gain, bias: -mean * gain }
}

/**
 * Normalises a reward model on reference samples: answers that the frozen reference gave. InstructGPT shifts only, so that demonstrations score 0:
 * `scale` false.
 */
export const normaliseReward = Operator.make("normalise-reward", {
  description: "Gives a reward model mean 0 and standard deviation 1 on sampled answers",
  params: Schema.Struct({ scale: parameter(Schema.Boolean, true, "whether the standard deviation becomes 1 too") }),
  inputs: { rewardModel: CheckpointPort, completions: Table.of(Completion) },
  outputs: { rewardModel: CheckpointPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const completions = yield* Table.collect(inputs.completions)
    if (completions.length < 2) {
      return yield* new Operator.OperatorError({
        operator: "normalise-reward",
        place: "completions",
        message: `${completions.length} answers have no standard deviation: give at least 2`
      })
    }
    const { bias, gain } = normalisation(yield* rewardsOf(inputs.rewardModel, completions), params.scale)
    yield* stage.report({ metrics: { gain, bias } })
    return { rewardModel: transformed(inputs.rewardModel, gain, bias) }
  })
})

/**
 * Trains on all pairs of each prompt's K answers as one batch element (InstructGPT, eq. 1; K = 2 is Bradley-Terry), learning rate linear to 0. The model
 * it gives has mean 0 and standard deviation 1 on answers that it was trained on. Figures: accuracy, loss and calibration on pairs of held-out prompts.
 */
export const trainReward = Operator.make("reward", {
  description: "Trains a reward model on rankings of answers",
  params: Schema.Struct({
    epochs: parameter(PositiveInt, 1, "times each ranking is seen"),
    batch: parameter(PositiveInt, 16, "prompts an update; each brings its K answers"),
    learningRate: parameter(Positive, 5e-4, "peak learning rate"),
    warmup: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 10, "updates of linear warm-up"),
    weightDecay: parameter(NonNegative, 0.1, "AdamW's decay"),
    margin: parameter(NonNegative, 0, "reward that the better answer of a pair must lead by to cost ln 2"),
    centering: parameter(NonNegative, 0, "weight of the mean of (r_w + r_l)^2, which keeps rewards around 0"),
    normaliseBefore: parameter(
      Schema.Boolean,
      false,
      "whether rewards have mean 0 and standard deviation 1 before the first update too (Ziegler et al. 2019)"
    ),
    microBatch: parameter(PositiveInt, 64, "prompts computed at once; an update adds up as many as it needs"),
    heldOutFraction: parameter(
      Schema.Number.check(Schema.isBetween({ minimum: 0.001, maximum: 0.5 })),
      0.1,
      "share of the prompts whose pairs accuracy is measured on and that are not trained on"
    ),
    precision: Precision,
    seed: parameter(Schema.Int, 1, "of the head's initial weights and the order of the data")
  }),
  inputs: { checkpoint: CheckpointPort, rankings: Table.of(Ranking) },
  outputs: { checkpoint: CheckpointPort, report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const { tokenizer, weights } = inputs.checkpoint
    const { context } = weights.config
    const prompts = yield* rankedPrompts("reward", inputs.rankings, inputs.checkpoint)
    const heldOutCount = Math.max(1, Math.round(prompts.length * params.heldOutFraction))
    const heldOut = flatten(prompts.slice(0, heldOutCount))
    const train = prompts.slice(heldOutCount)
    if (train.length < params.batch) {
      return yield* new Operator.OperatorError({
        operator: "reward",
        place: "rankings",
        message: `${train.length} prompts with a preference to train on are fewer than one batch of ${params.batch}`
      })
    }
    const answersPerPrompt = prompts.reduce((n, p) => Math.max(n, p.sequences.length), 0)
    const length = paddedLength(
      prompts.flatMap((p) => p.sequences),
      { context }
    )

    const saved = yield* stage.resume(CheckpointPort)
    const start = Option.isSome(saved) ? saved.value : undefined
    const sample = flatten(train.slice(0, 256)).sequences
    const rewardsOfSample = (session: Session.Session) =>
      Effect.map(score(session, sample, heads), (all) => all.map((s) => s.last))
    const fresh = Effect.gen(function* () {
      const drawn = withScalarHead(weights, "reward", params.seed)
      if (!params.normaliseBefore) return drawn
      const rewards = yield* Effect.scoped(Effect.flatMap(Session.make(drawn), rewardsOfSample))
      const { bias, gain } = normalisation(rewards, true)
      return transformed({ weights: drawn, tokenizer }, gain, bias).weights
    })
    const session = yield* Session.make(start?.value.weights ?? (yield* fresh), {
      state: start?.value.optimizer,
      precision: params.precision
    })
    const first = start?.step ?? 0
    const steps = params.epochs * Math.floor(train.length / params.batch)
    const rowsOf = Order.rowsOfStep(train.length, params.batch, params.seed)
    const pace = yield* Pace.make(steps)
    for (let step = first; step < steps; step++) {
      const members = Array.from(rowsOf(step), (row) => train[row]!)
      const sums = { loss: 0, right: 0, lead: 0, pairs: 0, tokens: 0 }
      for (let from = 0; from < members.length; from += params.microBatch) {
        const { groups, sequences } = flatten(members.slice(from, from + params.microBatch))
        const batch = pad(sequences, { length, batch: Math.min(params.batch, params.microBatch) * answersPerPrompt })
        const part = yield* session.customLoss(batch, heads, ({ value }) => {
          const rewards = sequences.map((s, b) => value[b * length + s.tokens.length - 1]!)
          const { centering, margin } = params
          const ranking = rankingLoss(rewards, groups, { margin, centering, prompts: members.length })
          const dValue = new Float64Array(value.length)
          sequences.forEach((s, b) => {
            dValue[b * length + s.tokens.length - 1] = ranking.dReward[b]!
          })
          return { ...ranking, dValue }
        })
        sums.loss += part.loss
        sums.right += part.right
        sums.lead += part.margin * part.pairs
        sums.pairs += part.pairs
        sums.tokens += Pace.tokensOf(sequences)
      }
      const { warmup } = params
      const rate = learningRate({ shape: "linear", rate: params.learningRate, steps, warmup, final: 0 }, step)
      const gradientNorm = yield* session.update({ ...adamW, weightDecay: params.weightDecay }, rate)
      const { loss } = sums
      const accuracy = sums.right / sums.pairs
      const margin = sums.lead / sums.pairs
      yield* Pace.refuseDivergence(stage.name, step + 1, loss)
      const learned = { rankings: rangesOf(members.map(({ row }) => row)) }
      yield* stage.learned({ step: step + 1, loss, rows: learned })
      yield* pace.done(step + 1, sums.tokens, { loss, accuracy, margin, learningRate: rate, gradientNorm })
      if (step + 1 === steps) break
      const save = Effect.gen(function* () {
        const value = { weights: yield* session.weights, tokenizer, optimizer: yield* session.optimizerState }
        yield* stage.save(CheckpointPort, { step: step + 1, value })
      })
      yield* pace.save(save)
    }

    const heldRewards = (yield* score(session, heldOut.sequences, heads)).map((s) => s.last)
    const held = rankingLoss(heldRewards, heldOut.groups)
    const { bins, error } = calibration(heldRewards, heldOut.groups)
    const { bias, gain } = normalisation(yield* rewardsOfSample(session), true)
    const least = Math.min(...heldRewards) * gain + bias
    const most = Math.max(...heldRewards) * gain + bias
    const mean = (heldRewards.reduce((sum, r) => sum + r, 0) / heldRewards.length) * gain + bias
    yield* stage.report({
      metrics: {
        heldOutAccuracy: held.accuracy,
        heldOutLoss: held.loss,
        calibrationError: error,
        rewardMinimum: least,
        rewardMean: mean,
        rewardMaximum: most,
        gain,
        bias
      }
    })
    const note = `on ${held.pairs} pairs of ${heldOutCount} held-out prompts`
    return {
      checkpoint: transformed({ weights: yield* session.weights, tokenizer }, gain, bias),
      report: {
        title: "Reward model",
        figures: [
          { name: "reward model accuracy", value: held.accuracy, note },
          { name: "reward model loss", value: held.loss, unit: "nats/pair", note },
          { name: "reward model calibration error", value: error, note: `${note}, ${bins.length} bins` }
        ],
        samples: []
      }
    }
  }, Effect.scoped)
})
