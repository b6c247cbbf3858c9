/**
 * The kernels on the card: each file compiled and loaded when a program first needs it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { DeviceError } from "../device.ts"
import { type Address, Cuda, check } from "./driver.ts"
import { compiledKernels, kernelSources } from "./kernel-cache.ts"
import { loadNvrtc, targetOf } from "./nvrtc.ts"
import type { Card, KernelStep } from "./step.ts"
import { freeing, made, onCard, type Stream } from "./stream.ts"

/** Finds kernels by their files and names. */
export interface Modules {
  /** Has these files on the card; several are compiled at once. */
  readonly load: (files: Iterable<string>) => Effect.Effect<void, DeviceError>
  /** The kernel of a step whose file was loaded; it may use the step's shared memory. */
  readonly entry: (step: KernelStep) => Address
}

/** Shared memory of a block that needs no asking for. */
const freeShared = 48 * 1024

/** Modules in the context of a card; unloaded with the scope. */
export const openModules = Effect.fnUntraced(function* (
  stream: Stream,
  nvrtcPath: string,
  card: Card,
  cacheFolder: string
): Effect.fn.Return<Modules, DeviceError, Scope.Scope> {
  const { driver } = stream
  const scope = yield* Effect.scope
  const nvrtc = yield* Effect.cached(loadNvrtc(nvrtcPath))
  const sources = kernelSources()
  const loaded = new Map<string, Address>()
  const entries = new Map<string, { readonly handle: Address; shared: number }>()

  const load = Effect.fnUntraced(function* (file: string) {
    const source = sources.get(file)
    if (source === undefined) {
      return yield* new DeviceError({ device: "cuda", operation: "load", message: `there is no kernel file ${file}` })
    }
    const compiler = yield* nvrtc
    const image = yield* compiledKernels(cacheFolder, compiler, source, targetOf(compiler, card.capability))
    const module = yield* Effect.acquireRelease(
      onCard(stream, "load", () => made(driver, `load ${file}`, (into) => driver.cuModuleLoadData(into, image))),
      (module) => freeing(stream, () => driver.cuModuleUnload(module))
    ).pipe(Effect.provideService(Scope.Scope, scope))
    loaded.set(file, module)
  })

  const turns = yield* Semaphore.make(1)
  return {
    load: (files) =>
      turns.withPermits(1)(
        Effect.suspend(() => {
          const wanted = [...new Set(files)].filter((file) => !loaded.has(file))
          return Effect.forEach(wanted, load, { concurrency: 4, discard: true })
        })
      ),
    entry: ({ entry, file, shared }) => {
      const name = `${file} ${entry}`
      let known = entries.get(name)
      if (known === undefined) {
        const module = loaded.get(file)!
        const operation = `find ${entry} in ${file}`
        known = {
          handle: made(driver, operation, (into) => driver.cuModuleGetFunction(into, module, entry)),
          shared: freeShared
        }
        entries.set(name, known)
      }
      if (shared > known.shared) {
        const attribute = Cuda.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        check(driver, `shared memory of ${entry}`, driver.cuFuncSetAttribute(known.handle, attribute, shared))
        known.shared = shared
      }
      return known.handle
    }
  }
})
