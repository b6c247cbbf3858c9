/**
 * The cards that a driver offers.
 *
 * @since 0.1.0
 */
import { DeviceError } from "../device.ts"
import { Cuda, check, type Driver } from "./driver.ts"
import type { Card } from "./step.ts"

/** A card, by its ordinal (CUDA_VISIBLE_DEVICES decides which there are). */
export interface CardDescription extends Card {
  readonly ordinal: number
  readonly name: string
  readonly memoryBytes: number
  readonly clockHertz: number
}

const number = (driver: Driver, get: (value: Int32Array) => number): number => {
  const value = new Int32Array(1)
  check(driver, "start", get(value))
  return value[0]!
}

/** All cards, in the driver's order. */
export const cards = (driver: Driver): ReadonlyArray<CardDescription> => {
  const count = number(driver, (value) => driver.cuDeviceGetCount(value))
  return Array.from({ length: count }, (_, ordinal) => {
    const device = number(driver, (value) => driver.cuDeviceGet(value, ordinal))
    const attribute = (which: number) => number(driver, (value) => driver.cuDeviceGetAttribute(value, which, device))
    const name = new Uint8Array(256)
    check(driver, "start", driver.cuDeviceGetName(name, name.length, device))
    const bytes = new BigUint64Array(1)
    check(driver, "start", driver.cuDeviceTotalMem_v2(bytes, device))
    return {
      ordinal,
      name: Buffer.from(name.subarray(0, name.indexOf(0))).toString("utf8"),
      memoryBytes: Number(bytes[0]),
      clockHertz: attribute(Cuda.CU_DEVICE_ATTRIBUTE_CLOCK_RATE) * 1000,
      capability:
        attribute(Cuda.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
        attribute(Cuda.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
      multiprocessors: attribute(Cuda.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
      sharedBytesPerBlock: attribute(Cuda.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
    }
  })
}

/** Tensor cores of bfloat16 and fast asynchronous copies came with it. */
const leastCapability = 80

/** The card that is asked for; fails if there is none, or none that the kernels can run on. */
export const chooseCard = (driver: Driver, ordinal: number): CardDescription => {
  const fail = (message: string) => new DeviceError({ device: "cuda", operation: "start", message })
  const found = cards(driver)
  const card = found[ordinal]
  if (card === undefined) {
    throw fail(`there is no card ${ordinal}: the driver shows ${found.length} (CUDA_VISIBLE_DEVICES hides cards)`)
  }
  if (card.capability < leastCapability) {
    const has = (card.capability / 10).toFixed(1)
    throw fail(`${card.name} has compute capability ${has}: 8.0 (Ampere, 2020) or newer is needed`)
  }
  return card
}

/** FLOP/s of f32 fused multiply-adds outside of tensor cores: lanes a multiprocessor, two operations, clock. */
export const peakFlops = ({ capability, clockHertz, multiprocessors }: CardDescription): number =>
  multiprocessors * (capability === 80 ? 64 : 128) * 2 * clockHertz
