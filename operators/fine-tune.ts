/**
 * Fine-tuning of a checkpoint on sequences of which some tokens are trained: what SFT on demonstrations and on dialogues have in common.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { pack, pad, padPacked, predicted, type Sequence, targetCount } from "../src/engine/batch.ts"
import * as Session from "../src/engine/session.ts"
import { OperatorError } from "../src/operator/operator.ts"
import { rangesOf } from "../src/operator/row-ranges.ts"
import { Stage } from "../src/operator/stage.ts"
import { adapted, adapterParams } from "./adapter.ts"
import * as Errors from "./chat/errors.ts"
import { type Checkpoint, CheckpointPort } from "./checkpoint.ts"
import * as Order from "./order.ts"
import * as Pace from "./pace.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { makeStopper, makeTrainer, recomputing, trainingParams } from "./training.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** Parameters of fine-tuning. */
export const FineTuneParams = Schema.Struct({
  epochs: parameter(PositiveInt, 2, "times each demonstration is seen"),
  batch: parameter(PositiveInt, 32, "demonstrations an update; with packing, rows of the context's length"),
  packing: parameter(
    Schema.Boolean,
    false,
    "whether short demonstrations share a row of the context's length; they see nothing of each other"
  ),
  ...trainingParams({ learningRate: 5e-4, warmup: 20, final: 0 }),
  validateEvery: parameter(Count, 0, "updates between measurements of the held-out loss; 0: before and after only"),
  patience: parameter(Count, 0, "measurements without a new lowest held-out loss after which training stops; 0: never"),
  heldOutFraction: parameter(
    Schema.Number.check(Schema.isBetween({ minimum: 0.001, maximum: 0.5 })),
    0.05,
    "share of the demonstrations that losses are measured on and that are not trained on"
  ),
  overlong: parameter(
    Schema.Literals(["error", "drop"]),
    "error",
    "what becomes of a demonstration longer than the context; how many were dropped is reported"
  ),
  ...adapterParams,
  seed: parameter(Schema.Int, 1, "of the order of the data and of fresh adapters")
})
type FineTuneParams = typeof FineTuneParams.Type

/** A sequence with the place of the row it came from. */
export interface Row {
  readonly place: string
  readonly sequence: Sequence
}

/** The sequences that can be trained on, and how many were too long; fails with the row of one that is not in order. */
const admit = Effect.fnUntraced(function* (
  operator: string,
  rows: ReadonlyArray<Row>,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
  overlong: "error" | "drop"
) {
  const sequences: Array<{ readonly row: number; readonly sequence: Sequence }> = []
  for (const [row, { place, sequence }] of rows.entries()) {
    const { tokens } = sequence
    if (tokens.length > context) {
      if (overlong === "drop") continue
      const message = `${tokens.length} tokens do not fit the model's context of ${context} (overlong: "drop" leaves such rows out)`
      return yield* new OperatorError({ operator, place, message })
    }
    const bad = tokens.findIndex((token) => token < 0 || token >= vocabulary)
    if (bad >= 0) {
      const message = `token ${bad} is ${tokens[bad]}, the model's vocabulary is 0 to ${vocabulary - 1}: it was encoded with another tokenizer`
      return yield* new Errors.TokenOutOfRange({ operator, place, message })
    }
    if (predicted(sequence) === 0) {
      const message = "no token of the row would be trained (the first token of a row is read, never predicted)"
      return yield* new Errors.NoTrainedToken({ operator, place, message })
    }
    sequences.push({ row, sequence })
  }
  return { sequences, dropped: rows.length - sequences.length }
})

/** Trains, and measures the loss on held-out rows before and after. `input` is the port that the rows came through. */
export const fineTune = Effect.fnUntraced(function* (
  operator: string,
  input: string,
  checkpoint: Checkpoint,
  rows: ReadonlyArray<Row>,
  params: FineTuneParams
) {
  const stage = yield* Stage
  const { tokenizer, weights } = checkpoint
  const { context } = weights.config
  const { dropped, sequences } = yield* admit(operator, rows, weights.config, params.overlong)
  const heldOutCount = Math.max(1, Math.round(sequences.length * params.heldOutFraction))
  const heldOut = sequences.slice(0, heldOutCount).map(({ sequence }) => sequence)
  const train = sequences.slice(heldOutCount)
  const packed = params.packing
    ? pack(
        train.map(({ sequence }) => sequence.tokens.length),
        context
      ).map((members) => members.map((i) => train[i]!))
    : train.map((each) => [each])
  if (packed.length < params.batch) {
    const what = params.packing
      ? `${train.length} ${input} to train on fill ${packed.length} rows,`
      : `${train.length} ${input} to train on are`
    const message = `${what} fewer than one batch of ${params.batch}`
    return yield* new OperatorError({ operator, place: input, message })
  }
  const saved = yield* stage.resume(CheckpointPort)
  const start = Option.isSome(saved) ? saved.value : undefined
  const session = yield* Session.make(start?.value.weights ?? adapted(weights, params, params.seed), {
    state: start?.value.optimizer,
    precision: params.precision,
    recompute: recomputing(params)
  })
  const evaluate = Effect.gen(function* () {
    let sum = 0
    let count = 0
    for (let from = 0; from < heldOut.length; from += params.batch) {
      const batch = pad(heldOut.slice(from, from + params.batch), { batch: params.batch, context })
      const { logProbability } = yield* session.statistics(batch, { language: true, scalar: false, temperature: 1 })
      for (const value of logProbability) sum -= value
      count += targetCount(batch)
    }
    return sum / count
  })
  const state = start?.value.state ?? {}
  const before = state["lossBefore"] ?? (yield* evaluate)
  const first = start?.step ?? 0
  const steps = params.epochs * Math.floor(packed.length / params.batch)
  const rowsOf = Order.rowsOfStep(packed.length, params.batch, params.seed)
  const trainer = makeTrainer(session, params, steps, state)
  const stopper = makeStopper(params.patience, state)
  const pace = yield* Pace.make(steps, yield* Pace.useOf(weights.config))
  for (let step = first; step < steps; step++) {
    const members = Array.from(rowsOf(step), (row) => packed[row]!)
    const of = members.map((row) => row.map(({ sequence }) => sequence))
    const batch = params.packing ? padPacked(of, context) : pad(of.flat(), { context })
    const metrics = yield* trainer.update(batch, step)
    yield* Pace.refuseDivergence(stage.name, step + 1, metrics.loss)
    const learned = { [input]: rangesOf(members.flat().map(({ row }) => row)) }
    yield* stage.learned({ step: step + 1, loss: metrics.loss, rows: learned })
    yield* pace.done(step + 1, Pace.tokensOf(of.flat()), metrics)
    if (step + 1 === steps) break
    if (params.validateEvery > 0 && (step + 1) % params.validateEvery === 0) {
      const heldOutLoss = yield* pace.aside(evaluate)
      yield* stage.report({ step: step + 1, steps, metrics: { heldOutLoss } })
      if (stopper.isOver(heldOutLoss)) break
    }
    const save = Effect.gen(function* () {
      const value = {
        weights: yield* session.weights,
        tokenizer,
        optimizer: yield* session.optimizerState,
        state: { lossBefore: before, ...trainer.state(), ...stopper.state() }
      }
      yield* stage.save(CheckpointPort, { step: step + 1, value })
    })
    yield* pace.save(save)
  }
  const after = yield* evaluate
  yield* stage.report({ metrics: { heldOutLoss: after, heldOutLossBefore: before, dropped } })
  const unit = "nats/token"
  const note = `on ${heldOut.length} held-out answers`
  return {
    checkpoint: { weights: yield* session.weights, tokenizer },
    report: {
      title: "Supervised fine-tuning",
      figures: [
        { name: "SFT loss before", value: before, unit, note },
        { name: "SFT loss after", value: after, unit, note }
      ],
      samples: []
    }
  }
}, Effect.scoped)
