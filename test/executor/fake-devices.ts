/** Devices that only have a name. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Device, DeviceError, type DeviceKind, type DeviceShape } from "../../src/device/device.ts"
import { Devices } from "../../src/device/devices.ts"

/** A device that computes nothing. Those of one model give the same bits. */
export const fake = (kind: DeviceKind, memory: number, model: string = kind): DeviceShape => {
  const none = () => Effect.fail(new DeviceError({ device: kind, operation: "compute", message: "it only has a name" }))
  return {
    kind,
    description: model,
    memory,
    numerics: Effect.succeed(`bits of ${model}`),
    real: "f32",
    allocate: none,
    write: none,
    read: none,
    compile: none
  }
}

/** These devices, the first preferred. */
export const having = (...shapes: ReadonlyArray<DeviceShape>) => {
  const of = (kind: DeviceKind) => {
    const found = shapes.filter((shape) => shape.kind === kind)
    return found.length > 0
      ? Effect.succeed(found)
      : Effect.fail(new DeviceError({ device: kind, operation: "open", message: `this machine has no ${kind}` }))
  }
  return Layer.merge(
    Layer.succeed(Devices, { preferred: shapes[0]!.kind, reason: "", of }),
    Layer.succeed(Device, shapes[0]!)
  )
}
