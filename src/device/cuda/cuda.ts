/**
 * The CUDA device: kernels compiled for the card on first use; a program is one CUDA graph, replayed off the event loop.
 *
 * @since 0.1.0
 */
import { mkdirSync, realpathSync, statSync } from "node:fs"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { defaultCache, digest, remembered } from "../cache.ts"
import { Device, DeviceError, type DeviceShape, type Memory } from "../device.ts"
import { checkLaunch } from "../operands.ts"
import { probe, probeVersion } from "../probe.ts"
import { chooseCard, peakFlops } from "./card.ts"
import { products, workspaceBytes } from "./cublaslt.ts"
import { type CudaOptions, findCuda } from "./describe.ts"
import { kernelSources } from "./kernel-cache.ts"
import { makeLaunchArguments } from "./launch-arguments.ts"
import { allocateOn, type CudaMemory, openTransfers } from "./memory.ts"
import { openModules } from "./modules.ts"
import { compileProgram } from "./program.ts"
import { attempt, openStream } from "./stream.ts"

export { type CudaDescription, type CudaOptions, describeCuda } from "./describe.ts"

/** The CUDA device. Nothing is compiled before a program needs it. Fails if there is no driver, card or compiler library, and says what to install. */
export const cuda = (options: CudaOptions = {}): Layer.Layer<Device, DeviceError> => Layer.effect(Device, make(options))

const fail = (operation: string, message: string) => new DeviceError({ device: "cuda", operation, message })

/** Tells two builds of a library apart without loading it. */
const identity = (path: string): string => {
  const file = realpathSync(path)
  const { mtimeMs, size } = statSync(file)
  return `${basename(file)} ${size} ${mtimeMs}`
}

const make = Effect.fnUntraced(function* (options: CudaOptions) {
  const { cublasLt, driver, nvrtc } = yield* findCuda(options)
  const cache = options.cacheDirectory ?? defaultCache()
  const card = yield* attempt("start", () => chooseCard(driver, options.card ?? 0))
  const scope = yield* Effect.scope
  const started = yield* Effect.cached(
    Effect.gen(function* () {
      const stream = yield* openStream(driver, card.ordinal)
      const transfers = yield* openTransfers(stream)
      const modules = yield* openModules(stream, nvrtc.path, card, cache)
      const launchArguments = yield* makeLaunchArguments
      const workspace = cublasLt === null ? null : yield* allocateOn(stream, workspaceBytes, "cuBLASLt's workspace")
      return {
        transfers,
        context: {
          stream,
          card,
          modules,
          launchArguments,
          products: workspace === null ? null : yield* products(cublasLt!.path, stream, workspace.address)
        }
      }
    }).pipe(Effect.provideService(Scope.Scope, scope))
  )

  const transfer = (operation: "read" | "write", memory: Memory, offset: number, data: ArrayBufferView) =>
    Effect.flatMap(started, ({ transfers }) => {
      const end = offset + data.byteLength
      if (offset < 0 || end > memory.bytes) {
        return Effect.fail(fail(operation, `bytes ${offset} to ${end} are not inside a memory of ${memory.bytes}`))
      }
      return transfers[operation]((memory as CudaMemory).address + BigInt(offset), data)
    })

  const device: DeviceShape = {
    kind: "cuda",
    description: [
      card.name,
      `compute capability ${(card.capability / 10).toFixed(1)}`,
      `${Math.round(card.memoryBytes / 2 ** 30)} GiB`,
      `CUDA ${Math.floor(driver.version / 1000)}.${(driver.version % 1000) / 10}`,
      cublasLt === null ? "no cuBLASLt: products by ptmflow's own kernel, slower" : basename(cublasLt.path)
    ].join(", "),
    memory: card.memoryBytes,
    numerics: Effect.suspend(() => numerics),
    real: "f32",
    peak: Effect.succeed(peakFlops(card)),
    allocate: (bytes) => Effect.flatMap(started, ({ context }) => allocateOn(context.stream, bytes, "a memory")),
    write: (memory, offset, data) => transfer("write", memory, offset, data),
    read: (memory, offset, into) => transfer("read", memory, offset, into),
    compile: Effect.fnUntraced(function* (program, memories) {
      const { context } = yield* started
      for (const [index, launch] of program.launches.entries()) {
        const problem = checkLaunch(launch, index, "f32", memories)
        if (problem !== null) return yield* fail(program.name, problem)
      }
      return yield* compileProgram(context, program, memories as ReadonlyArray<CudaMemory>)
    })
  }

  const key = yield* attempt("start", () => {
    const sources = [...kernelSources().values()].flatMap(({ file, headers, text }) => [
      file,
      text,
      ...headers.flatMap((header) => [header.file, header.text])
    ])
    const libraries = [nvrtc, ...(cublasLt === null ? [] : [cublasLt])].map(({ path }) => identity(path))
    const folder = join(cache, "cuda")
    mkdirSync(folder, { recursive: true })
    return join(
      folder,
      `numerics-${digest([probeVersion(), card.name, String(driver.version), ...libraries, ...sources])}`
    )
  })
  const numerics = yield* Effect.cached(remembered(key, probe(device)))
  return Device.of(device)
})
