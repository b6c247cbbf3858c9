/** The fake CUDA of fake-cuda.cpp: built once a test file, so that what one file makes it do no other sees. */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFileSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import koffi from "koffi"
import type { CudaOptions } from "../../../src/device/cuda/cuda.ts"
import { build, kernelFiles } from "./emulator.ts"

/** What a test says to the fake, and asks it. */
export interface Fake {
  readonly options: CudaOptions & { readonly cacheDirectory: string }
  readonly set: (setting: string, value: number) => void
  readonly get: (count: string) => number
  /** What the host side did wrong since the last time it was asked, a line each; "" for nothing. */
  readonly problems: () => string
  readonly remove: () => void
}

/** The compiled fake, kept under the digest of its source. */
const buildFake = async (): Promise<string> => {
  const source = join(import.meta.dirname, "fake-cuda.cpp")
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 24)
  const library = join(tmpdir(), `ptmflow-fake-cuda-${digest}.so`)
  if (existsSync(library)) return library
  const mine = `${library}.${process.pid}`
  await promisify(execFile)("c++", ["-std=c++17", "-O1", "-fPIC", "-shared", "-o", mine, source, "-ldl"])
  renameSync(mine, library)
  return library
}

/** A fake with state of its own; `emulate`: kernels are run, not only recorded. */
export const makeFake = async (emulate: boolean): Promise<Fake> => {
  const [built, libraries] = await Promise.all([
    buildFake(),
    emulate ? Promise.all(kernelFiles.map(async (file) => [file, await build(file)] as const)) : []
  ])
  const folder = mkdtempSync(join(tmpdir(), "ptmflow-fake-cuda-"))
  const library = join(folder, "libfake.so")
  copyFileSync(built, library)
  const fake = koffi.load(library)
  const emulator = fake.func("int fake_emulator(const char *file, const char *path)")
  for (const [file, path] of libraries) if (emulator(file, path) !== 0) throw new Error(`${path} cannot be loaded`)
  return {
    options: {
      libraries: { driver: library, nvrtc: library, cublasLt: library },
      cacheDirectory: join(folder, "cache")
    },
    set: fake.func("void fake_set(const char *name, int64_t value)"),
    get: fake.func("int64_t fake_get(const char *name)"),
    problems: fake.func("const char *fake_problems()"),
    remove: () => rmSync(folder, { recursive: true, force: true })
  }
}
