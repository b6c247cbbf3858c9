/**
 * What a kernel found wrong with the ids or positions it was given.
 *
 * @since 0.1.0
 */
import { DeviceError, type DeviceShape, type Program } from "./device.ts"

/** Where: the index of the launch and the row; what: the value, which has to be from 0 to limit - 1. */
export type Fault = readonly [launch: number, row: number, value: number, limit: number]

/** The error of a run that ended in a fault, in the same words on every device. */
export const faultError = (
  device: DeviceShape["kind"],
  program: Program,
  [launch, row, value, limit]: Fault
): DeviceError => {
  const kernel = program.launches[launch]?.kernel ?? "unknown"
  const message = `launch ${launch} (${kernel}): row ${row} has ${value}, which is not from 0 to ${limit - 1}`
  return new DeviceError({ device, operation: program.name, message })
}
