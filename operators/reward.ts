/**
 * Step 2: a reward model from rankings. It starts from a language model's trunk with a fresh scalar head, read at the last token.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { pad, type Sequence } from "../src/engine/batch.ts"
import { type Ranking as Group, rankingLoss } from "../src/engine/loss/ranking.ts"
import { parameter as parameterOf, type Weights, withScalarHead } from "../src/engine/model.ts"
import { adamW, learningRate } from "../src/engine/optimizer.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import * as AnswerSequence from "./answer-sequence.ts"
import { Ranking } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import * as Order from "./order.ts"
import * as Pace from "./pace.ts"
import { NonNegative, Positive, PositiveInt, Precision, parameter } from "./parameter.ts"
import { ReportPort } from "./report.ts"
import { score } from "./scoring.ts"
import { encoding } from "./tokenizer/encoding.ts"

const heads = { language: false, scalar: true, temperature: 1 }

interface RankedPrompt {
  readonly sequences: ReadonlyArray<Sequence>
  readonly ranks: ReadonlyArray<number>
}

/** The groups of several ranked prompts over one flat list of their sequences. */
const flatten = (prompts: ReadonlyArray<RankedPrompt>) => {
  const sequences: Array<Sequence> = []
  const groups: Array<Group> = []
  for (const { ranks, sequences: answers } of prompts) {
    groups.push({ members: answers.map((_, k) => sequences.length + k), ranks })
    sequences.push(...answers)
  }
  return { sequences, groups }
}

/** Shifts and scales the head so that rewards have mean 0 and standard deviation 1 on the sample (Ziegler et al. 2019, section 2.1). */
const normalise = (weights: Weights, rewards: ReadonlyArray<number>): Weights => {
  const mean = rewards.reduce((sum, r) => sum + r, 0) / rewards.length
  const deviation = Math.sqrt(rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0) / rewards.length)
  const gain = 1 / Math.max(deviation, 1e-6)
  const normalised = { ...weights, values: weights.values.slice() }
  const weight = parameterOf(normalised, "score.weight")
  weight.forEach((value, i) => {
    weight[i] = value * gain
  })
  const bias = parameterOf(normalised, "score.bias")
  bias[0] = (bias[0]! - mean) * gain
  return normalised
}

/**
 * Trains on all pairs of each prompt's K answers as one batch element (InstructGPT, eq. 1), learning rate linear to 0. Figures: accuracy on
 * pairs of held-out prompts.
 */
export const trainReward = Operator.make("reward", {
  description: "Trains a reward model on rankings of answers",
  params: Schema.Struct({
    epochs: parameter(PositiveInt, 1, "times each ranking is seen"),
    batch: parameter(PositiveInt, 16, "prompts an update; each brings its K answers"),
    learningRate: parameter(Positive, 5e-4, "peak learning rate"),
    warmup: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 10, "updates of linear warm-up"),
    weightDecay: parameter(NonNegative, 0.1, "AdamW's decay"),
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
    const prompts: Array<RankedPrompt> = []
    for (const [row, { answers, id, prompt, ranks }] of (yield* Table.collect(inputs.rankings)).entries()) {
      const place = `rankings, row ${row} (${id})`
      const refuse = (message: string) => new Operator.OperatorError({ operator: "reward", place, message })
      if (answers.length !== ranks.length) {
        return yield* refuse(`${answers.length} answers have ${ranks.length} ranks: each answer needs one`)
      }
      const sequences = yield* encoding("reward", place, () =>
        answers.map((answer) => AnswerSequence.encode(tokenizer, prompt, answer))
      )
      const longest = Math.max(...sequences.map((s) => s.tokens.length), 0)
      if (longest > context) return yield* refuse(`${longest} tokens do not fit the model's context of ${context}`)
      // A prompt whose answers all tie says nothing.
      if (new Set(ranks).size > 1) prompts.push({ sequences, ranks })
    }
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
    const longest = prompts.reduce((n, p) => p.sequences.reduce((m, s) => Math.max(m, s.tokens.length), n), 0)
    const length = Math.min(context, Math.ceil(longest / 16) * 16)

    const saved = yield* stage.resume(CheckpointPort)
    const start = Option.isSome(saved) ? saved.value : undefined
    const session = yield* Session.make(start?.value.weights ?? withScalarHead(weights, "reward", params.seed), {
      state: start?.value.optimizer,
      precision: params.precision
    })
    const first = start?.step ?? 0
    const steps = params.epochs * Math.floor(train.length / params.batch)
    const rowsOf = Order.rowsOfStep(train.length, params.batch, params.seed)
    const pace = yield* Pace.make(first, steps, params.batch * answersPerPrompt * length)
    for (let step = first; step < steps; step++) {
      const { groups, sequences } = flatten(Array.from(rowsOf(step), (row) => train[row]!))
      const batch = pad(sequences, { length, batch: params.batch * answersPerPrompt })
      const result = yield* session.customLoss(batch, heads, ({ value }) => {
        const rewards = sequences.map((s, b) => value[b * length + s.tokens.length - 1]!)
        const ranking = rankingLoss(rewards, groups)
        const dValue = new Float64Array(value.length)
        sequences.forEach((s, b) => {
          dValue[b * length + s.tokens.length - 1] = ranking.dReward[b]!
        })
        return { ...ranking, dValue }
      })
      const rate = learningRate("linear", params.learningRate, step, steps, params.warmup, 0)
      const gradientNorm = yield* session.update({ ...adamW, weightDecay: params.weightDecay }, rate)
      const { accuracy, loss, margin } = result
      yield* Pace.refuseDivergence(stage.name, step + 1, loss)
      yield* pace.done(step + 1, { loss, accuracy, margin, learningRate: rate, gradientNorm })
      if (step + 1 < steps && (yield* pace.due)) {
        const value = { weights: yield* session.weights, tokenizer, optimizer: yield* session.optimizerState }
        yield* stage.save(CheckpointPort, { step: step + 1, value })
      }
    }

    const held = rankingLoss(
      (yield* score(session, heldOut.sequences, heads)).map((s) => s.last),
      heldOut.groups
    )
    const sample = flatten(train.slice(0, 256)).sequences
    const rewards = (yield* score(session, sample, heads)).map((s) => s.last)
    yield* stage.report({ metrics: { heldOutAccuracy: held.accuracy, heldOutLoss: held.loss } })
    const note = `on ${held.pairs} pairs of ${heldOutCount} held-out prompts`
    return {
      checkpoint: { weights: normalise(yield* session.weights, rewards), tokenizer },
      report: {
        title: "Reward model",
        figures: [
          { name: "reward model accuracy", value: held.accuracy, note },
          { name: "reward model loss", value: held.loss, unit: "nats/pair", note }
        ],
        samples: []
      }
    }
  }, Effect.scoped)
})
