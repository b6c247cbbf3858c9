/**
 * Step 1: supervised fine-tuning on demonstrations. The loss is on the answer's tokens and the end token, never on the prompt.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { pad, type Sequence, targetCount } from "../src/engine/batch.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { adapted, adapterParams } from "./adapter.ts"
import * as AnswerSequence from "./answer-sequence.ts"
import { Demonstration } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import * as Order from "./order.ts"
import * as Pace from "./pace.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { ReportPort } from "./report.ts"
import { encoding } from "./tokenizer/encoding.ts"
import { makeStopper, makeTrainer, recomputing, trainingParams } from "./training.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** Fine-tunes all weights, or low-rank adapters, with AdamW and by default a cosine to 0. Figures: the loss on held-out demonstrations, before and after. */
export const sft = Operator.make("sft", {
  description: "Supervised fine-tuning on demonstrations, loss on answers only",
  params: Schema.Struct({
    epochs: parameter(PositiveInt, 2, "times each demonstration is seen"),
    batch: parameter(PositiveInt, 32, "demonstrations an update"),
    ...trainingParams({ learningRate: 5e-4, warmup: 20, final: 0 }),
    validateEvery: parameter(Count, 0, "updates between measurements of the held-out loss; 0: before and after only"),
    patience: parameter(
      Count,
      0,
      "measurements without a new lowest held-out loss after which training stops; 0: never"
    ),
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
  }),
  inputs: { checkpoint: CheckpointPort, demonstrations: Table.of(Demonstration) },
  outputs: { checkpoint: CheckpointPort, report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const { tokenizer, weights } = inputs.checkpoint
    const { context } = weights.config
    const sequences: Array<Sequence> = []
    let dropped = 0
    for (const [row, { answer, id, prompt }] of (yield* Table.collect(inputs.demonstrations)).entries()) {
      const place = `demonstrations, row ${row} (${id})`
      const refuse = (message: string) => new Operator.OperatorError({ operator: "sft", place, message })
      if (prompt === "") return yield* refuse("the prompt is empty: nothing would come before the answer")
      if (answer === "") return yield* refuse("the answer is empty: no token would be trained")
      const sequence = yield* encoding("sft", place, () => AnswerSequence.encode(tokenizer, prompt, answer))
      if (sequence.tokens.length > context) {
        if (params.overlong === "drop") {
          dropped++
          continue
        }
        return yield* refuse(
          `${sequence.tokens.length} tokens do not fit the model's context of ${context} (overlong: "drop" leaves such rows out)`
        )
      }
      sequences.push(sequence)
    }
    const heldOutCount = Math.max(1, Math.round(sequences.length * params.heldOutFraction))
    const heldOut = sequences.slice(0, heldOutCount)
    const train = sequences.slice(heldOutCount)
    if (train.length < params.batch) {
      return yield* new Operator.OperatorError({
        operator: "sft",
        place: "demonstrations",
        message: `${train.length} demonstrations to train on are fewer than one batch of ${params.batch}`
      })
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
    const steps = params.epochs * Math.floor(train.length / params.batch)
    const tokensPerRow = sequences.reduce((n, s) => n + s.tokens.length, 0) / sequences.length
    const rowsOf = Order.rowsOfStep(train.length, params.batch, params.seed)
    const trainer = makeTrainer(session, params, steps, state)
    const stopper = makeStopper(params.patience, state)
    const pace = yield* Pace.make(first, steps, params.batch * tokensPerRow, yield* Pace.useOf(weights.config))
    for (let step = first; step < steps; step++) {
      const batch = pad(
        Array.from(rowsOf(step), (row) => train[row]!),
        { context }
      )
      const metrics = yield* trainer.update(batch, step)
      yield* Pace.refuseDivergence(stage.name, step + 1, metrics.loss)
      yield* pace.done(step + 1, metrics)
      if (step + 1 === steps) break
      if (params.validateEvery > 0 && (step + 1) % params.validateEvery === 0) {
        const heldOutLoss = yield* evaluate
        yield* stage.report({ step: step + 1, steps, metrics: { heldOutLoss } })
        if (stopper.isOver(heldOutLoss)) break
      }
      if (yield* pace.due) {
        const value = {
          weights: yield* session.weights,
          tokenizer,
          optimizer: yield* session.optimizerState,
          state: { lossBefore: before, ...trainer.state(), ...stopper.state() }
        }
        yield* stage.save(CheckpointPort, { step: step + 1, value })
      }
    }
    const after = yield* evaluate
    yield* stage.report({ metrics: { heldOutLoss: after, heldOutLossBefore: before, dropped } })
    const unit = "nats/token"
    return {
      checkpoint: { weights: yield* session.weights, tokenizer },
      report: {
        title: "Supervised fine-tuning",
        figures: [
          { name: "SFT loss before", value: before, unit, note: `on ${heldOut.length} held-out answers` },
          { name: "SFT loss after", value: after, unit, note: `on ${heldOut.length} held-out answers` }
        ],
        samples: []
      }
    }
  }, Effect.scoped)
})
