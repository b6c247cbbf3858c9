/**
 * The TensorFlow.js device: interprets programs on the best backend that is there. It needs no C++ compiler.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Device, DeviceError } from "../device.ts"

/** The backends, best first: TensorFlow's library on a GPU, WebGPU, WebAssembly with SIMD, plain JavaScript. */
export const backendNames = ["node-gpu", "webgpu", "wasm", "js"] as const
export type BackendName = (typeof backendNames)[number]

/** `backend`: `auto`, the first that is there and of use; `cacheDirectory`: see `defaultCache`. */
export interface TfjsOptions {
  readonly backend?: "auto" | BackendName
  readonly cacheDirectory?: string
}

/** What `doctor` says of the TensorFlow.js device: each backend, and what is missing (null: nothing) where it cannot be used. */
export interface TfjsDescription {
  readonly version: string | null
  readonly chosen: BackendName | null
  readonly backends: ReadonlyArray<{
    readonly name: BackendName
    readonly found: string | null
    readonly problem: string | null
  }>
}

/** The TensorFlow.js device. Fails if the backend asked for is missing, and says what to install. */
export const tfjs = (options: TfjsOptions = {}): Layer.Layer<Device, DeviceError> =>
  Layer.effect(
    Device,
    Effect.fail(
      new DeviceError({
        device: "tfjs",
        operation: "start",
        message: `backend ${options.backend ?? "auto"} is not built yet`
      })
    )
  )

/** Looks for the backends. */
export const describeTfjs = (): Effect.Effect<TfjsDescription> =>
  Effect.succeed({ version: null, chosen: null, backends: [] })
