/** The kernels of the CUDA device, compiled for the host by emulator.h: each file once, kept in a folder of its digest. */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import koffi from "koffi"
import type { Extent } from "../../../src/device/cuda/step.ts"

const here = dirname(fileURLToPath(import.meta.url))
const folder = join(here, "../../../src/device/cuda/kernels")
const header = join(here, "emulator.h")

/** Names of the kernel files. */
export const kernelFiles: ReadonlyArray<string> = readdirSync(folder).filter((name) => name.endsWith(".cu"))

const options = ["-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-ffp-contract=off", "-fno-strict-aliasing"]

/** Entries of a kernel file (its path from the folder of the kernels). */
const entriesOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(join(folder, file), "utf8").matchAll(/^KERNEL\(\w+\)\s+(\w+)\(/gm)].map((match) => match[1]!)

/** The library of a kernel file, built if it is not there. */
export const build = async (file: string): Promise<string> => {
  const texts = [header, ...readdirSync(folder).filter((name) => name.endsWith(".cuh")), file].map((name) =>
    readFileSync(join(folder, name === header ? `../../../../test/device/cuda/emulator.h` : name))
  )
  const digest = texts.reduce((hash, text) => hash.update(text), createHash("sha256").update(options.join(" ")))
  const cache = join(tmpdir(), "ptmflow-emulated-kernels")
  const library = join(cache, `${basename(file)}-${digest.digest("hex").slice(0, 24)}.so`)
  if (existsSync(library)) return library
  mkdirSync(cache, { recursive: true })
  const mine = join(cache, `${basename(file)}-${process.pid}`)
  const names = entriesOf(file).map((name) => `EMULATED_KERNEL(${name})`)
  writeFileSync(`${mine}.cpp`, [`#include "${header}"`, `#include "${join(folder, file)}"`, ...names, ""].join("\n"))
  await promisify(execFile)("g++", [...options, "-I", folder, `${mine}.cpp`, "-o", `${mine}.so`])
  renameSync(`${mine}.so`, library)
  return library
}

/** Launches one kernel; `parameters` is the address of a table of addresses of values, as for cuLaunchKernel. Gives what went wrong, or null. */
export type Emulate = (
  file: string,
  entry: string,
  grid: Extent,
  block: Extent,
  shared: number,
  parameters: bigint,
  seed: number
) => string | null

/** Builds what is not built yet. */
export const loadEmulator = async (files: ReadonlyArray<string> = kernelFiles): Promise<Emulate> => {
  const libraries = new Map<
    string,
    { readonly run: (...values: ReadonlyArray<unknown>) => number; readonly error: () => string }
  >()
  await Promise.all(
    files.map(async (file) => {
      const library = koffi.load(await build(file))
      libraries.set(file, {
        run: library.func(
          "int32_t ptm_emulate(const char *entry, const uint32_t *grid, const uint32_t *block, uint32_t shared, uint64_t parameters, uint32_t seed)"
        ),
        error: library.func("const char *ptm_emulate_error()")
      })
    })
  )
  return (file, entry, grid, block, shared, parameters, seed) => {
    const library = libraries.get(file)
    if (library === undefined) return `${file} is not loaded`
    const code = library.run(entry, Uint32Array.from(grid), Uint32Array.from(block), shared, parameters, seed)
    return code === 0 ? null : library.error()
  }
}
