/**
 * The device that a command computes on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Device, DeviceError } from "../device/device.ts"
import type { Graph } from "../pipeline/graph.ts"

/** What was typed about the device. */
export interface DeviceInput {
  readonly device: "auto" | "cpu"
  readonly threads: Option.Option<number>
}

/** The device asked for; `auto` is the CPU, as the only one there is. */
export const layer = ({ threads }: DeviceInput): Layer.Layer<Device, DeviceError> =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("../device/cpu/cpu.ts")),
      ({ cpu }) => cpu(Option.isSome(threads) ? { threads: threads.value } : {})
    )
  )

/** Provides the device where a stage uses one. */
export const withDevice = <A, E, R>(
  graph: Graph<unknown>,
  input: DeviceInput,
  effect: Effect.Effect<A, E, R | Device>
): Effect.Effect<A, E | DeviceError, Exclude<R, Device>> =>
  graph.stages.some(({ operator }) => operator.usesDevice)
    ? Effect.provide(effect, layer(input))
    : (effect as Effect.Effect<A, E, Exclude<R, Device>>)
