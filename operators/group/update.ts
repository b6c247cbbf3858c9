/**
 * One round of critic-free policy optimisation (GRPO, RLOO) on several scored answers to each prompt.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type Batch, pad, paddedLength } from "../../src/engine/batch.ts"
import { type AdamW, adamW } from "../../src/engine/optimizer.ts"
import * as Session from "../../src/engine/session.ts"
import * as Operator from "../../src/operator/operator.ts"
import { rangesOf } from "../../src/operator/row-ranges.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import * as AnswerSequence from "../answer-sequence.ts"
import type { ScoredCompletion } from "../answers.ts"
import { type Checkpoint, CheckpointPort } from "../checkpoint.ts"
import * as Order from "../order.ts"
import * as Pace from "../pace.ts"
import { NonNegative, Positive, PositiveInt, Precision, parameter } from "../parameter.ts"
import { rolloutMetrics } from "../ppo/experience.ts"
import { temperatureOf } from "../scoring.ts"

/** Parameters that GRPO and RLOO share. */
export const groupParams = {
  epochs: parameter(PositiveInt, 1, "passes over the answers, each in a new order"),
  minibatch: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 0, "answers an update; 0: all of them"),
  microBatch: parameter(PositiveInt, 64, "answers computed at once; an update adds up as many as it needs"),
  learningRate: parameter(Positive, 1e-5, "learning rate"),
  maxNorm: parameter(NonNegative, 1, "global norm that gradients are scaled down to; 0: never"),
  clip: parameter(NonNegative, 0.2, "of the probability ratio"),
  precision: Precision,
  seed: parameter(Schema.Int, 1, "of the order of the answers")
}
const Common = Schema.Struct(groupParams)

/** A part of a minibatch: its rows in a padded batch, and each answer's place in the table. */
export interface Part {
  readonly batch: Batch
  readonly members: ReadonlyArray<number>
  /** The rows of answer b's tokens. */
  readonly rows: (b: number) => { readonly from: number; readonly to: number }
  /** How many answers, and how many of their tokens, the minibatch has in all. */
  readonly answers: number
  readonly tokens: number
}

type Loss = (
  statistics: Session.Statistics,
  part: Part
) => Session.LossResult & { readonly metrics: Readonly<Record<string, number>> }

/** The answers of a table by prompt. A prompt with one answer has nothing to be compared with. */
export const groupsOf = Effect.fnUntraced(function* (operator: string, answers: ReadonlyArray<ScoredCompletion>) {
  const groups = new Map<string, Array<number>>()
  answers.forEach(({ id }, i) => {
    const group = groups.get(id)
    if (group === undefined) groups.set(id, [i])
    else group.push(i)
  })
  for (const [id, members] of groups) {
    if (members.length > 1) continue
    return yield* new Operator.OperatorError({
      operator,
      place: `scored, row ${members[0]} (${id})`,
      message:
        "the prompt has one answer, and its advantage is over the others: let rollout give several (answersPerPrompt)"
    })
  }
  return [...groups.values()]
})

/** `prepare` is given all answers once, and gives the loss of a part of a minibatch. */
export const update = Effect.fnUntraced(function* <E>(
  operator: string,
  inputs: { readonly policy: Checkpoint; readonly scored: Table.Table<ScoredCompletion> },
  params: typeof Common.Type,
  prepare: (answers: ReadonlyArray<ScoredCompletion>) => Effect.Effect<Loss, E>
) {
  const stage = yield* Stage
  const { policy } = inputs
  const all = yield* Table.collect(inputs.scored)
  const places = [...all.keys()].filter((row) => all[row]!.answerTokens.length > 0)
  const answers = places.map((row) => all[row]!)
  const minibatch = params.minibatch === 0 ? answers.length : params.minibatch
  const refuse = (message: string) => new Operator.OperatorError({ operator, place: "scored", message })
  if (answers.length < Math.max(minibatch, 1)) {
    return yield* refuse(`${answers.length} answers are fewer than one minibatch of ${Math.max(minibatch, 1)}`)
  }
  const heads = { language: true, scalar: false, temperature: yield* temperatureOf(operator, "scored", answers) }
  const loss = yield* prepare(answers)
  const sequences = answers.map((row) => AnswerSequence.join(row.promptTokens, row.answerTokens))
  const point = Option.getOrUndefined(yield* stage.resume(CheckpointPort))
  const from = point?.value ?? policy
  const session = yield* Session.make(from.weights, { state: from.optimizer, precision: params.precision })
  const length = paddedLength(sequences, session.config)
  const optimizer: AdamW = { ...adamW, beta2: 0.999, weightDecay: 0, maxNorm: params.maxNorm }
  const steps = params.epochs * Math.floor(answers.length / minibatch)
  const updates = policy.state?.["updates"] ?? 0
  const rowsOf = Order.rowsOfStep(answers.length, minibatch, params.seed + updates)
  const { reward, rewardDeviation, kl, k3, sampledEntropy, tokensPerAnswer } = rolloutMetrics(answers, 0)
  const known = { reward, rewardDeviation, rolloutKl: kl, k3, sampledEntropy, tokensPerAnswer }
  const first = point?.step ?? 0
  const pace = yield* Pace.make(steps)
  for (let step = first; step < steps; step++) {
    const members = Array.from(rowsOf(step))
    const tokens = members.reduce((n, i) => n + answers[i]!.answerTokens.length, 0)
    const sums: Record<string, number> = { loss: 0 }
    for (let start = 0; start < members.length; start += params.microBatch) {
      const some = members.slice(start, start + params.microBatch)
      const batch = pad(
        some.map((i) => sequences[i]!),
        { length }
      )
      const rows = (b: number) => {
        const from = b * length + batch.sequences[b]!.from - 1
        return { from, to: from + answers[some[b]!]!.answerTokens.length }
      }
      const part = { batch, members: some, rows, answers: members.length, tokens }
      const result = yield* session.customLoss(batch, heads, (statistics) => loss(statistics, part))
      sums["loss"]! += result.loss
      for (const [name, value] of Object.entries(result.metrics)) {
        sums[name] = name === "ratioDeviation" ? Math.max(sums[name] ?? 0, value) : (sums[name] ?? 0) + value
      }
    }
    if (step === 0 && sums["ratioDeviation"]! > (params.precision === "f32" ? 1e-3 : 0.3)) {
      return yield* refuse(
        "the log-probabilities of these answers are not the policy's own: they were sampled from another"
      )
    }
    const gradientNorm = yield* session.update(optimizer, params.learningRate)
    yield* Pace.refuseDivergence(stage.name, step + 1, sums["loss"]!)
    const learned = { scored: rangesOf(members.map((i) => places[i]!)) }
    yield* stage.learned({ step: step + 1, loss: sums["loss"]!, rows: learned })
    const read = Pace.tokensOf(members.map((i) => sequences[i]!))
    yield* pace.done(step + 1, read, { ...known, ...sums, gradientNorm }, true)
    if (step + 1 === steps) break
    const save = Effect.gen(function* () {
      const optimizer = yield* session.optimizerState
      const value = { weights: yield* session.weights, tokenizer: policy.tokenizer, optimizer }
      yield* stage.save(CheckpointPort, { step: step + 1, value })
    })
    yield* pace.save(save)
  }
  const checkpoint: Checkpoint = {
    weights: yield* session.weights,
    tokenizer: policy.tokenizer,
    optimizer: yield* session.optimizerState,
    state: { ...policy.state, updates: updates + steps }
  }
  return { policy: checkpoint }
}, Effect.scoped)
