/** A device that runs what the CUDA device would launch on the emulator, matrix products by the kernels that stand in for cuBLASLt. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import koffi from "koffi"
import { makeLaunchArguments } from "../../../src/device/cuda/launch-arguments.ts"
import { lower, productKernel, scratchBytes } from "../../../src/device/cuda/launches.ts"
import { type Card, type Place, Status, statusWords } from "../../../src/device/cuda/step.ts"
import { Device, DeviceError, type DeviceShape, type Memory } from "../../../src/device/device.ts"
import { faultError } from "../../../src/device/fault.ts"
import { checkLaunch } from "../../../src/device/operands.ts"
import { loadEmulator } from "./emulator.ts"

/** An H100. */
export const hopper: Card = { capability: 90, multiprocessors: 132, sharedBytesPerBlock: 227 * 1024 }

interface HostMemory extends Memory {
  readonly address: bigint
  readonly bytesOf: Uint8Array
}

const guard = 0x5a
const guardBytes = 4096

/** `seed`: the order that threads run in; 0 is ascending. */
export const emulated = (seed: number, card: Card = hopper): Layer.Layer<Device> =>
  Layer.effect(
    Device,
    Effect.gen(function* () {
      const emulate = yield* Effect.promise(() => loadEmulator())
      const launchArguments = yield* makeLaunchArguments
      const allocate = (bytes: number) =>
        Effect.acquireRelease(
          Effect.sync((): HostMemory => {
            // 256 more, so that it can begin where a card's memory begins.
            const block = BigInt(koffi.address(koffi.alloc("uint8_t", bytes + 256 + 2 * guardBytes)))
            const address = ((block + 255n) / 256n) * 256n
            const bytesOf = new Uint8Array(koffi.view(address, bytes + guardBytes))
            bytesOf.fill(0, 0, bytes)
            bytesOf.fill(guard, bytes)
            return { bytes, address, bytesOf }
          }),
          () => Effect.void
        )
      const fail = (operation: string, message: string) => new DeviceError({ device: "cuda", operation, message })
      const device: DeviceShape = {
        kind: "cuda",
        description: "emulated",
        numerics: Effect.succeed("0".repeat(64)),
        real: "f32",
        allocate,
        write: (memory, offset, data) =>
          Effect.sync(() =>
            (memory as HostMemory).bytesOf.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset)
          ),
        read: (memory, offset, into) =>
          Effect.sync(() => {
            const from = (memory as HostMemory).bytesOf.subarray(offset, offset + into.byteLength)
            new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(from)
          }),
        compile: Effect.fnUntraced(function* (program, memories) {
          for (const [index, launch] of program.launches.entries()) {
            const problem = checkLaunch(launch, index, "f32", memories)
            if (problem !== null) return yield* fail(program.name, problem)
          }
          const scratchSize = Math.max(...program.launches.map((launch) => scratchBytes(launch, card)))
          const scratch = yield* allocate(scratchSize)
          // What a kernel does not write before it reads is NaN.
          scratch.bytesOf.fill(0xff, 0, scratchSize)
          const status = yield* allocate(statusWords * 4)
          const words = new Int32Array(status.bytesOf.buffer, status.bytesOf.byteOffset, statusWords)
          const addressOf = (place: Place) =>
            "buffer" in place
              ? (memories[place.buffer.memory] as HostMemory).address + BigInt(place.buffer.offset)
              : scratch.address + BigInt(place.scratch)
          const steps = yield* Effect.try({
            try: () =>
              program.launches.flatMap((launch, index) => lower(launch, index, card, program.launches[index - 1])),
            catch: (cause) => cause as DeviceError
          })
          const runStep = (step: (typeof steps)[number]): string | null => {
            const {
              file,
              entry,
              grid,
              block,
              shared,
              arguments: values
            } = step.kind === "product" ? productKernel(step) : step
            const table = launchArguments.place(values, addressOf, status.address)
            return emulate(file, entry, grid, block, shared, table, seed)
          }
          return {
            run: (times = 1) =>
              Effect.suspend(() => {
                words.fill(0)
                for (let time = 0; time < times; time++) {
                  for (const step of steps) {
                    const problem = runStep(step)
                    if (problem !== null) return Effect.fail(fail(program.name, problem))
                  }
                  if (scratch.bytesOf.subarray(scratchSize).some((byte) => byte !== guard))
                    return Effect.fail(fail(program.name, "a write past the end of the scratch"))
                  if (words[Status.fault] !== 0) {
                    const { launch, row, value, limit } = Status
                    return Effect.fail(
                      faultError("cuda", program, [words[launch]!, words[row]!, words[value]!, words[limit]!])
                    )
                  }
                  if (words[Status.finished] !== 0) break
                }
                return Effect.void
              })
          }
        })
      }
      return Device.of(device)
    })
  )
