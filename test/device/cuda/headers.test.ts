/**
 * What the host side says of CUDA's functions, enumerations and structures against CUDA's own headers. Needs the headers and no card:
 * `pip install nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl nvidia-cuda-nvrtc nvidia-cublas` (of CUDA 12: all with -cu12, and nvidia-cuda-nvcc-cu12 in place of
 * crt), and PYTHONPATH names where they are.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { describe, it } from "@effect/vitest"
import { CublasLt, cublasLtPrototypes, heuristicResult } from "../../../src/device/cuda/cublaslt.ts"
import { Cuda, driverPrototypes } from "../../../src/device/cuda/driver.ts"
import { searchFolders } from "../../../src/device/cuda/library-search.ts"
import { nvrtcPrototypes } from "../../../src/device/cuda/nvrtc.ts"

/** Beside the libraries; of CUDA 12 each of Python's packages has a folder of its own, and some have no library. */
const includes = searchFolders().flatMap((folder) => {
  const packages = join(folder, "../..")
  const roots =
    basename(packages) === "nvidia" ? readdirSync(packages).map((name) => join(packages, name)) : [join(folder, "..")]
  return roots
    .map((root) => join(root, "include"))
    .filter((include) => existsSync(include) && include !== "/usr/include")
})
const missing = ["cuda.h", "nvrtc.h", "cublasLt.h", "crt/host_defines.h", "nv/target"].filter(
  (header) => !includes.some((folder) => existsSync(join(folder, header)))
)
if (missing.length > 0) process.stderr.write(`skipped: CUDA's declarations, as there is no ${missing.join(", no ")}\n`)

const bytes = (declaration: string) => {
  if (declaration.includes("*") || /int64_t/.test(declaration)) return 8
  return declaration.includes("uint8_t") ? 1 : 4
}

describe.skipIf(missing.length > 0)("what is said of CUDA", () => {
  it("agrees with its headers", () => {
    const functions = Object.entries({ ...driverPrototypes, ...nvrtcPrototypes, ...cublasLtPrototypes })
    const checks = [
      ...functions.map(([name, parameters]) => {
        const sizes = parameters.split(",").map(bytes)
        return `static_assert(agrees(&${name}, {${sizes.join(", ")}}), "${name}");`
      }),
      ...Object.entries({ ...Cuda, ...CublasLt }).map(
        ([name, value]) => `static_assert(int(${name}) == ${value}, "${name}");`
      ),
      `static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == ${heuristicResult.bytes}, "result");`,
      `static_assert(sizeof(cublasLtMatmulAlgo_t) == ${heuristicResult.algorithmBytes}, "algorithm");`,
      `static_assert(offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) == ${heuristicResult.workspaceAt}, "workspace");`,
      `static_assert(offsetof(cublasLtMatmulHeuristicResult_t, state) == ${heuristicResult.stateAt}, "state");`
    ]
    const text = [
      "#include <cstddef>",
      "#include <cuda.h>",
      "#include <nvrtc.h>",
      "#include <cublasLt.h>",
      "#include <initializer_list>",
      "template <class R, class... A> constexpr bool agrees(R (*)(A...), std::initializer_list<size_t> sizes) {",
      "  const size_t given[] = {sizeof(A)..., 0};",
      "  if (sizeof(R) != 4 || sizes.size() != sizeof...(A)) return false;",
      "  size_t i = 0;",
      "  for (size_t size : sizes) if (given[i++] != size) return false;",
      "  return true;",
      "}",
      ...checks,
      ""
    ].join("\n")
    const folder = mkdtempSync(join(tmpdir(), "ptmflow-cuda-headers-"))
    try {
      const file = join(folder, "check.cpp")
      writeFileSync(file, text)
      execFileSync("c++", ["-std=c++17", "-fsyntax-only", ...includes.map((include) => `-I${include}`), file])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
