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

/** A queue in the context of a card. `enter` makes that context the one of this thread: it may have become another card's meanwhile. */
export interface Stream {
  readonly driver: Driver
  readonly handle: Address
  readonly enter: () => void
}

/** Calls of the driver in the context of the card. */
export const onCard = <A>(stream: Pick<Stream, "enter">, operation: string, body: () => A) =>
  attempt(operation, () => {
    stream.enter()
    return body()
  })

/** What frees: of its failing nobody can make anything. */
export const freeing = (stream: Pick<Stream, "enter">, body: () => void): Effect.Effect<void> =>
  Effect.ignore(onCard(stream, "free", body))

/** The primary context of the card, which libraries in the same process share, held for the scope, and a queue in it. */
export const openStream = (driver: Driver, ordinal: number): Effect.Effect<Stream, DeviceError, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.acquireRelease(
      attempt("start", () => made(driver, "start", (into) => driver.cuDevicePrimaryCtxRetain(into, ordinal))),
      () => Effect.sync(() => driver.cuDevicePrimaryCtxRelease_v2(ordinal))
    )
    const enter = () => check(driver, "enter", driver.cuCtxSetCurrent(context))
    const handle = yield* Effect.acquireRelease(
      onCard({ enter }, "start", () =>
        made(driver, "start", (into) => driver.cuStreamCreate(into, Cuda.CU_STREAM_NON_BLOCKING))
      ),
      (stream) =>
        freeing({ enter }, () => {
          driver.cuStreamSynchronize(stream)
          driver.cuStreamDestroy_v2(stream)
        })
    )
    return { driver, handle, enter }
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
export const makeEvent = (stream: Stream): Effect.Effect<Address, DeviceError, Scope.Scope> => {
  const { driver } = stream
  return Effect.acquireRelease(
    onCard(stream, "start", () =>
      made(driver, "start", (into) => driver.cuEventCreate(into, Cuda.CU_EVENT_DISABLE_TIMING))
    ),
    (event) => freeing(stream, () => driver.cuEventDestroy_v2(event))
  )
}
