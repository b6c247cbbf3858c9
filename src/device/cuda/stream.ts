/**
 * The card's one queue of work. All that a device does goes through it, in order, so that what is written before a run is there when the run begins.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DeviceError } from "../device.ts"
import { type Address, Cuda, check, type Driver } from "./driver.ts"

/** An effect of calls of the driver, which throw a `DeviceError`. */
export const attempt = <A>(operation: string, body: () => A): Effect.Effect<A, DeviceError> =>
  Effect.try({
    try: body,
    catch: (cause) =>
      cause instanceof DeviceError ? cause : new DeviceError({ device: "cuda", operation, message: String(cause) })
  })

/** What a call of the driver makes: it gives the handle in its first parameter. */
export const made = (driver: Driver, operation: string, create: (into: BigUint64Array) => number): Address => {
  const into = new BigUint64Array(1)
  check(driver, operation, create(into))
  return into[0]!
}

/** A context of the card on this thread, and a queue in it. */
export interface Stream {
  readonly driver: Driver
  readonly handle: Address
}

/** The primary context of the card, which libraries in the same process share, held for the scope. */
export const openStream = (driver: Driver, ordinal: number): Effect.Effect<Stream, DeviceError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.acquireRelease(
      attempt("start", () => {
        const context = made(driver, "start", (into) => driver.cuDevicePrimaryCtxRetain(into, ordinal))
        check(driver, "start", driver.cuCtxSetCurrent(context))
      }),
      () => Effect.sync(() => driver.cuDevicePrimaryCtxRelease_v2(ordinal))
    )
    const handle = yield* Effect.acquireRelease(
      attempt("start", () => made(driver, "start", (into) => driver.cuStreamCreate(into, Cuda.CU_STREAM_NON_BLOCKING))),
      (stream) =>
        Effect.sync(() => {
          driver.cuStreamSynchronize(stream)
          driver.cuStreamDestroy_v2(stream)
        })
    )
    return { driver, handle }
  })

/** Milliseconds of asking as often as the event loop turns, which costs a step of training nothing; after that it is asked once a millisecond. */
const eager = 50

/** Resolves when the card has come to an event. The driver's own waiting would need a thread of its own that has the context. */
export const passed = (driver: Driver, operation: string, event: Address): Promise<void> =>
  new Promise((resolve, reject) => {
    const began = performance.now()
    const ask = () => {
      const status = driver.cuEventQuery(event)
      if (status === Cuda.CUDA_SUCCESS) return resolve()
      if (status !== Cuda.CUDA_ERROR_NOT_READY) {
        try {
          check(driver, operation, status)
        } catch (error) {
          return reject(error)
        }
      }
      if (performance.now() - began < eager) setImmediate(ask)
      else setTimeout(ask, 1)
    }
    ask()
  })

/** An event in a scope. */
export const makeEvent = (driver: Driver): Effect.Effect<Address, DeviceError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt("start", () => made(driver, "start", (into) => driver.cuEventCreate(into, Cuda.CU_EVENT_DISABLE_TIMING))),
    (event) => Effect.sync(() => driver.cuEventDestroy_v2(event))
  )
