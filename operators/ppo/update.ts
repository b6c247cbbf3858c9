/**
 * One round of PPO: epochs of minibatches over scored answers, with a value head on the policy's trunk or a critic of its own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Batch, pad, paddedLength, type Sequence, targetCount } from "../../src/engine/batch.ts"
import { adaptBeta } from "../../src/engine/loss/advantage.ts"
import { type PpoTargets, policyLoss, ppoLoss, valueLoss } from "../../src/engine/loss/ppo.ts"
import { layout, withScalarHead } from "../../src/engine/model.ts"
import type { AdamW } from "../../src/engine/optimizer.ts"
import * as Session from "../../src/engine/session.ts"
import * as Operator from "../../src/operator/operator.ts"
import { rangesOf } from "../../src/operator/row-ranges.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { adapted } from "../adapter.ts"
import * as AnswerSequence from "../answer-sequence.ts"
import { Experience, type ScoredCompletion } from "../answers.ts"
import type { Checkpoint } from "../checkpoint.ts"
import * as Order from "../order.ts"
import * as Pace from "../pace.ts"
import type { TokenSequence } from "../rows.ts"
import { score, temperatureOf } from "../scoring.ts"
import * as Windows from "../windows.ts"
import {
  type Estimate,
  estimate,
  experienceOf,
  extend,
  rolloutMetrics,
  scaleScores,
  valueMetrics
} from "./experience.ts"
import type { PpoParams } from "./params.ts"
import { PointPort } from "./point.ts"

interface Inputs {
  readonly policy: Checkpoint
  readonly scored: Table.Table<ScoredCompletion>
  readonly critic?: Checkpoint
  readonly pretraining?: Table.Table<TokenSequence>
}

/** Log-probabilities of rollout and training may differ by this before the first update: f32 by rounding, bf16 by its 8 bits. */
const mismatch = { f32: 1e-3, bf16: 0.3 }

const scalars = { language: false, scalar: true, temperature: 1 }

/** The state of the policy that goes on from round to round, beside weights and moments. */
const stateOf = (policy: Checkpoint, params: PpoParams) => {
  const state = policy.state ?? {}
  return {
    beta: state["klCoefficient"] ?? params.klCoefficient,
    updates: state["updates"] ?? 0,
    rounds: state["rounds"] ?? 0,
    history: { count: state["scoreCount"] ?? 0, mean: state["scoreMean"] ?? 0, squares: state["scoreSquares"] ?? 0 }
  }
}

/** The weights that are trained, in the layout's order. */
const trainedOf = ({ config, values }: Checkpoint["weights"]) => values.subarray(0, layout(config).trainable)

/** Rows of targets for the answers of a padded batch. */
const targetsOf = (
  batch: Batch,
  answers: ReadonlyArray<ScoredCompletion>,
  old: ReadonlyArray<Float32Array>,
  estimates: ReadonlyArray<Estimate>
): PpoTargets => {
  const rows = batch.batch * batch.length
  const targets = {
    mask: new Float64Array(rows),
    logProbability: new Float64Array(rows),
    value: new Float64Array(rows),
    advantage: new Float64Array(rows),
    return: new Float64Array(rows)
  }
  answers.forEach((answer, b) => {
    const at = b * batch.length + batch.sequences[b]!.from - 1
    targets.mask.fill(1, at, at + answer.answerTokens.length)
    targets.logProbability.set(answer.logProbabilities, at)
    targets.value.set(old[b]!, at)
    targets.advantage.set(estimates[b]!.advantages, at)
    targets.return.set(estimates[b]!.returns, at)
  })
  return targets
}

/** Adds up the metrics of the parts of a minibatch; what is a maximum stays one. */
const addMetrics = (sums: Record<string, number>, part: Readonly<Record<string, number>>) => {
  for (const [name, value] of Object.entries(part)) {
    const isMaximum = name === "ratioMax" || name === "ratioDeviation"
    sums[name] = isMaximum ? Math.max(sums[name] ?? 0, value) : (sums[name] ?? 0) + value
  }
}

/** Takes a policy and answers it sampled, with scores and reference log-probabilities; gives the policy, the critic where there is one, and the answers as they were learned from. */
export const update = Effect.fnUntraced(function* (operator: string, inputs: Inputs, params: PpoParams) {
  const stage = yield* Stage
  const { critic, policy } = inputs
  const refuse = (place: string, message: string) => new Operator.OperatorError({ operator, place, message })
  const all = yield* Table.collect(inputs.scored)
  const places = [...all.keys()].filter((row) => all[row]!.answerTokens.length > 0)
  const answers = places.map((row) => all[row]!)
  const minibatch = params.minibatch === 0 ? answers.length : params.minibatch
  if (answers.length < Math.max(minibatch, 1)) {
    return yield* refuse(
      "scored",
      `${answers.length} answers are fewer than one minibatch of ${Math.max(minibatch, 1)}`
    )
  }
  const temperature = yield* temperatureOf(operator, "scored", answers)
  if (critic !== undefined && !critic.weights.config.scalarHead) {
    return yield* refuse("critic", "the checkpoint has no scalar head: a critic starts from a reward model")
  }
  if (critic !== undefined && critic.weights.config.vocabulary !== policy.weights.config.vocabulary) {
    const { vocabulary } = critic.weights.config
    return yield* refuse("critic", `it reads ${vocabulary} tokens, the policy ${policy.weights.config.vocabulary}`)
  }
  const stream = inputs.pretraining === undefined ? undefined : yield* Windows.read(inputs.pretraining)
  const { context } = policy.weights.config
  if (stream !== undefined && stream.tokens.length <= context) {
    return yield* refuse("pretraining", `${stream.tokens.length} tokens are too few for one window of ${context}`)
  }

  const { beta, history: earlier, rounds, updates } = stateOf(policy, params)
  const { precision } = params
  const shared = critic === undefined
  const heads = { language: true, scalar: shared, temperature }
  const base = adapted(policy.weights, params, params.seed)
  const initial = shared && !base.config.scalarHead ? withScalarHead(base, "value", params.seed) : base
  const sequences: ReadonlyArray<Sequence> = answers.map((row) =>
    AnswerSequence.join(row.promptTokens, row.answerTokens)
  )
  const point = Option.getOrUndefined(yield* stage.resume(PointPort))
  const open = (weights: Checkpoint["weights"], state: Checkpoint["optimizer"], average?: Float32Array) =>
    Session.make(weights, { state, precision, average })
  const averages = params.averageDecay > 0
  // What the critic was before its first update values the answers anew, so that a stage that goes on sees the same values.
  const valuesOf = (session: Session.Session) =>
    Effect.map(score(session, sequences, scalars), (all) => all.map(({ value }) => value))
  const before = critic === undefined ? initial : adapted(critic.weights, params, params.seed + 1)
  const fresh = point === undefined
  // The average begins with the weights before the first update.
  const { average, optimizer: moments, weights } = fresh ? { ...policy, weights: initial } : point.value.policy
  const session = yield* open(weights, moments, averages ? (average ?? trainedOf(weights)) : undefined)
  const judge = shared
    ? session
    : fresh
      ? yield* open(before, critic?.optimizer)
      : yield* open(point.value.critic!.weights, point.value.critic!.optimizer)
  const old = fresh
    ? yield* valuesOf(judge)
    : yield* Effect.scoped(Effect.flatMap(Session.make(before, { precision }), valuesOf))

  const raw = answers.map((row) => row.reward)
  const history = params.rewardScale === "first" && rounds > 0 ? earlier : extend(earlier, raw)
  const scores = scaleScores(raw, params.rewardScale === "none" ? undefined : history, params.rewardClip)
  const estimateOf = (members: ReadonlyArray<number>) =>
    estimate(
      members.map((i) => answers[i]!),
      members.map((i) => scores[i]!),
      members.map((i) => old[i]!),
      beta,
      params
    )
  const everyone = estimateOf(answers.map((_, i) => i))
  const known = { ...rolloutMetrics(answers, beta), ...valueMetrics(everyone, old) }

  const length = paddedLength(sequences, { context })
  const optimizer: AdamW = {
    beta1: 0.9,
    beta2: params.beta2,
    epsilon: params.adamEpsilon,
    weightDecay: 0,
    maxNorm: params.maxNorm,
    form: params.adamForm
  }
  const steps = params.epochs * Math.floor(answers.length / minibatch)
  const first = point?.step ?? 0
  const rowsOf = Order.rowsOfStep(answers.length, minibatch, params.seed + updates)
  const anneal = (step: number) =>
    params.annealRounds === 0 ? 1 : Math.max(0, 1 - (rounds * steps + step) / (params.annealRounds * steps))
  const pace = yield* Pace.make(steps)
  let metrics: Record<string, number> = {}
  let done = first
  for (let step = first; step < steps; step++) {
    const members = Array.from(rowsOf(step))
    const estimates = params.whitenOver === "batch" ? members.map((i) => everyone[i]!) : estimateOf(members)
    const denominator = members.reduce((n, i) => n + answers[i]!.answerTokens.length, 0)
    const sums: Record<string, number> = {}
    for (let from = 0; from < members.length; from += params.microBatch) {
      const part = members.slice(from, from + params.microBatch)
      const batch = pad(
        part.map((i) => sequences[i]!),
        { length }
      )
      const targets = targetsOf(
        batch,
        part.map((i) => answers[i]!),
        part.map((i) => old[i]!),
        estimates.slice(from, from + params.microBatch)
      )
      const result = shared
        ? yield* session.customLoss(batch, heads, (statistics) => ppoLoss(statistics, targets, params, denominator))
        : yield* session.customLoss(batch, heads, (statistics) => policyLoss(statistics, targets, params, denominator))
      addMetrics(sums, { loss: result.loss, ...result.metrics })
      if (!shared) {
        const value = yield* judge.customLoss(batch, scalars, (statistics) =>
          valueLoss(statistics, targets, params, denominator)
        )
        addMetrics(sums, { loss: value.loss, ...value.metrics })
      }
    }
    if (step === 0 && sums["ratioDeviation"]! > mismatch[precision]) {
      const difference = sums["ratioDeviation"]!.toPrecision(3)
      return yield* refuse(
        "scored",
        `a log-probability of the rollout differs by ${difference} nats from the policy's own: these answers were sampled from another policy, or by another way than log-softmax(logits / ${temperature})`
      )
    }
    if (params.stopAtKl > 0 && sums["approximateKl"]! > params.stopAtKl) {
      metrics = { ...known, ...sums, stoppedAfter: done }
      break
    }
    let mixed = {}
    if (stream !== undefined) {
      const drawn = [params.ptxWindows, context, params.seed, updates + step] as const
      const windows = Windows.random(stream.tokens, ...drawn)
      const starts = Windows.randomStarts(stream.tokens.length, ...drawn)
      mixed = { pretraining: Windows.rowsAt(stream, starts, context) }
      const count = targetCount(windows)
      const loss = yield* session.languageModelLoss(windows, count / params.ptxCoefficient)
      addMetrics(sums, { ptxLoss: loss / params.ptxCoefficient, loss })
    }
    const rate = params.learningRate * anneal(step)
    const gradientNorm = yield* session.update(optimizer, rate)
    if (averages) yield* session.moveAverage(params.averageDecay)
    const criticNorm = shared
      ? {}
      : {
          criticGradientNorm: yield* judge.update(
            optimizer,
            (params.criticLearningRate || params.learningRate) * anneal(step)
          )
        }
    metrics = { ...known, ...sums, learningRate: rate, gradientNorm, ...criticNorm }
    done = step + 1
    yield* Pace.refuseDivergence(stage.name, done, sums["loss"]!)
    const learned = { scored: rangesOf(members.map((i) => places[i]!)), ...mixed }
    yield* stage.learned({ step: done, loss: sums["loss"]!, rows: learned })
    yield* pace.done(done, Pace.tokensOf(members.map((i) => sequences[i]!)), metrics, true)
    if (done === steps) break
    const save = Effect.flatMap(
      checkpoints(session, shared ? undefined : judge, inputs, undefined, averages),
      (value) => stage.save(PointPort, { step: done, value })
    )
    yield* pace.save(save)
  }
  yield* stage.report({ step: steps, steps, metrics })
  const state = {
    klCoefficient:
      params.klTarget > 0 ? adaptBeta(beta, known.kl, params.klTarget, params.klHorizon, answers.length) : beta,
    updates: updates + done,
    rounds: rounds + 1,
    scoreCount: history.count,
    scoreMean: history.mean,
    scoreSquares: history.squares
  }
  const experience = Table.fromRows(Experience, experienceOf(answers, old, everyone), { from: { scored: places } })
  return { ...(yield* checkpoints(session, shared ? undefined : judge, inputs, state, averages)), experience }
}, Effect.scoped)

const checkpoints = Effect.fnUntraced(function* (
  policy: Session.Session,
  critic: Session.Session | undefined,
  inputs: Inputs,
  state: Checkpoint["state"],
  averages: boolean
) {
  const checkpoint = Effect.fnUntraced(function* (session: Session.Session, { tokenizer }: Checkpoint) {
    const value: Checkpoint = {
      weights: yield* session.weights,
      tokenizer,
      optimizer: yield* session.optimizerState,
      state
    }
    return value
  })
  return {
    policy: {
      ...(yield* checkpoint(policy, inputs.policy)),
      average: averages ? yield* policy.average : undefined
    },
    critic: critic === undefined ? undefined : yield* checkpoint(critic, inputs.critic!)
  }
})
