/**
 * A session: one model on a device, with its weights, gradients and optimizer state resident, and its programs compiled once per shape.
 *
 * A session does one thing at a time: its programs share weights and gradients.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { Device, type DeviceError, type Executable, type Memory, type Real } from "../device/device.ts"
import type { Batch } from "./batch.ts"
import type { Precision } from "./graph.ts"
import { invalid, layout, type ModelConfig, ModelError, type Weights } from "./model.ts"
import type { AdamW, OptimizerState } from "./optimizer.ts"
import { elementBytes, type Plan } from "./plan.ts"
import * as Programs from "./programs.ts"
import type { MemoryName, Tensor } from "./tensor.ts"

/** Real numbers as the device holds them. */
export type Reals = Float32Array | Float64Array

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

/** A plan on the device: its arena, and typed access to its ports. */
export interface Loaded {
  readonly executable: (name: string, start?: number, end?: number) => Effect.Effect<Executable, DeviceError>
  readonly write: (port: Tensor, data: ArrayLike<number>) => Effect.Effect<void, DeviceError>
  readonly read: (port: Tensor) => Effect.Effect<Reals, DeviceError>
  readonly readIntegers: (port: Tensor) => Effect.Effect<Int32Array, DeviceError>
}

/** A resident model. */
export interface Session {
  readonly config: ModelConfig
  readonly real: Real
  /** Places a plan beside the resident weights; freed with the session. */
  readonly load: (plan: Plan) => Effect.Effect<Loaded, DeviceError>
  /** The same, made once per key. */
  readonly cached: <A>(key: string, make: () => Effect.Effect<A, DeviceError>) => Effect.Effect<A, DeviceError>
  /**
   * Adds to the gradients those of -(sum of target log-probabilities) / denominator, and returns that loss (nats per target when the
   * denominator is the number of targets of all micro-batches of the step).
   */
  readonly languageModelLoss: (batch: Batch, denominator: number) => Effect.Effect<number, DeviceError | ModelError>
  /** Statistics of a batch, gradients untouched. */
  readonly statistics: (batch: Batch, heads: Programs.Heads) => Effect.Effect<Statistics, DeviceError | ModelError>
  /** Statistics, then a loss of the caller's on them, then its gradients added. */
  readonly customLoss: <L extends LossResult>(
    batch: Batch,
    heads: Programs.Heads,
    loss: (statistics: Statistics) => L
  ) => Effect.Effect<L, DeviceError | ModelError>
  /** One AdamW update from the gradients, which become 0; returns their global norm before clipping. */
  readonly update: (optimizer: AdamW, learningRate: number) => Effect.Effect<number, DeviceError>
  /** The gradients' global norm as they stand. */
  readonly gradientNorm: Effect.Effect<number, DeviceError>
  /** Sets the gradients to 0: the update that they were for is left out. */
  readonly clearGradients: Effect.Effect<void, DeviceError>
  readonly weights: Effect.Effect<Weights, DeviceError>
  readonly optimizerState: Effect.Effect<OptimizerState, DeviceError>
  /** The gradients as they stand, in the layout's order. */
  readonly gradients: Effect.Effect<Reals, DeviceError>
}

/**
 * Puts a model on the device. `state` (default: zeros, step 0) is the optimizer's; `precision` (default f32) is that of the losses' and
 * statistics' programs, while generation is f32. `recompute` (default: where state and activations take over 2 GiB) makes cheap activations again
 * in backward passes. `own` (default false): nobody else needs the weights' buffer, which is freed once the device has
 * them rather than when it is next collected.
 */
export const make = Effect.fnUntraced(function* (
  weights: Weights,
  options: {
    readonly state?: OptimizerState | undefined
    readonly precision?: Precision | undefined
    readonly recompute?: boolean | undefined
    readonly own?: boolean
  } = {}
): Effect.fn.Return<Session, DeviceError | ModelError, Device | Scope.Scope> {
  const { precision = "f32", recompute, state } = options
  const device = yield* Device
  const scope = yield* Effect.scope
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

  if (state !== undefined && state.firstMoment.length !== trainable) {
    return yield* new ModelError({
      place: "state",
      message: `moments of ${state.firstMoment.length} weights for a model that trains ${trainable}: the optimizer's state belongs to another configuration`
    })
  }

  const bytes = (elements: number, type: Tensor["type"] = "real") => elements * elementBytes(type, device.real)
  const reals = (n: number): Reals => (device.real === "f32" ? new Float32Array(n) : new Float64Array(n))
  const single = (data: ArrayLike<number>) => (data instanceof Float32Array ? data : new Float32Array(data))
  const encode = (data: ArrayLike<number>): Reals => (device.real === "f32" ? single(data) : new Float64Array(data))

  const controlElements = 8
  const sizeOf = (name: MemoryName) => (name === "weights" ? count : trainable)
  const memories = new Map<string, Memory>()
  // Caches of one size serve all programs of that size: prefill fills what decode reads.
  const resident = Effect.fnUntraced(function* (name: MemoryName, elements: number) {
    const key = name === "cache" ? `cache ${elements}` : name
    const found = memories.get(key)
    if (found !== undefined) return found
    const memory = yield* device.allocate(bytes(elements)).pipe(Effect.provideService(Scope.Scope, scope))
    memories.set(key, memory)
    return memory
  })
  const extent = (name: MemoryName, plan: Plan) =>
    name === "cache" ? plan.extent(name) : name === "control" ? controlElements : sizeOf(name)
  yield* device.write(yield* resident("weights", count), 0, encode(weights.values))
  if (options.own === true && weights.values.buffer instanceof ArrayBuffer) weights.values.buffer.transfer(0)
  let step = state?.step ?? 0
  if (state !== undefined) {
    yield* device.write(yield* resident("firstMoment", trainable), 0, encode(state.firstMoment))
    yield* device.write(yield* resident("secondMoment", trainable), 0, encode(state.secondMoment))
  }
  const readAll = Effect.fnUntraced(function* (name: MemoryName) {
    const values = reals(sizeOf(name))
    yield* device.read(yield* resident(name, sizeOf(name)), 0, values)
    return values
  })

  const load = Effect.fnUntraced(function* (plan: Plan) {
    const arena = yield* device.allocate(Math.max(plan.arenaBytes, 64)).pipe(Effect.provideService(Scope.Scope, scope))
    const bound: Array<Memory> = []
    for (const name of plan.memories) {
      bound.push(name === "arena" ? arena : yield* resident(name, extent(name, plan)))
    }
    const loaded: Loaded = {
      executable: (name, start, end) =>
        device.compile(plan.program(name, start, end), bound).pipe(Effect.provideService(Scope.Scope, scope)),
      write: (port, data) =>
        device.write(
          arena,
          plan.offset(port),
          port.type === "i32" ? (data instanceof Int32Array ? data : Int32Array.from(data)) : encode(data)
        ),
      read: Effect.fnUntraced(function* (port) {
        const values = reals(port.elements)
        yield* device.read(arena, plan.offset(port), values)
        return values
      }),
      readIntegers: Effect.fnUntraced(function* (port) {
        const values = new Int32Array(port.elements)
        yield* device.read(arena, plan.offset(port), values)
        return values
      })
    }
    return loaded
  })

  const made = new Map<string, unknown>()
  const cached = <A>(key: string, create: () => Effect.Effect<A, DeviceError>): Effect.Effect<A, DeviceError> =>
    Effect.suspend(() =>
      made.has(key)
        ? Effect.succeed(made.get(key) as A)
        : Effect.tap(create(), (value) => Effect.sync(() => made.set(key, value)))
    )

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
  const nameOf = ({ batch, length, starts }: Batch) => `${batch}x${length}${starts === undefined ? "" : " packed"}`
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
        const { plan, ports } = Programs.languageModel(config, extentOf(batch), device.real, precision, recompute)
        const loaded = yield* load(plan)
        yield* loaded.write(ports.positions, positions(batch))
        return { loaded, ports, run: (yield* loaded.executable("languageModel")).run }
      })
    )
    yield* writeInputs(loaded, ports, batch)
    yield* loaded.write(ports.targets, batch.targets)
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
        const program = Programs.statistics(config, extentOf(batch), heads, train, device.real, precision, recompute)
        const loaded = yield* load(program.plan)
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
    const none = reals(0)
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
        return yield* (yield* load(make(config, device.real).plan)).executable(name)
      })
    )

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
      const zeros = reals(batch.batch * batch.length)
      if (language !== undefined) {
        yield* loaded.write(language.dLogProbability, result.dLogProbability ?? zeros)
        yield* loaded.write(language.dEntropy, result.dEntropy ?? zeros)
      }
      if (scalar !== undefined) yield* loaded.write(scalar.dValue, result.dValue ?? zeros)
      yield* program.backward!.run()
      return result
    }),
    update: Effect.fnUntraced(function* (optimizer, learningRate) {
      const { run } = yield* cached(
        `update ${JSON.stringify(optimizer)}`,
        Effect.fnUntraced(function* () {
          return yield* (yield* load(Programs.update(config, optimizer, device.real).plan)).executable("update")
        })
      )
      const control = yield* resident("control", controlElements)
      const t = step + 1
      const settings = [learningRate, 1 - optimizer.beta1 ** t, 1 - optimizer.beta2 ** t, optimizer.weightDecay]
      yield* device.write(control, bytes(4), encode(settings))
      yield* run()
      step = t
      const norm = reals(1)
      yield* device.read(control, 0, norm)
      return norm[0]!
    }),
    gradientNorm: Effect.gen(function* () {
      yield* (yield* flatProgram("gradientNorm", Programs.gradientNorm)).run()
      const norm = reals(1)
      yield* device.read(yield* resident("control", controlElements), 0, norm)
      return norm[0]!
    }),
    clearGradients: Effect.gen(function* () {
      yield* (yield* flatProgram("clearGradients", Programs.clearGradients)).run()
    }),
    weights: Effect.map(readAll("weights"), (values) => ({ config, values: single(values) })),
    optimizerState: Effect.gen(function* () {
      return {
        firstMoment: single(yield* readAll("firstMoment")),
        secondMoment: single(yield* readAll("secondMoment")),
        step
      }
    }),
    gradients: readAll("gradients")
  }
})
