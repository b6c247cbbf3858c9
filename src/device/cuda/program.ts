/**
 * A program on the card: its launches recorded once as a CUDA graph, which a run replays.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DeviceError, type Executable, type Program } from "../device.ts"
import { faultError } from "../fault.ts"
import type { AnyLaunch } from "../kernel.ts"
import type { Products } from "./cublaslt.ts"
import { type Address, Cuda, check } from "./driver.ts"
import type { LaunchArguments } from "./launch-arguments.ts"
import { lower, productKernel, scratchBytes } from "./launches.ts"
import { allocateOn, type CudaMemory, pinnedMemory } from "./memory.ts"
import type { Modules } from "./modules.ts"
import { type Card, type Place, type ProductStep, Status, type Step, statusWords } from "./step.ts"
import { freeing, made, makeEvent, onCard, passed, type Stream } from "./stream.ts"

/** What programs of one device share. `products` is null without cuBLASLt. */
export interface ProgramContext {
  readonly stream: Stream
  readonly card: Card
  readonly modules: Modules
  readonly products: Products | null
  readonly launchArguments: LaunchArguments
}

/** Replays between two looks at the status words; as many again are in the queue meanwhile, so that the card does not wait for the look. */
const replaysPerLook = 8

const statusBytes = statusWords * 4

/** Makes a program ready: compiles what it needs, allocates its scratch, records it. Its launches were checked before. */
export const compileProgram = Effect.fnUntraced(function* (
  { card, launchArguments, modules, products, stream }: ProgramContext,
  program: Program,
  memories: ReadonlyArray<CudaMemory>
): Effect.fn.Return<Executable, DeviceError, Scope.Scope> {
  const { driver, handle } = stream
  const scratchSize = program.launches.reduce((most, launch) => Math.max(most, scratchBytes(launch, card)), 0)
  const scratch = yield* allocateOn(stream, scratchSize, `the scratch of ${program.name}`)
  const status = yield* allocateOn(stream, statusBytes, `the status of ${program.name}`)

  const addressOf = (place: Place): Address =>
    "buffer" in place
      ? memories[place.buffer.memory]!.address + BigInt(place.buffer.offset)
      : scratch.address + BigInt(place.scratch)
  const addressesOf = ({ a, b, bias, out }: ProductStep) => ({
    a: addressOf(a),
    b: addressOf(b),
    bias: bias === null ? null : addressOf(bias),
    out: addressOf(out)
  })
  const byKernel = (product: ProductStep) => products?.supports(product, addressesOf(product)) !== true
  const steps = yield* onCard(stream, program.name, () =>
    program.launches.flatMap((launch: AnyLaunch, index) =>
      lower(launch, index, card, program.launches[index - 1]).map(
        (step): Step => (step.kind === "product" && byKernel(step) ? productKernel(step) : step)
      )
    )
  )
  const kernels = steps.filter((step) => step.kind === "kernel")
  yield* modules.load(kernels.map(({ file }) => file))
  // Kernels are looked up here, so that recording only records.
  yield* onCard(stream, program.name, () => kernels.forEach(modules.entry))

  const enqueue = (step: Step): void => {
    if (step.kind === "product") {
      products!.enqueue(step, addressesOf(step))
      return
    }
    const entry = modules.entry(step)
    const parameters = launchArguments.place(step.arguments, addressOf, status.address)
    const [[gx, gy, gz], [bx, by, bz]] = [step.grid, step.block]
    const code = driver.cuLaunchKernel(entry, gx, gy, gz, bx, by, bz, step.shared, handle, parameters, 0n)
    check(driver, `${program.name}: ${step.entry}`, code)
  }

  const graph = yield* Effect.acquireRelease(
    onCard(stream, program.name, () => {
      // Relaxed: cuBLASLt may load its kernels while they are recorded.
      check(driver, program.name, driver.cuStreamBeginCapture_v2(handle, Cuda.CU_STREAM_CAPTURE_MODE_RELAXED))
      let recorded: unknown = null
      try {
        for (const step of steps) enqueue(step)
      } catch (error) {
        recorded = error
      }
      // A failed recording has to be ended too, or the queue stays in it.
      const into = new BigUint64Array(1)
      const ended = driver.cuStreamEndCapture(handle, into)
      if (recorded === null) check(driver, program.name, ended)
      try {
        if (recorded !== null) throw recorded
        return made(driver, program.name, (executable) => driver.cuGraphInstantiateWithFlags(executable, into[0]!, 0n))
      } finally {
        if (into[0] !== 0n) driver.cuGraphDestroy(into[0]!)
      }
    }),
    (graph) =>
      freeing(stream, () => {
        driver.cuStreamSynchronize(handle)
        driver.cuGraphExecDestroy(graph)
      })
  )
  yield* onCard(stream, program.name, () => check(driver, program.name, driver.cuGraphUpload(graph, handle)))

  const looks: Array<{ readonly address: Address; readonly words: Int32Array; readonly event: Address }> = []
  for (let i = 0; i < 2; i++) {
    const { address, view } = yield* pinnedMemory(stream, statusBytes)
    looks.push({ address, words: new Int32Array(view), event: yield* makeEvent(stream) })
  }

  /** Replays until it is done, a kernel ends it, or `stopped` says so; then the queue has none of it left. */
  const replay = async (times: number, stopped: () => boolean): Promise<DeviceError | null> => {
    const ok = (code: number) => check(driver, program.name, code)
    const waiting: Array<(typeof looks)[number]> = []
    let ended: Int32Array | null = null
    const look = async () => {
      const { event, words } = waiting.shift()!
      await passed(driver, program.name, event)
      if (words[Status.fault] !== 0 || words[Status.finished] !== 0) ended ??= words.slice()
    }
    stream.enter()
    ok(driver.cuMemsetD8Async(status.address, 0, statusBytes, handle))
    for (let done = 0, turn = 0; done < times && ended === null && !stopped(); turn ^= 1) {
      const count = Math.min(replaysPerLook, times - done)
      stream.enter()
      for (let i = 0; i < count; i++) ok(driver.cuGraphLaunch(graph, handle))
      done += count
      const at = looks[turn]!
      ok(driver.cuMemcpyDtoHAsync_v2(at.address, status.address, statusBytes, handle))
      ok(driver.cuEventRecord(at.event, handle))
      waiting.push(at)
      if (waiting.length === 2) await look()
    }
    while (waiting.length > 0) await look()
    return ended === null || ended[Status.fault] === 0
      ? null
      : faultError("cuda", program, [
          ended[Status.launch]!,
          ended[Status.row]!,
          ended[Status.value]!,
          ended[Status.limit]!
        ])
  }

  return {
    run: (times = 1) =>
      Effect.callback<void, DeviceError>((resume) => {
        let interrupted = false
        const ended = replay(times, () => interrupted).then(
          (fault) => resume(fault === null ? Effect.void : Effect.fail(fault)),
          (cause) => resume(cause instanceof DeviceError ? Effect.fail(cause) : Effect.die(cause))
        )
        // Interrupting it waits for what is in the queue, so that memory can be freed after.
        return Effect.promise(() => {
          interrupted = true
          return ended
        })
      })
  }
})
