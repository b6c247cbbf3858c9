/**
 * Compiles the CPU device's library on first use, into a cache named by everything that can change it.
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import { DeviceError, type Real } from "../device.ts"
import { type Compiler, compilerFlags, generatedHeader, sourceFiles, sourceFolder } from "./toolchain.ts"

const execute = promisify(execFile)

/** Where the library of a numerics class lies once it is built. */
export const libraryPath = (cacheFolder: string, numerics: string, real: Real): string =>
  join(cacheFolder, `cpu-${real}-${numerics.slice(0, 32)}`, "kernels.so")

const fail = (message: string) => new DeviceError({ device: "cpu", operation: "build", message })

/** The first lines of a compiler's complaint that name an error. */
const firstErrors = (cause: unknown): string => {
  const text = String((cause as { stderr?: unknown }).stderr ?? cause)
  const lines = text.split("\n").filter((line) => line.includes("error"))
  return (lines.length === 0 ? text.split("\n") : lines).slice(0, 5).join("\n")
}

const compile = async (compiler: Compiler, real: Real, architecture: string, folder: string) => {
  const sources = sourceFolder()
  const flags = compilerFlags(real, architecture)
  const units = sourceFiles().filter((name) => name.endsWith(".cpp"))
  const objects = units.map((name) => join(folder, `${name}.o`))
  // As many at once as there are processors, as each takes 100 MB; one is started in a turn of the event loop, which that holds for milliseconds.
  let next = 0
  let turn = setImmediate()
  const compileOthers = async () => {
    while (next < units.length) {
      const at = next++
      turn = turn.then(() => setImmediate())
      await turn
      const source = join(sources, units[at]!)
      await execute(compiler.path, [...flags, `-I${folder}`, "-c", source, "-o", objects[at]!]).catch((cause) => {
        next = units.length
        throw cause
      })
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, compileOthers))
  const library = join(folder, "kernels.so")
  await execute(compiler.path, ["-shared", "-pthread", "-o", library, ...objects])
  await Promise.all(objects.map((object) => rm(object)))
}

/**
 * The path of the library, built if it is not there. It is built in a folder of its own and renamed into place, so that several processes
 * may build at once and none sees half a library.
 */
export const build = (
  compiler: Compiler,
  cacheFolder: string,
  numerics: string,
  real: Real
): Effect.Effect<string, DeviceError> =>
  Effect.suspend(() => {
    const library = libraryPath(cacheFolder, numerics, real)
    if (existsSync(library)) return Effect.succeed(library)
    const make = async () => {
      await mkdir(cacheFolder, { recursive: true })
      const folder = await mkdtemp(join(cacheFolder, "build-"))
      try {
        await writeFile(join(folder, "kernels.generated.h"), generatedHeader())
        await compile(compiler, real, "-march=native", folder).catch((cause) => {
          // Some compilers for ARM know only -mcpu.
          if (!/march/.test(String((cause as { stderr?: unknown }).stderr))) throw cause
          return compile(compiler, real, "-mcpu=native", folder)
        })
        await rename(folder, join(library, "..")).catch((cause) => {
          if (!existsSync(library)) throw cause
        })
        return library
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    }
    return Effect.tryPromise({
      try: make,
      catch: (cause) =>
        fail(
          (cause as { stderr?: unknown }).stderr === undefined
            ? `the cache folder ${cacheFolder} cannot be used (set PTMFLOW_CACHE to another): ${String(cause)}`
            : `${compiler.path} (${compiler.version}) cannot compile the kernels in ${sourceFolder()}:\n${firstErrors(cause)}`
        )
    })
  })
