/**
 * A session: one model on a device, with its weights, gradients and optimizer state resident, and its programs compiled once per shape.
 *
 * A session does one thing at a time: its programs share weights and gradients.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Device, type Real } from "../device/device.ts"
import type { Batch } from "./batch.ts"
import { contentOf, hasContent, isSame } from "./content.ts"
import type { Precision } from "./graph.ts"
import { invalid, layout, type ModelConfig, ModelError, type Weights } from "./model.ts"
import type { AdamW, OptimizerState } from "./optimizer.ts"
import type { Wanted } from "./out-of-memory.ts"
import { encode, type Loaded, makePlacement, type Reals, reals, type SessionError, single } from "./placement.ts"
import { elementBytes, type Plan } from "./plan.ts"
import * as Programs from "./programs.ts"
import * as Resident from "./resident.ts"

export type { Loaded, Reals, SessionError }

/** Per-row statistics of a batch, real[batch * length]; rows without a target have log-probability and entropy 0. */
export interface Statistics {
  readonly logProbability: Reals
  readonly entropy: Reals
  readonly value: Reals
}

/** A loss over per-row statistics: its value and its derivatives with respect to them (absent: 0 everywhere). */
export interface LossResult {
  readonly loss: number
  readonly dLogProbability?: ArrayLike<number>
  readonly dEntropy?: ArrayLike<number>
  readonly dValue?: ArrayLike<number>
}

/** A resident model. */
export interface Session {
  readonly config: ModelConfig
  readonly real: Real
  /** Places a plan beside the resident weights; it stays there as long as they do. `at` is what an error says of it where there is no room. */
  readonly load: (plan: Plan, at?: Omit<Wanted, "plan">) => Effect.Effect<Loaded, SessionError>
  /** The same, made once per key, which says all that it depends on beside the configuration of the model. */
  readonly cached: <A>(key: string, make: () => Effect.Effect<A, SessionError>) => Effect.Effect<A, SessionError>
  /**
   * Adds to the gradients those of -(sum of target log-probabilities) / denominator, and returns that loss (nats per target when the
   * denominator is the number of targets of all micro-batches of the step).
   */
  readonly languageModelLoss: (batch: Batch, denominator: number) => Effect.Effect<number, SessionError | ModelError>
  /** Statistics of a batch, gradients untouched. */
  readonly statistics: (batch: Batch, heads: Programs.Heads) => Effect.Effect<Statistics, SessionError | ModelError>
  /** Statistics, then a loss of the caller's on them, then its gradients added. */
  readonly customLoss: <L extends LossResult>(
    batch: Batch,
    heads: Programs.Heads,
    loss: (statistics: Statistics) => L
  ) => Effect.Effect<L, SessionError | ModelError>
  /** One AdamW update from the gradients, which become 0; returns their global norm before clipping. */
  readonly update: (optimizer: AdamW, learningRate: number) => Effect.Effect<number, SessionError>
  /**
   * Moves the average of the trained weights: decay * average + (1 - decay) * weights. After an update, so that there are no gradients; of a session that was
   * made with an average.
   */
  readonly moveAverage: (decay: number) => Effect.Effect<void, SessionError>
  /** The average of the trained weights, in the layout's order. */
  readonly average: Effect.Effect<Float32Array, SessionError>
  /** The gradients' global norm as they stand. */
  readonly gradientNorm: Effect.Effect<number, SessionError>
  /** Sets the gradients to 0: the update that they were for is left out. */
  readonly clearGradients: Effect.Effect<void, SessionError>
  /** The weights as they stand. What this and `optimizerState` give must not be changed, only a copy of it: the device keeps the same under its name. */
  readonly weights: Effect.Effect<Weights, SessionError>
  readonly optimizerState: Effect.Effect<OptimizerState, SessionError>
  /** The gradients as they stand, in the layout's order. */
  readonly gradients: Effect.Effect<Reals, SessionError>
}

/**
 * Puts a model on the device. `state` (default: zeros, step 0) is the optimizer's; `precision` (default f32) is that of the losses' and
 * statistics' programs, while generation is f32. `recompute` (default: where state and activations take over 2 GiB) makes cheap activations again
 * in backward passes. `own` (default false): nobody else needs the weights' buffer, which is freed once the device has
 * them rather than when it is next collected. `average` (default: none) is what `moveAverage` begins with.
 *
 * What is on the device already is not written again: the weights and the optimizer's state of a checkpoint that a session before left there (see
 * `Residency`). Nothing is written where it is not known to be the same.
 */
export const make = Effect.fnUntraced(function* (
  weights: Weights,
  options: {
    readonly state?: OptimizerState | undefined
    readonly precision?: Precision | undefined
    readonly recompute?: boolean | undefined
    readonly own?: boolean
    readonly average?: Float32Array | undefined
  } = {}
): Effect.fn.Return<Session, SessionError | ModelError, Device | Scope.Scope> {
  const { precision = "f32", recompute, state } = options
  const device = yield* Device
  const { config } = weights
  const problem = invalid(config)
  if (problem !== null) return yield* problem
  const { count, trainable } = layout(config)
  if (weights.values.length !== count) {
    return yield* new ModelError({
      place: "weights",
      message: `${weights.values.length} values for a model of ${count}: the weights belong to another configuration`
    })
  }

  if (options.average !== undefined && options.average.length !== trainable) {
    return yield* new ModelError({
      place: "average",
      message: `an average of ${options.average.length} weights for a model that trains ${trainable}: it belongs to another configuration`
    })
  }
  if (state !== undefined && state.firstMoment.length !== trainable) {
    return yield* new ModelError({
      place: "state",
      message: `moments of ${state.firstMoment.length} weights for a model that trains ${trainable}: the optimizer's state belongs to another configuration`
    })
  }

  const held = yield* Resident.acquire(config, contentOf(weights.values))
  const { cached, load, memory, readAll } = makePlacement(device, config, held)
  const upload = Effect.fnUntraced(function* (
    name: "weights" | "firstMoment" | "secondMoment" | "average",
    values: Float32Array
  ) {
    yield* device.write(yield* memory(name), 0, encode(device.real, values))
  })

  if (held.weights === undefined) {
    yield* upload("weights", weights.values)
    held.weights = contentOf(weights.values)
  }
  if (options.own === true && weights.values.buffer instanceof ArrayBuffer) weights.values.buffer.transfer(0)
  let step = state?.step ?? 0
  if (state !== undefined) {
    const [first, second] = [contentOf(state.firstMoment), contentOf(state.secondMoment)]
    const { moments } = held
    if (moments === "zero" || !isSame(moments.first, first) || !isSame(moments.second, second)) {
      yield* upload("firstMoment", state.firstMoment)
      yield* upload("secondMoment", state.secondMoment)
      held.moments = { first, second }
    }
  }
  if (options.average !== undefined) yield* upload("average", options.average)
  const check = (batch: Batch) =>
    batch.length > config.context
      ? Effect.fail(
          new ModelError({
            place: "batch.length",
            message: `sequences of ${batch.length} tokens (padded) exceed the model's context of ${config.context}`
          })
        )
      : Effect.void
  const positions = ({ batch, length }: Programs.Extent) =>
    Int32Array.from({ length: batch * length }, (_, i) => i % length)
  const extentOf = ({ batch, length, starts }: Batch): Programs.Extent => ({
    batch,
    length,
    packed: starts !== undefined
  })
  const nameOf = ({ batch, length, starts }: Batch) =>
    `${batch}x${length}${starts === undefined ? "" : " packed"} ${precision} ${recompute ?? ""}`
  /** Ids, and of a packed batch where its texts begin and each row's place in its own. */
  const writeInputs = Effect.fnUntraced(function* (loaded: Loaded, ports: Programs.Inputs, batch: Batch) {
    const { length, starts, tokens } = batch
    yield* loaded.write(ports.ids, tokens)
    if (starts === undefined || ports.starts === undefined) return
    yield* loaded.write(ports.starts, starts)
    yield* loaded.write(
      ports.positions,
      starts.map((start, i) => (i % length) - start)
    )
  })

  const languageModelLoss = Effect.fnUntraced(function* (batch: Batch, denominator: number) {
    yield* check(batch)
    const { loaded, ports, run } = yield* cached(
      `languageModel ${nameOf(batch)}`,
      Effect.fnUntraced(function* () {
        const at = (sequences: number) =>
          Programs.languageModel(config, { ...extentOf(batch), batch: sequences }, device.real, precision, recompute)
        const { plan, ports } = at(batch.batch)
        const planAt = (sequences: number) => at(sequences).plan
        const program = `a training step on sequences of ${batch.length} tokens`
        const loaded = yield* load(plan, { program, batch: batch.batch, planAt })
        yield* loaded.write(ports.positions, positions(batch))
        return { loaded, ports, run: (yield* loaded.executable("languageModel")).run }
      })
    )
    yield* writeInputs(loaded, ports, batch)
    yield* loaded.write(ports.targets, batch.targets)
    held.dirty = true
    yield* loaded.write(
      ports.dLogProbability,
      Float64Array.from(batch.targets, (target) => (target < 0 ? 0 : -1 / denominator))
    )
    yield* run()
    const logProbability = yield* loaded.read(ports.logProbability)
    let sum = 0
    for (const value of logProbability) sum += value
    return -sum / denominator
  })

  const statisticsProgram = (batch: Batch, heads: Programs.Heads, train: boolean) =>
    cached(
      `statistics ${nameOf(batch)} ${JSON.stringify(heads)} ${train}`,
      Effect.fnUntraced(function* () {
        const at = (sequences: number) => {
          const extent = { ...extentOf(batch), batch: sequences }
          return Programs.statistics(config, extent, heads, train, device.real, precision, recompute)
        }
        const program = at(batch.batch)
        const loaded = yield* load(program.plan, {
          program: `${train ? "a training step" : "scoring"} on sequences of ${batch.length} tokens`,
          batch: batch.batch,
          planAt: (sequences) => at(sequences).plan
        })
        yield* loaded.write(program.ports.positions, positions(batch))
        const forward = yield* loaded.executable("forward", 0, program.forwardEnd)
        const backward = train ? yield* loaded.executable("backward", program.forwardEnd) : undefined
        return { ...program, loaded, forward, backward }
      })
    )
  type StatisticsProgram = Effect.Success<ReturnType<typeof statisticsProgram>>
  const runForward = Effect.fnUntraced(function* (program: StatisticsProgram, batch: Batch) {
    const { language, loaded, scalar } = program
    yield* writeInputs(loaded, program.ports, batch)
    if (language !== undefined) yield* loaded.write(language.targets, batch.targets)
    yield* program.forward.run()
    const none = reals(device.real, 0)
    return {
      logProbability: language === undefined ? none : yield* loaded.read(language.logProbability),
      entropy: language === undefined ? none : yield* loaded.read(language.entropy),
      value: scalar === undefined ? none : yield* loaded.read(scalar.value)
    }
  })

  const flatProgram = (name: string, make: (config: ModelConfig, real: Real) => { readonly plan: Plan }) =>
    cached(
      name,
      Effect.fnUntraced(function* () {
        return yield* (yield* load(make(config, device.real).plan, { program: name })).executable(name)
      })
    )

  const clear = (memory: "gradients" | "firstMoment" | "secondMoment") =>
    Effect.flatMap(
      flatProgram(`clear ${memory}`, (config, real) => Programs.clear(config, memory, real)),
      ({ run }) => run()
    )
  const clearGradients = Effect.gen(function* () {
    yield* clear("gradients")
    held.dirty = false
  })
  if (held.dirty) yield* clearGradients
  let ownMoments = state !== undefined
  /** Without a state the moments are 0 from the first update on; a session that makes none leaves those that are there. */
  const freshMoments = Effect.gen(function* () {
    if (!ownMoments && held.moments !== "zero") {
      yield* clear("firstMoment")
      yield* clear("secondMoment")
      held.moments = "zero"
    }
    ownMoments = true
  })

  return {
    config,
    real: device.real,
    load,
    cached,
    languageModelLoss,
    statistics: Effect.fnUntraced(function* (batch, heads) {
      yield* check(batch)
      return yield* runForward(yield* statisticsProgram(batch, heads, false), batch)
    }),
    customLoss: Effect.fnUntraced(function* (batch, heads, loss) {
      yield* check(batch)
      const program = yield* statisticsProgram(batch, heads, true)
      const { language, loaded, scalar } = program
      const result = loss(yield* runForward(program, batch))
      const zeros = reals(device.real, batch.batch * batch.length)
      if (language !== undefined) {
        yield* loaded.write(language.dLogProbability, result.dLogProbability ?? zeros)
        yield* loaded.write(language.dEntropy, result.dEntropy ?? zeros)
      }
      if (scalar !== undefined) yield* loaded.write(scalar.dValue, result.dValue ?? zeros)
      held.dirty = true
      yield* program.backward!.run()
      return result
    }),
    update: Effect.fnUntraced(function* (optimizer, learningRate) {
      const { run } = yield* cached(
        `update ${JSON.stringify(optimizer)}`,
        Effect.fnUntraced(function* () {
          const { plan } = Programs.update(config, optimizer, device.real)
          return yield* (yield* load(plan, { program: "an update" })).executable("update")
        })
      )
      yield* freshMoments
      const control = yield* memory("control")
      const t = step + 1
      const settings = [learningRate, 1 - optimizer.beta1 ** t, 1 - optimizer.beta2 ** t, optimizer.weightDecay]
      yield* device.write(control, 4 * elementBytes("real", device.real), encode(device.real, settings))
      held.weights = undefined
      held.moments = { first: undefined, second: undefined }
      yield* run()
      held.dirty = false
      step = t
      const norm = reals(device.real, 1)
      yield* device.read(control, 0, norm)
      return norm[0]!
    }),
    moveAverage: Effect.fnUntraced(function* (decay) {
      const name = `average ${decay}`
      yield* (yield* flatProgram(name, (config, real) => Programs.average(config, decay, real))).run()
    }),
    average: Effect.map(readAll("average"), single),
    gradientNorm: Effect.gen(function* () {
      yield* (yield* flatProgram("gradientNorm", Programs.gradientNorm)).run()
      const norm = reals(device.real, 1)
      yield* device.read(yield* memory("control"), 0, norm)
      return norm[0]!
    }),
    clearGradients,
    weights: Effect.gen(function* () {
      const values = single(yield* readAll("weights"))
      // What was rounded is not what is on the device.
      if (device.real === "f32") held.weights = hasContent(values, held.weights)
      return { config, values }
    }),
    optimizerState: Effect.gen(function* () {
      yield* freshMoments
      const firstMoment = single(yield* readAll("firstMoment"))
      const secondMoment = single(yield* readAll("secondMoment"))
      if (device.real === "f32") {
        const { first, second } = held.moments === "zero" ? { first: undefined, second: undefined } : held.moments
        held.moments = { first: hasContent(firstMoment, first), second: hasContent(secondMoment, second) }
      }
      return { firstMoment, secondMoment, step }
    }),
    gradients: readAll("gradients")
  }
})
