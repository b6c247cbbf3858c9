/**
 * Memory of the card, and what moves data to and from it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { DeviceError, type Memory } from "../device.ts"
import { type Address, Cuda, check, type Driver } from "./driver.ts"
import { freeing, made, makeEvent, onCard, passed, type Stream } from "./stream.ts"

/** Memory of the card. */
export interface CudaMemory extends Memory {
  readonly address: Address
}

const gibibytes = (bytes: bigint) => `${(Number(bytes) / 2 ** 30).toFixed(2)} GiB`

/** Bytes on the card, zeroed; `for_` says for what, in the error where there is no room. */
export const allocateOn = (
  stream: Stream,
  bytes: number,
  for_: string
): Effect.Effect<CudaMemory, DeviceError, Scope.Scope> =>
  Effect.acquireRelease(
    onCard(stream, "allocate", () => {
      const { driver, handle } = stream
      const into = new BigUint64Array(1)
      const status = driver.cuMemAlloc_v2(into, Math.max(bytes, 4))
      if (status === Cuda.CUDA_ERROR_OUT_OF_MEMORY) throw noRoom(driver, bytes, for_)
      check(driver, "allocate", status)
      check(driver, "allocate", driver.cuMemsetD8Async(into[0]!, 0, Math.max(bytes, 4), handle))
      return { bytes, address: into[0]! }
    }),
    // Whatever still uses it ends first: the driver waits for it.
    ({ address }) => freeing(stream, () => stream.driver.cuMemFree_v2(address))
  )

const noRoom = (driver: Driver, bytes: number, for_: string): DeviceError => {
  const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)]
  driver.cuMemGetInfo_v2(free, total)
  const message =
    `${bytes} bytes (${gibibytes(BigInt(bytes))}) for ${for_} are not to be had: ${gibibytes(free[0]!)} of ` +
    `${gibibytes(total[0]!)} are free on the card; make the batch or the model smaller, or end what else uses the card`
  return new DeviceError({ device: "cuda", operation: "allocate", message, outOfMemory: true })
}

/** Memory of this process that the card reads and writes by itself. */
export interface PinnedMemory {
  readonly address: Address
  readonly view: ArrayBuffer
}

/** Memory that is never paged out; freed with the scope. */
export const pinnedMemory = Effect.fnUntraced(function* (
  stream: Stream,
  bytes: number
): Effect.fn.Return<PinnedMemory, DeviceError, Scope.Scope> {
  const { driver } = stream
  const { default: koffi } = yield* Effect.promise(() => import("koffi"))
  const address = yield* Effect.acquireRelease(
    onCard(stream, "start", () => made(driver, "start", (into) => driver.cuMemHostAlloc(into, bytes, 0))),
    (address) => freeing(stream, () => driver.cuMemFreeHost(address))
  )
  return { address, view: koffi.view(address, bytes) }
})

/** Bytes of a piece that is on its way, and how many are at once. */
const pieceBytes = 1024 * 1024
const pieces = 8
/** A piece of fewer bytes is copied by this thread: to hand it to another takes longer. */
const small = 128 * 1024

type CopyBytes = ((to: Address, from: Address, bytes: number) => void) & {
  readonly async: (to: unknown, from: unknown, bytes: number, done: (error: unknown) => void) => void
}

/** Moves data through memory that the card reads and writes by itself, in pieces, while the event loop goes on. */
export interface Transfers {
  /** Ends when the data is on its way: it may change then, and every later run sees it. */
  readonly write: (at: Address, data: ArrayBufferView) => Effect.Effect<void, DeviceError>
  readonly read: (at: Address, into: ArrayBufferView) => Effect.Effect<void, DeviceError>
}

/** Makes the pieces, which are freed with the scope. */
export const openTransfers = Effect.fnUntraced(function* (
  stream: Stream
): Effect.fn.Return<Transfers, DeviceError, Scope.Scope> {
  const { driver, handle } = stream
  const { default: koffi } = yield* Effect.promise(() => import("koffi"))
  const copies: { readonly [direction: string]: CopyBytes } = {
    in: koffi.load(null).func("void *memcpy(uint64_t to, const void *from, uint64_t bytes)") as unknown as CopyBytes,
    out: koffi.load(null).func("void *memcpy(_Out_ void *to, uint64_t from, uint64_t bytes)") as unknown as CopyBytes
  }
  const staging = yield* pinnedMemory(stream, pieces * pieceBytes)
  const slots: Array<{ readonly at: Address; readonly view: Uint8Array; readonly event: Address; used: boolean }> = []
  for (let i = 0; i < pieces; i++) {
    const offset = i * pieceBytes
    const view = new Uint8Array(staging.view, offset, pieceBytes)
    slots.push({ at: staging.address + BigInt(offset), view, event: yield* makeEvent(stream), used: false })
  }
  let next = 0

  const asked = (copy: CopyBytes, to: unknown, from: unknown, bytes: number) =>
    new Promise<void>((resolve, reject) =>
      copy.async(to, from, bytes, (error) => (error === null || error === undefined ? resolve() : reject(error)))
    )
  /** The slot whose turn it is, once the card has done with it. */
  const turn = async (operation: string) => {
    const slot = slots[next]!
    next = (next + 1) % pieces
    if (slot.used) await passed(driver, operation, slot.event)
    slot.used = true
    return slot
  }
  const bytesOf = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

  const write = async (at: Address, data: ArrayBufferView) => {
    const bytes = bytesOf(data)
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      const piece = bytes.subarray(start, start + pieceBytes)
      const slot = await turn("write")
      if (piece.length < small) slot.view.set(piece)
      else await asked(copies["in"]!, slot.at, piece, piece.length)
      stream.enter()
      check(driver, "write", driver.cuMemcpyHtoDAsync_v2(at + BigInt(start), slot.at, piece.length, handle))
      check(driver, "write", driver.cuEventRecord(slot.event, handle))
    }
  }

  const read = async (at: Address, into: ArrayBufferView) => {
    const bytes = bytesOf(into)
    const onTheWay: Array<() => Promise<void>> = []
    for (let start = 0; start < bytes.length || onTheWay.length > 0; start += pieceBytes) {
      if (onTheWay.length === pieces || start >= bytes.length) await onTheWay.shift()!()
      if (start >= bytes.length) continue
      const piece = bytes.subarray(start, start + pieceBytes)
      const slot = await turn("read")
      stream.enter()
      check(driver, "read", driver.cuMemcpyDtoHAsync_v2(slot.at, at + BigInt(start), piece.length, handle))
      check(driver, "read", driver.cuEventRecord(slot.event, handle))
      onTheWay.push(async () => {
        await passed(driver, "read", slot.event)
        if (piece.length < small) piece.set(slot.view.subarray(0, piece.length))
        else await asked(copies["out"]!, piece, slot.at, piece.length)
      })
    }
  }

  const turns = yield* Semaphore.make(1)
  const moved = (operation: string, move: () => Promise<void>) =>
    turns.withPermits(1)(
      Effect.uninterruptible(
        Effect.tryPromise({
          try: move,
          catch: (cause) =>
            cause instanceof DeviceError
              ? cause
              : new DeviceError({ device: "cuda", operation, message: String(cause) })
        })
      )
    )
  return {
    write: (at, data) => moved("write", () => write(at, data)),
    read: (at, into) => moved("read", () => read(at, into))
  }
})
