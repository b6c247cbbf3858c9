/**
 * The devices of this machine: which there are, and the best of them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { CpuOptions } from "./cpu/cpu.ts"
import type { CudaOptions } from "./cuda/describe.ts"
import { Device, DeviceError, type DeviceKind, type DeviceShape, deviceKinds } from "./device.ts"
import type { TfjsOptions } from "./tfjs/tfjs.ts"

/**
 * What can be computed on. `preferred` is the kind for whom names none, `reason` why it was taken (empty: it was asked for); `of` has all devices of a
 * kind, opened once, and fails where there is none, saying why.
 */
export class Devices extends Context.Service<
  Devices,
  {
    readonly preferred: DeviceKind
    readonly reason: string
    readonly of: (kind: DeviceKind) => Effect.Effect<ReadonlyArray<DeviceShape>, DeviceError>
  }
>()("ptmflow/device/Devices") {}

/** `device`: `auto`, the best that there is; and what each kind is opened with. */
export interface DevicesOptions {
  readonly device?: DeviceKind | "auto"
  readonly cpu?: CpuOptions
  readonly cuda?: Omit<CudaOptions, "card">
  readonly tfjs?: TfjsOptions
}

/** A layer's device, until the scope closes. */
const built = (layer: Layer.Layer<Device, DeviceError>) =>
  Effect.flatMap(Effect.scope, (scope) =>
    Effect.map(Layer.buildWithScope(layer, scope), (context) => Context.get(context, Device))
  )

/** A device's module. It may lack what it is made of on this machine: a native library, an optional package. */
const loaded = <A>(device: DeviceKind, load: () => Promise<A>) =>
  Effect.tryPromise({
    try: load,
    catch: (cause) => new DeviceError({ device, operation: "load", message: `it cannot be loaded: ${String(cause)}` })
  })

/** Modules of devices are loaded here: a run in which nothing computes loads none. */
const opening = (
  options: DevicesOptions
): { readonly [K in DeviceKind]: Effect.Effect<ReadonlyArray<DeviceShape>, DeviceError, Scope.Scope> } => ({
  cpu: Effect.gen(function* () {
    const { cpu } = yield* loaded("cpu", () => import("./cpu/cpu.ts"))
    return [yield* built(cpu(options.cpu))]
  }),
  cuda: Effect.gen(function* () {
    const { describeCuda } = yield* loaded("cuda", () => import("./cuda/describe.ts"))
    const { cards, problem } = yield* describeCuda(options.cuda)
    if (problem !== null) return yield* new DeviceError({ device: "cuda", operation: "start", message: problem })
    const { cuda } = yield* loaded("cuda", () => import("./cuda/cuda.ts"))
    // A machine may have a card that is too old beside those that are not.
    const opened = yield* Effect.forEach(cards, ({ ordinal }) =>
      Effect.result(built(cuda({ ...options.cuda, card: ordinal })))
    )
    const shapes = opened.flatMap((each) => (Result.isSuccess(each) ? [each.success] : []))
    return shapes.length > 0 ? shapes : [yield* Effect.fromResult(opened[0]!)]
  }),
  tfjs: Effect.gen(function* () {
    const { tfjs } = yield* loaded("tfjs", () => import("./tfjs/tfjs.ts"))
    return [yield* built(tfjs(options.tfjs))]
  })
})

/** The best there is: a GPU that CUDA works on, the CPU where there is a C++ compiler, TensorFlow.js. */
const best = Effect.fnUntraced(function* (of: Devices["Service"]["of"]) {
  const reasons: { readonly [K in DeviceKind]: string } = {
    cuda: "the best there is",
    cpu: "no usable GPU",
    tfjs: "slower than cpu, for which there is no C++ compiler"
  }
  const problems: Array<string> = []
  for (const preferred of deviceKinds) {
    const opened = yield* Effect.result(of(preferred))
    if (Result.isSuccess(opened)) return { preferred, reason: reasons[preferred] }
    problems.push(`${preferred}: ${opened.failure.message}`)
  }
  const message = `no device can be used here:\n${problems.join("\n")}`
  return yield* new DeviceError({ device: "auto", operation: "open", message })
})

/** The devices of this machine, and the first of the preferred kind as the device. None is opened before it is asked for. */
export const devices = (options: DevicesOptions = {}): Layer.Layer<Device | Devices, DeviceError> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const { cpu, cuda, tfjs } = opening(options)
      const once = (open: typeof cpu) => Effect.cached(Effect.provideService(open, Scope.Scope, scope))
      const opened = { cpu: yield* once(cpu), cuda: yield* once(cuda), tfjs: yield* once(tfjs) }
      const of = (kind: DeviceKind) => opened[kind]
      const { device = "auto" } = options
      const chosen = device === "auto" ? yield* best(of) : { preferred: device, reason: "" }
      const [first] = yield* of(chosen.preferred)
      return Context.make(Devices, { ...chosen, of }).pipe(Context.add(Device, first!))
    })
  )
