/**
 * A model on a device: its memories, and the programs that are bound to them. It outlives the session that uses it where a `Residency` keeps it, so that
 * the next session on the same weights writes nothing and compiles nothing.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Device, type DeviceError, type DeviceShape, type Memory } from "../device/device.ts"
import { type Kept, Residency } from "../device/residency.ts"
import { type Content, isSame } from "./content.ts"
import type { ModelConfig } from "./model.ts"

const TypeId = "~ptmflow/engine/Resident"

/** `weights` and `moments` are what is in those memories, undefined where nobody knows; `dirty`: there may be gradients that no update took. */
export interface Resident extends Kept {
  readonly [TypeId]: string
  readonly memories: Map<string, Memory>
  readonly programs: Map<string, unknown>
  weights: Content | undefined
  moments: { readonly first: Content | undefined; readonly second: Content | undefined } | "zero"
  dirty: boolean
  /** Allocates for as long as the model is on the device. What nobody uses is freed first where there is no room. */
  readonly allocate: (bytes: number) => Effect.Effect<Memory, DeviceError>
  /** Runs with the scope that ends when the model leaves the device, freeing what is unused where there is no room. */
  readonly within: <A>(effect: Effect.Effect<A, DeviceError, Scope.Scope>) => Effect.Effect<A, DeviceError>
  /** Whether all of these could be allocated now. */
  readonly hasRoom: (sizes: ReadonlyArray<number>) => Effect.Effect<boolean>
}

/** A configuration by its content, whatever the order of its fields. */
const nameOf = (config: ModelConfig): string =>
  Object.entries(config)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}=${JSON.stringify(value)}`)
    .sort()
    .join()

const make = (device: DeviceShape, evict: Effect.Effect<boolean>, name: string): Resident => {
  const scope = Scope.makeUnsafe()
  let bytes = 0
  const roomy = <A, R>(effect: Effect.Effect<A, DeviceError, R>): Effect.Effect<A, DeviceError, R> =>
    Effect.catch(effect, (error) =>
      error.outOfMemory === true
        ? Effect.flatMap(evict, (evicted) => (evicted ? roomy(effect) : Effect.fail(error)))
        : Effect.fail(error)
    )
  const within: Resident["within"] = (effect) => Effect.provideService(roomy(effect), Scope.Scope, scope)
  return {
    [TypeId]: name,
    memories: new Map(),
    programs: new Map(),
    weights: undefined,
    moments: "zero",
    dirty: false,
    get bytes() {
      return bytes
    },
    free: Scope.close(scope, Exit.void),
    within,
    allocate: (wanted) =>
      Effect.tap(within(device.allocate(wanted)), () =>
        Effect.sync(() => {
          bytes += wanted
        })
      ),
    hasRoom: (sizes) =>
      Effect.forEach(sizes, device.allocate, { discard: true }).pipe(
        Effect.scoped,
        Effect.exit,
        Effect.map(Exit.isSuccess)
      )
  }
}

/** The model with these weights, if it lies unused on the device; or an empty place for one. It is kept when the scope ends well, and freed otherwise. */
export const acquire = Effect.fnUntraced(function* (
  config: ModelConfig,
  weights: Content | undefined
): Effect.fn.Return<Resident, never, Device | Scope.Scope> {
  const device = yield* Device
  const residency = yield* Residency
  const name = nameOf(config)
  const suits = (kept: Kept): kept is Resident =>
    TypeId in kept && kept[TypeId] === name && isSame((kept as Resident).weights, weights)
  return yield* Effect.acquireRelease(
    Effect.sync(() => residency.take(device, suits) ?? make(device, residency.evict(device), name)),
    (resident, exit) =>
      Exit.isSuccess(exit) && resident.weights !== undefined ? residency.keep(device, resident) : resident.free
  )
})
