/**
 * Compiled kernels, in files named by everything that decides their contents.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { digest } from "../cache.ts"
import { DeviceError } from "../device.ts"
import { compileKernels, compileOptions, type KernelSource, type Nvrtc, type Target } from "./nvrtc.ts"

/** The folder of the CUDA sources: in a checkout, beside a bundle, and in an installed package. */
export const kernelFolder = (): string => {
  const beside = join(import.meta.dirname, "kernels")
  return existsSync(beside) ? beside : join(import.meta.dirname, "../../../../src/device/cuda/kernels")
}

/** All sources, by the names of their `.cu` files. */
export const kernelSources = (folder = kernelFolder()): ReadonlyMap<string, KernelSource> => {
  const read = (file: string) => ({ file, text: readFileSync(join(folder, file), "utf8") })
  const files = readdirSync(folder).sort()
  const headers = files.filter((name) => name.endsWith(".cuh")).map(read)
  return new Map(files.filter((name) => name.endsWith(".cu")).map((name) => [name, { ...read(name), headers }]))
}

/** Equal only if the compiled code is: of the source, its headers, the options and the compiler. */
const sourceDigest = (source: KernelSource, target: Target, version: string): string =>
  digest([
    "ptmflow kernels 1",
    source.file,
    source.text,
    ...source.headers.flatMap(({ file, text }) => [file, text]),
    target.code,
    ...compileOptions(target),
    version
  ])

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex")
const digestBytes = 64

/** An image that was kept, if it is whole: its digest stands before it. */
const kept = async (path: string): Promise<Uint8Array | null> => {
  try {
    const file = await readFile(path)
    const image = file.subarray(digestBytes)
    return file.subarray(0, digestBytes).toString("latin1") === sha256(image) ? image : null
  } catch {
    return null
  }
}

let written = 0

/** The machine code of a source, compiled if it is not in the cache or is there in part; processes may compile at once, and none sees half a file. */
export const compiledKernels = Effect.fnUntraced(function* (
  cacheFolder: string,
  nvrtc: Nvrtc,
  source: KernelSource,
  target: Target
): Effect.fn.Return<Uint8Array, DeviceError> {
  const folder = join(cacheFolder, "cuda")
  const name = `${source.file}-${target.architecture}-${sourceDigest(source, target, nvrtc.version).slice(0, 32)}`
  const path = join(folder, name)
  const found = yield* Effect.promise(() => kept(path))
  if (found !== null) return found
  const image = yield* compileKernels(nvrtc, source, target)
  yield* Effect.tryPromise({
    try: async () => {
      await mkdir(folder, { recursive: true })
      const temporary = `${path}.${process.pid}-${written++}`
      await writeFile(temporary, Buffer.concat([Buffer.from(sha256(image), "latin1"), image]))
      await rename(temporary, path)
    },
    catch: (cause) =>
      new DeviceError({
        device: "cuda",
        operation: "compile",
        message: `the cache folder ${folder} cannot be used (set PTMFLOW_CACHE to another): ${String(cause)}`
      })
  })
  return image
})
