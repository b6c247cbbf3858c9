/**
 * The kernels compiled by NVRTC, and the parameters of launches against what the compiler says that kernels take. Needs NVRTC and no card:
 * `pip install nvidia-cuda-nvrtc`, and PYTHONPATH or LD_LIBRARY_PATH names where it is.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { defaultCache } from "../../../src/device/cache.ts"
import { compiledKernels, kernelSources } from "../../../src/device/cuda/kernel-cache.ts"
import { lower, productKernel } from "../../../src/device/cuda/launches.ts"
import { findLibrary, libraries, missingLibrary, searchFolders } from "../../../src/device/cuda/library-search.ts"
import { loadNvrtc, targetOf } from "../../../src/device/cuda/nvrtc.ts"
import type { Argument, KernelStep } from "../../../src/device/cuda/step.ts"
import { layOut } from "../../../src/device/probe.ts"
import { hopper } from "./emulated.ts"

const folders = searchFolders()
const found = libraries.nvrtc.files.flatMap(({ major }) => {
  const library = findLibrary("nvrtc", folders, major!)
  return library?.major === major ? [library] : []
})
if (found.length === 0)
  process.stderr.write(`skipped: compiling the CUDA kernels, as ${missingLibrary("nvrtc", folders)}\n`)

/** Compute capability times ten: Hopper, and with `PTMFLOW_ACROSS=1` Ampere and Blackwell too. To compile them takes minutes; the results are kept. */
const capabilities = process.env["PTMFLOW_ACROSS"] === "1" ? [80, 90, 100] : [90]

/** The kind and the bits of a parameter: as PTX names its type, and as a launch gives it. */
const ofType = (type: string) => `${type.startsWith("f") ? "float" : "bits"} ${type.replace(/\D/g, "")}`
const ofArgument = (argument: Argument) => {
  if ("i32" in argument || "u32" in argument) return "bits 32"
  if ("f32" in argument) return "float 32"
  return "f64" in argument ? "float 64" : "bits 64"
}

describe.skipIf(found.length === 0)("the CUDA kernels", () => {
  for (const { major, path } of found) {
    it.live(
      `compile with NVRTC ${major} for compute capabilities ${capabilities.join(", ")}`,
      () =>
        Effect.gen(function* () {
          const nvrtc = yield* loadNvrtc(path)
          for (const source of kernelSources().values()) {
            for (const capability of capabilities) {
              const image = yield* compiledKernels(defaultCache(), nvrtc, source, targetOf(nvrtc, capability))
              assert.isAbove(image.length, 1000, source.file)
            }
          }
        }),
      600_000
    )
  }

  it.live(
    "take what the launches of every row of the kernel table give them",
    () =>
      Effect.gen(function* () {
        const nvrtc = yield* loadNvrtc(found[0]!.path)
        const types = new Map<string, ReadonlyArray<string>>()
        for (const source of kernelSources().values()) {
          const target = { code: "ptx", architecture: "compute_80" } as const
          const ptx = Buffer.from(yield* compiledKernels(defaultCache(), nvrtc, source, target)).toString("utf8")
          for (const [, name, parameters] of ptx.matchAll(/\.entry (\w+)\(([^)]*)\)/g)) {
            const each = [...parameters!.matchAll(/\.param \.(\w+)/g)].map(([, type]) => ofType(type!))
            types.set(`${source.file} ${name}`, each)
          }
        }
        const used = new Set<string>()
        const { launches } = layOut("f32")
        for (const [index, launch] of launches.entries()) {
          const steps = lower(launch, index, hopper).flatMap(
            (step): ReadonlyArray<KernelStep> => [step.kind === "kernel" ? step : productKernel(step)]
          )
          for (const step of steps) {
            const name = `${step.file} ${step.entry}`
            used.add(name)
            assert.deepStrictEqual(step.arguments.map(ofArgument), types.get(name), `${launch.kernel}: ${name}`)
          }
        }
        assert.isAbove(used.size, 40)
      }),
    600_000
  )
})
