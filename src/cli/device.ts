/**
 * The device that a command computes on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Device, type DeviceError, type DeviceKind } from "../device/device.ts"
import { Devices, devices } from "../device/devices.ts"
import type { Graph } from "../pipeline/graph.ts"

/** What was typed about the device. */
export interface DeviceInput {
  readonly device: "auto" | DeviceKind
  readonly threads: Option.Option<number>
}

/** The devices of this machine, that which was asked for before the others. */
export const layer = ({ device, threads }: DeviceInput): Layer.Layer<Device | Devices, DeviceError> =>
  devices({ device, cpu: Option.isSome(threads) ? { threads: threads.value } : {} })

/** Provides the devices where a stage uses one. */
export const withDevice = <A, E, R>(
  graph: Graph<unknown>,
  input: DeviceInput,
  effect: Effect.Effect<A, E, R | Device>
): Effect.Effect<A, E | DeviceError, Exclude<R, Device | Devices>> =>
  graph.stages.some(({ operator }) => operator.usesDevice)
    ? Effect.provide(effect, layer(input))
    : (effect as Effect.Effect<A, E, Exclude<R, Device | Devices>>)

/** The device in words, and why it was taken; empty where none is needed. */
export const deviceInWords: Effect.Effect<string> = Effect.gen(function* () {
  const device = Option.getOrUndefined(yield* Effect.serviceOption(Device))
  if (device === undefined) return ""
  const reason = Option.match(yield* Effect.serviceOption(Devices), { onNone: () => "", onSome: (all) => all.reason })
  return `${device.kind}: ${device.description}${reason === "" ? "" : ` (${reason})`}`
})
