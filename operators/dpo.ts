/**
 * Direct preference optimisation: from rankings to a policy, without a reward model or sampling.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { pad, paddedLength } from "../src/engine/batch.ts"
import { dpoLoss } from "../src/engine/loss/dpo.ts"
import { type AdamW, adamW } from "../src/engine/optimizer.ts"
import { learningRate } from "../src/engine/schedule.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { rangesOf } from "../src/operator/row-ranges.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Ranking } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import * as Order from "./order.ts"
import * as Pace from "./pace.ts"
import { NonNegative, Part, Positive, PositiveInt, Precision, parameter } from "./parameter.ts"
import { flatten, rankedPrompts } from "./ranked-prompts.ts"
import { ReportPort } from "./report.ts"
import { score, sum } from "./scoring.ts"

const heads = { language: true, scalar: false, temperature: 1 }

/**
 * All pairs of a prompt's K answers are one batch element, as for the reward model. `reference` is frozen; give the SFT checkpoint twice. Figures: loss and accuracy of the implied
 * reward on held-out prompts, before (ln 2 and a half where policy and reference are the same) and after.
 */
export const dpo = Operator.make("dpo", {
  description: "Optimises a policy on rankings directly",
  params: Schema.Struct({
    beta: parameter(Positive, 0.1, "reward per nat that a policy's answer is likelier than the reference's"),
    epochs: parameter(PositiveInt, 1, "times each ranking is seen"),
    batch: parameter(PositiveInt, 16, "prompts an update; each brings its K answers"),
    microBatch: parameter(PositiveInt, 64, "prompts computed at once; an update adds up as many as it needs"),
    learningRate: parameter(Positive, 1e-5, "peak learning rate; it falls in a line to 0"),
    warmup: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 10, "updates of linear warm-up"),
    maxNorm: parameter(NonNegative, 1, "global norm that gradients are scaled down to; 0: never"),
    heldOutFraction: parameter(Part, 0.1, "share of the prompts that figures are of and that are not trained on"),
    precision: Precision,
    seed: parameter(Schema.Int, 1, "of the order of the data")
  }),
  inputs: { policy: CheckpointPort, reference: CheckpointPort, rankings: Table.of(Ranking) },
  outputs: { policy: CheckpointPort, report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const { policy } = inputs
    const prompts = yield* rankedPrompts("dpo", inputs.rankings, policy)
    const heldOutCount = Math.max(1, Math.round(prompts.length * params.heldOutFraction))
    const train = prompts.slice(heldOutCount)
    if (train.length < params.batch) {
      return yield* new Operator.OperatorError({
        operator: "dpo",
        place: "rankings",
        message: `${train.length} prompts with a preference to train on are fewer than one batch of ${params.batch}`
      })
    }
    const heldOut = flatten(prompts.slice(0, heldOutCount))
    const totals = Effect.fnUntraced(function* (session: Session.Session, of: typeof heldOut) {
      return (yield* score(session, of.sequences, heads)).map((s) => sum(s.logProbability))
    })
    const frozen = yield* Effect.scoped(
      Effect.gen(function* () {
        const session = yield* Session.make(inputs.reference.weights)
        const all = yield* totals(session, flatten(train))
        let end = 0
        const ofPrompt = train.map(({ ranks }) => {
          end += ranks.length
          return all.slice(end - ranks.length, end)
        })
        return { ofPrompt, heldOut: yield* totals(session, heldOut) }
      })
    )
    const point = Option.getOrUndefined(yield* stage.resume(CheckpointPort))
    const { precision } = params
    const from = point?.value ?? policy
    const session = yield* Session.make(from.weights, { state: point?.value.optimizer, precision })
    const evaluate = Effect.map(totals(session, heldOut), (all) => dpoLoss(all, frozen.heldOut, heldOut.groups, params))
    const state = point?.value.state
    const before =
      state === undefined
        ? yield* evaluate
        : { loss: state["lossBefore"]!, accuracy: state["accuracyBefore"]!, pairs: 0 }
    const length = paddedLength(
      prompts.flatMap((p) => p.sequences),
      session.config
    )
    const answersPerPrompt = prompts.reduce((n, p) => Math.max(n, p.sequences.length), 0)
    const optimizer: AdamW = { ...adamW, beta2: 0.999, weightDecay: 0, maxNorm: params.maxNorm }
    const steps = params.epochs * Math.floor(train.length / params.batch)
    const rowsOf = Order.rowsOfStep(train.length, params.batch, params.seed)
    const first = point?.step ?? 0
    const pace = yield* Pace.make(steps)
    for (let step = first; step < steps; step++) {
      const rows = Array.from(rowsOf(step))
      const sums = { loss: 0, right: 0, lead: 0, pairs: 0, tokens: 0 }
      for (let start = 0; start < rows.length; start += params.microBatch) {
        const some = rows.slice(start, start + params.microBatch)
        const { groups, sequences } = flatten(some.map((row) => train[row]!))
        const known = some.flatMap((row) => frozen.ofPrompt[row]!)
        const batch = pad(sequences, { length, batch: Math.min(params.batch, params.microBatch) * answersPerPrompt })
        const part = yield* session.customLoss(batch, heads, ({ logProbability }) => {
          const rowsOfAnswer = sequences.map(
            ({ from, tokens }, b) => [b * length + from - 1, b * length + tokens.length - 1] as const
          )
          const ours = rowsOfAnswer.map(([from, to]) => sum(logProbability.subarray(from, to)))
          const { dLogProbability: slopes, ...result } = dpoLoss(ours, known, groups, {
            beta: params.beta,
            prompts: rows.length
          })
          const dLogProbability = new Float64Array(logProbability.length)
          rowsOfAnswer.forEach(([from, to], b) => {
            dLogProbability.fill(slopes[b]!, from, to)
          })
          return { ...result, dLogProbability }
        })
        sums.loss += part.loss
        sums.right += part.right
        sums.lead += part.margin * part.pairs
        sums.pairs += part.pairs
        sums.tokens += Pace.tokensOf(sequences)
      }
      const rate = learningRate(
        { shape: "linear", rate: params.learningRate, steps, warmup: params.warmup, final: 0 },
        step
      )
      const gradientNorm = yield* session.update(optimizer, rate)
      yield* Pace.refuseDivergence(stage.name, step + 1, sums.loss)
      const learned = { rankings: rangesOf(rows.map((row) => train[row]!.row)) }
      yield* stage.learned({ step: step + 1, loss: sums.loss, rows: learned })
      const shown = { loss: sums.loss, accuracy: sums.right / sums.pairs, margin: sums.lead / sums.pairs }
      yield* pace.done(step + 1, sums.tokens, { ...shown, learningRate: rate, gradientNorm })
      if (step + 1 === steps) break
      const save = Effect.gen(function* () {
        const value = {
          weights: yield* session.weights,
          tokenizer: policy.tokenizer,
          optimizer: yield* session.optimizerState,
          state: { lossBefore: before.loss, accuracyBefore: before.accuracy }
        }
        yield* stage.save(CheckpointPort, { step: step + 1, value })
      })
      yield* pace.save(save)
    }
    const after = yield* evaluate
    yield* stage.report({
      metrics: {
        heldOutLossBefore: before.loss,
        heldOutLoss: after.loss,
        heldOutAccuracyBefore: before.accuracy,
        heldOutAccuracy: after.accuracy
      }
    })
    const note = `on ${after.pairs} pairs of ${heldOutCount} held-out prompts`
    return {
      policy: { weights: yield* session.weights, tokenizer: policy.tokenizer },
      report: {
        title: "Direct preference optimisation",
        figures: [
          { name: "DPO loss before", value: before.loss, unit: "nats/pair", note },
          { name: "DPO loss after", value: after.loss, unit: "nats/pair", note },
          { name: "DPO accuracy after", value: after.accuracy, note }
        ],
        samples: []
      }
    }
  }, Effect.scoped)
})
