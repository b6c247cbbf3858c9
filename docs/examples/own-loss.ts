/**
 * A loss of your own: a function of per-token statistics that gives its value and its derivatives. No kernel is touched; the engine runs the forward pass, then the
 * function on a few numbers a token, then the backward pass.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as AnswerSequence from "../../operators/answer-sequence.ts"
import { Demonstration } from "../../operators/answers.ts"
import { CheckpointPort } from "../../operators/checkpoint.ts"
import { NonNegative, Positive, PositiveInt, parameter } from "../../operators/parameter.ts"
import { pad } from "../../src/engine/batch.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import * as Session from "../../src/engine/session.ts"
import * as Operator from "../../src/operator/operator.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"

/**
 * Focal loss (Lin et al. 2017): the mean over tokens of -(1 - p)^gamma log p, which cares less for tokens that are nearly certain. A row without a target (negative) counts for
 * nothing.
 */
export const focalLoss = (logProbability: ArrayLike<number>, targets: ArrayLike<number>, gamma: number) => {
  const dLogProbability = new Float64Array(targets.length)
  let count = 0
  for (let i = 0; i < targets.length; i++) if (targets[i]! >= 0) count++
  let loss = 0
  for (let i = 0; i < targets.length; i++) {
    if (targets[i]! < 0) continue
    const log = logProbability[i]!
    const rest = -Math.expm1(log)
    loss -= (rest ** gamma * log) / count
    // d/dl of -(1 - e^l)^gamma l
    dLogProbability[i] = (gamma * rest ** (gamma - 1) * Math.exp(log) * log - rest ** gamma) / count
  }
  return { loss, dLogProbability }
}

/** Fine-tunes on demonstrations with that loss. */
export const focalTune = Operator.make("focal-tune", {
  description: "Fine-tunes on demonstrations with the focal loss",
  params: Schema.Struct({
    gamma: parameter(NonNegative, 2, "how much less a token counts the likelier it is; 0 is cross-entropy"),
    steps: parameter(PositiveInt, 50, "updates, each on all demonstrations"),
    learningRate: parameter(Positive, 1e-3, "learning rate")
  }),
  inputs: { checkpoint: CheckpointPort, demonstrations: Table.of(Demonstration) },
  outputs: { checkpoint: CheckpointPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const { tokenizer, weights } = inputs.checkpoint
    const rows = yield* Table.collect(inputs.demonstrations)
    const batch = pad(rows.map(({ answer, prompt }) => AnswerSequence.encode(tokenizer, prompt, answer)))
    const heads = { language: true, scalar: false, temperature: 1 }
    const session = yield* Session.make(weights)
    for (let step = 1; step <= params.steps; step++) {
      const { loss } = yield* session.customLoss(batch, heads, ({ logProbability }) =>
        focalLoss(logProbability, batch.targets, params.gamma)
      )
      yield* session.update(adamW, params.learningRate)
      yield* stage.report({ step, steps: params.steps, metrics: { loss } })
    }
    return { checkpoint: { weights: yield* session.weights, tokenizer } }
  }, Effect.scoped)
})
