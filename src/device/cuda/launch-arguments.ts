/**
 * The parameters of a kernel as cuLaunchKernel reads them: a table of addresses of values.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Address } from "./driver.ts"
import type { Argument, Place } from "./step.ts"

/** Writes parameters, and gives the address of their table; they stand until the next are written. A launch has copied them when it returns. */
export interface LaunchArguments {
  readonly place: (values: ReadonlyArray<Argument>, addressOf: (place: Place) => Address, status: Address) => Address
}

/** CUDA allows 4 KiB of parameters; no kernel here has a tenth of it. */
const most = 128
const slot = 8

/** Room for the parameters of one launch. */
export const makeLaunchArguments: Effect.Effect<LaunchArguments, never, Scope.Scope> = Effect.gen(function* () {
  const { default: koffi } = yield* Effect.promise(() => import("koffi"))
  const block: Address = yield* Effect.acquireRelease(
    Effect.sync(() => koffi.alloc("uint64_t", 2 * most)),
    (block) => Effect.sync(() => koffi.free(block))
  )
  const words = new DataView(koffi.view(block, 2 * most * slot))
  const table = block + BigInt(most * slot)
  for (let i = 0; i < most; i++) words.setBigUint64((most + i) * slot, block + BigInt(i * slot), true)
  return {
    place: (values, addressOf, status) => {
      if (values.length > most) throw new Error(`a kernel has ${values.length} parameters, and ${most} is the most`)
      for (const [i, value] of values.entries()) {
        const at = i * slot
        if ("i32" in value) words.setInt32(at, value.i32, true)
        else if ("u32" in value) words.setUint32(at, value.u32, true)
        else if ("i64" in value) words.setBigInt64(at, BigInt(value.i64), true)
        else if ("f32" in value) words.setFloat32(at, value.f32, true)
        else if ("f64" in value) words.setFloat64(at, value.f64, true)
        else if ("null" in value) words.setBigUint64(at, 0n, true)
        else words.setBigUint64(at, "status" in value ? status : addressOf(value), true)
      }
      return table
    }
  }
})
