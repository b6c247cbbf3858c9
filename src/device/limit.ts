/**
 * A bound on a device's memory.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { DeviceError, type DeviceShape } from "./device.ts"

/** The device with `bytes` of memory: an allocation past them fails as on a device that is full. */
export const limited = (device: DeviceShape, bytes: number): DeviceShape => {
  let used = 0
  const give = (back: number) =>
    Effect.sync(() => {
      used -= back
    })
  return {
    ...device,
    memory: Math.min(bytes, device.memory ?? bytes),
    allocate: (wanted) =>
      Effect.uninterruptible(
        Effect.suspend(() => {
          if (used + wanted > bytes) {
            const message = `${wanted} bytes are not to be had: ${used} of ${bytes} are in use`
            return Effect.fail(
              new DeviceError({ device: device.kind, operation: "allocate", message, outOfMemory: true })
            )
          }
          used += wanted
          return device.allocate(wanted).pipe(
            Effect.onError(() => give(wanted)),
            Effect.tap(() => Effect.addFinalizer(() => give(wanted)))
          )
        })
      )
  }
}
