/**
 * Where a model's programs lie on a device: its memories by name, made when a program first wants them, and an arena for each plan.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { DeviceError, DeviceShape, Executable, Memory, Real } from "../device/device.ts"
import { layout, type ModelConfig } from "./model.ts"
import { type OutOfDeviceMemory, outOfMemory, type Wanted } from "./out-of-memory.ts"
import { elementBytes, make as makePlan, type Plan } from "./plan.ts"
import type { Resident } from "./resident.ts"
import type { MemoryName, Tensor } from "./tensor.ts"

/** Real numbers as the device holds them. */
export type Reals = Float32Array | Float64Array

/** So many zeros. */
export const reals = (real: Real, n: number): Reals => (real === "f32" ? new Float32Array(n) : new Float64Array(n))

/** Numbers as f32. */
export const single = (data: ArrayLike<number>): Float32Array =>
  data instanceof Float32Array ? data : new Float32Array(data)

/** Numbers as the device holds them. */
export const encode = (real: Real, data: ArrayLike<number>): Reals =>
  real === "f32" ? single(data) : new Float64Array(data)

/** A device failed, or has no room. */
export type SessionError = DeviceError | OutOfDeviceMemory

/** A plan on the device: its arena, and typed access to its ports. */
export interface Loaded {
  readonly executable: (name: string, start?: number, end?: number) => Effect.Effect<Executable, SessionError>
  readonly write: (port: Tensor, data: ArrayLike<number>) => Effect.Effect<void, DeviceError>
  readonly read: (port: Tensor) => Effect.Effect<Reals, DeviceError>
  readonly readIntegers: (port: Tensor) => Effect.Effect<Int32Array, DeviceError>
}

/** The norm of the gradients, then the optimizer's four settings from element 4. */
const controlElements = 8

/** The placement of a model that is held on a device. */
export const makePlacement = (device: DeviceShape, config: ModelConfig, held: Resident) => {
  const { real } = device
  const { count, trainable } = layout(config)
  const bytes = (elements: number) => elements * elementBytes("real", real)
  const extent = (name: MemoryName, plan: Plan) => {
    if (name === "cache") return plan.extent(name)
    return name === "control" ? controlElements : name === "weights" ? count : trainable
  }
  // Caches of one size serve all programs of that size: prefill fills what decode reads.
  const keyOf = (name: MemoryName, elements: number) => (name === "cache" ? `cache ${elements}` : name)
  const allocated = Effect.fnUntraced(function* (name: MemoryName, elements: number) {
    const key = keyOf(name, elements)
    const found = held.memories.get(key)
    if (found !== undefined) return found
    const memory = yield* held.allocate(bytes(elements))
    held.memories.set(key, memory)
    return memory
  })

  const arenaBytes = (plan: Plan) => Math.max(plan.arenaBytes, 64)
  /** The sizes of a plan's memories: of all, and of those that are not there. */
  const needs = (plan: Plan) => {
    const named = plan.memories.flatMap((name) => (name === "arena" ? [] : [[name, extent(name, plan)] as const]))
    const absent = named.filter(([name, elements]) => !held.memories.has(keyOf(name, elements)))
    const sizes = (of: typeof named) => [arenaBytes(plan), ...of.map(([, elements]) => bytes(elements))]
    return { all: sizes(named), absent: sizes(absent) }
  }
  const sum = (sizes: ReadonlyArray<number>) => sizes.reduce((total, size) => total + size, 0)
  /** Says of what was to be placed, and of what is beside it, where there was no room. */
  const explained = <A>(
    effect: Effect.Effect<A, DeviceError>,
    wanted: Wanted,
    sizes = needs(wanted.plan)
  ): Effect.Effect<A, SessionError> =>
    Effect.catch(effect, (error): Effect.Effect<never, SessionError> => {
      if (error.outOfMemory !== true) return Effect.fail(error)
      const beside = Array.from(held.memories, ([name, { bytes }]) => ({ name, bytes }))
      return Effect.flatMap(
        outOfMemory(device.kind, wanted, { planBytes: sum(sizes.all), wanted: sum(sizes.absent) }, beside, (plan) =>
          held.hasRoom(needs(plan).absent)
        ),
        Effect.fail
      )
    })

  const load = Effect.fnUntraced(function* (plan: Plan, at: Omit<Wanted, "plan"> = { program: "a program" }) {
    const wanted = { ...at, plan }
    // A program of many launches is built, placed, checked and compiled in a turn of the event loop each.
    yield* Effect.yieldNow
    const { arena, memories } = yield* explained(
      Effect.gen(function* () {
        const named = new Map<MemoryName, Memory>()
        for (const name of plan.memories) {
          if (name !== "arena") named.set(name, yield* allocated(name, extent(name, plan)))
        }
        const arena = yield* held.allocate(arenaBytes(plan))
        return { arena, memories: plan.memories.map((name) => named.get(name) ?? arena) }
      }),
      wanted
    )
    const loaded: Loaded = {
      executable: (name, start, end) =>
        Effect.flatMap(Effect.yieldNow, () => {
          const program = plan.program(name, start, end)
          return explained(held.within(device.compile(program, memories)), wanted)
        }),
      write: (port, data) =>
        device.write(
          arena,
          plan.offset(port),
          port.type === "i32" ? (data instanceof Int32Array ? data : Int32Array.from(data)) : encode(real, data)
        ),
      read: Effect.fnUntraced(function* (port) {
        const values = reals(real, port.elements)
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

  /** A memory of the model that no plan decides the size of. */
  const memory = Effect.fnUntraced(function* (name: Exclude<MemoryName, "arena" | "cache">) {
    const plan = makePlan([], real)
    const elements = extent(name, plan)
    const sizes = { all: [bytes(elements)], absent: [bytes(elements)] }
    return yield* explained(allocated(name, elements), { program: `the model's ${name}`, plan }, sizes)
  })

  return {
    load,
    memory,
    readAll: Effect.fnUntraced(function* (name: Exclude<MemoryName, "control" | "cache" | "arena">) {
      const values = reals(real, name === "weights" ? count : trainable)
      yield* device.read(yield* memory(name), 0, values)
      return values
    }),
    cached: <A>(key: string, create: () => Effect.Effect<A, SessionError>): Effect.Effect<A, SessionError> =>
      Effect.suspend(() =>
        held.programs.has(key)
          ? Effect.succeed(held.programs.get(key) as A)
          : Effect.tap(create(), (value) => Effect.sync(() => held.programs.set(key, value)))
      )
  }
}
