/**
 * The CUDA device: kernels compiled for the card on first use; a program is one CUDA graph, replayed off the event loop.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Device, DeviceError } from "../device.ts"
import { chooseCard } from "./card.ts"
import { type CudaOptions, findCuda } from "./describe.ts"

export { type CudaDescription, type CudaOptions, describeCuda } from "./describe.ts"

/** The CUDA device. Fails if there is no driver, card or compiler library, and says what to install. */
export const cuda = (options: CudaOptions = {}): Layer.Layer<Device, DeviceError> => Layer.effect(Device, make(options))

const make = Effect.fnUntraced(function* (options: CudaOptions) {
  const { driver } = yield* findCuda(options)
  const card = chooseCard(driver, options.card ?? 0)
  return yield* new DeviceError({ device: "cuda", operation: "start", message: `${card.name}: not built yet` })
})
