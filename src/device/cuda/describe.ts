/**
 * What can be said of CUDA on this machine without compiling or allocating anything.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { defaultCache } from "../cache.ts"
import { DeviceError } from "../device.ts"
import { type CardDescription, cards } from "./card.ts"
import { type Driver, loadDriver } from "./driver.ts"
import { type FoundLibrary, findLibrary, type LibraryName, missingLibrary, searchFolders } from "./library-search.ts"

/** `card`: ordinal of the driver's list, 0; `libraries`: paths, searched for where not given; `cacheDirectory`: see `defaultCache`. */
export interface CudaOptions {
  readonly card?: number
  readonly libraries?: { readonly [N in LibraryName]?: string }
  readonly cacheDirectory?: string
}

/** What `doctor` says of the CUDA device. `problem` says why it cannot be used, and what to do. */
export interface CudaDescription {
  readonly driver: { readonly path: string; readonly cuda: string } | null
  readonly cards: ReadonlyArray<CardDescription>
  readonly nvrtc: FoundLibrary | null
  readonly cublasLt: FoundLibrary | null
  readonly problem: string | null
  readonly cacheDirectory: string
}

/** The libraries, found: NVRTC must be there; without cuBLASLt products are computed by ptmflow's own kernel, slower. */
export interface CudaLibraries {
  readonly driver: Driver
  readonly nvrtc: FoundLibrary
  readonly cublasLt: FoundLibrary | null
}

const missing = (message: string) => new DeviceError({ device: "cuda", operation: "start", message })

/** The path that is given, or the one that is found. */
const locate = (
  name: LibraryName,
  { libraries }: CudaOptions,
  folders: ReadonlyArray<string>,
  newest?: number
): FoundLibrary | null => {
  const given = libraries?.[name]
  return given === undefined ? findLibrary(name, folders, newest) : { path: given, major: null }
}

/** Finds all and initialises the driver; fails with what is missing. */
export const findCuda = (options: CudaOptions): Effect.Effect<CudaLibraries, DeviceError> =>
  Effect.tryPromise({
    try: async () => {
      const folders = searchFolders()
      const path = locate("driver", options, folders)
      if (path === null) throw missing(missingLibrary("driver", folders))
      const driver = await loadDriver(path.path)
      const newest = Math.floor(driver.version / 1000)
      const nvrtc = locate("nvrtc", options, folders, newest)
      if (nvrtc === null) throw missing(missingLibrary("nvrtc", folders, newest))
      return { driver, nvrtc, cublasLt: locate("cublasLt", options, folders, newest) }
    },
    catch: (cause) => (cause instanceof DeviceError ? cause : missing(String(cause)))
  })

/** Looks at the libraries and the cards. */
export const describeCuda = (options: CudaOptions = {}): Effect.Effect<CudaDescription> => {
  const folders = searchFolders()
  const cacheDirectory = options.cacheDirectory ?? defaultCache()
  const none: CudaDescription = {
    driver: null,
    cards: [],
    nvrtc: locate("nvrtc", options, folders),
    cublasLt: locate("cublasLt", options, folders),
    problem: null,
    cacheDirectory
  }
  return findCuda(options).pipe(
    Effect.flatMap(({ cublasLt, driver, nvrtc }) =>
      Effect.try({
        try: (): CudaDescription => {
          const found = cards(driver)
          const cuda = `${Math.floor(driver.version / 1000)}.${(driver.version % 1000) / 10}`
          const problem = found.length === 0 ? "the driver shows no card" : null
          return { driver: { path: driver.path, cuda }, cards: found, nvrtc, cublasLt, problem, cacheDirectory }
        },
        catch: (cause) => (cause instanceof DeviceError ? cause : missing(String(cause)))
      })
    ),
    Effect.catch((error) => Effect.succeed({ ...none, problem: error.message }))
  )
}
