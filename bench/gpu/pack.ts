/**
 * Packs what a machine with a GPU, and without network, Node or a C++ compiler, needs to run the correctness suite and the figures:
 * `npm run pack:gpu` writes `ptmflow-gpu.tar.xz` (or the file that is named). There: `tar xJf ptmflow-gpu.tar.xz && ptmflow-gpu/run.sh`.
 */
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as esbuild from "esbuild"
import { compilerFlags, generatedHeader, sourceFiles, sourceFolder } from "../../src/device/cpu/toolchain.ts"
import { kernelFolder } from "../../src/device/cuda/kernel-cache.ts"
import { commit } from "../machine.ts"

const root = join(import.meta.dirname, "../..")
const most = 60e6

/** Modules that a GPU machine has no use for; the suite says that they are not there. */
const external = ["koffi", "@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-backend-webgpu", "webgpu"]

/** The emulator of the CUDA kernels is for machines without a card. */
const withoutEmulator: esbuild.Plugin = {
  name: "without the emulator",
  setup: (build) => {
    build.onResolve({ filter: /\/cuda\/fake\.ts$/ }, ({ path }) => ({ path, namespace: "without" }))
    build.onLoad({ filter: /.*/, namespace: "without" }, () => ({
      contents: 'export const makeFake = () => Promise.reject(new Error("the emulator is not in this pack"))'
    }))
  }
}

const bundle = async (folder: string) => {
  const common = {
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    external,
    // What packages ask `require` for.
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);'
    },
    logLevel: "error"
  } as const
  const suite = join(import.meta.dirname, "suite.ts")
  await esbuild.build({
    ...common,
    entryPoints: {
      figures: join(import.meta.dirname, "figures.ts"),
      serve: join(root, "bench/ours/serve.ts")
    },
    outdir: folder,
    outExtension: { ".js": ".mjs" }
  })
  await esbuild.build({
    ...common,
    stdin: {
      contents: `import ${JSON.stringify(join(root, "test/device/across.test.ts"))}\nimport { finish } from ${JSON.stringify(suite)}\nawait finish()\n`,
      resolveDir: root,
      loader: "ts"
    },
    outfile: join(folder, "correctness.mjs"),
    alias: { "@effect/vitest": suite },
    plugins: [withoutEmulator]
  })
}

/** The CPU device's library for any processor of the last ten years, and what gives it out as a compiler would. */
const packCpu = (folder: string) => {
  const sources = sourceFolder()
  for (const name of sourceFiles()) copyFileSync(join(sources, name), join(folder, name))
  const build = mkdtempSync(join(tmpdir(), "ptmflow-pack-cpu-"))
  const compiler = join(folder, "packed-c++")
  try {
    writeFileSync(join(build, "kernels.generated.h"), generatedHeader())
    const units = sourceFiles().filter((name) => name.endsWith(".cpp"))
    const flags = compilerFlags("f32", process.arch === "x64" ? "-march=x86-64-v3" : "")
    const files = units.map((name) => join(sources, name))
    execFileSync("c++", [...flags, `-I${build}`, "-shared", "-o", join(folder, "kernels.so"), ...files])
  } finally {
    rmSync(build, { recursive: true })
  }
  writeFileSync(
    compiler,
    `#!/bin/sh
# In place of a compiler: gives the library that was compiled when this was packed.
[ "$1" = --version ] && echo "packed with ptmflow" && exit 0
while [ $# -gt 0 ]; do [ "$1" = -o ] && cp "$(dirname "$0")/kernels.so" "$2"; shift; done
`
  )
  chmodSync(compiler, 0o755)
}

const runScript = `#!/bin/sh
# Correctness, then figures, on this machine's NVIDIA card. \`run.sh correctness\` or \`run.sh figures\` does one; \`run.sh figures --rehearse\` does the figures in little, without a card.
# CUDA's libraries (NVRTC, cuBLASLt) are found in LD_LIBRARY_PATH, CUDA_HOME and Python's packages, so that a Python with PyTorch is enough: it is python3, or PTMFLOW_BENCH_PYTHON.
set -e
here=$(cd "$(dirname "$0")" && pwd)
export PTMFLOW_CACHE="\${PTMFLOW_CACHE:-$here/cache}" PTMFLOW_COMMIT="@commit@" PTMFLOW_ACROSS=1
command -v c++ g++ clang++ >/dev/null 2>&1 || export CXX="$here/packed-c++"
python=\${PTMFLOW_BENCH_PYTHON:-python3}
site=$("$python" -c 'import site, sys; print(":".join(p for p in sys.path if p.endswith("-packages")))' 2>/dev/null || true)
export PYTHONPATH="$site\${PYTHONPATH:+:$PYTHONPATH}"
what=\${1:-all}
[ $# -gt 0 ] && shift
case $what in correctness|figures|all) ;; *) echo "run.sh [correctness|figures]" >&2; exit 2 ;; esac
if [ "$what" != figures ]; then "$here/node" "$here/correctness.mjs" "$@"; fi
if [ "$what" != correctness ]; then "$here/node" "$here/figures.mjs" "$@"; fi
`

const fill = async (folder: string) => {
  mkdirSync(folder, { recursive: true })
  await bundle(folder)
  copyFileSync(process.execPath, join(folder, "node"))
  chmodSync(join(folder, "node"), 0o755)
  cpSync(kernelFolder(), join(folder, "kernels"), { recursive: true })
  packCpu(folder)
  const peers = join(root, "bench/peers")
  mkdirSync(join(folder, "peers"), { recursive: true })
  for (const name of readdirSync(peers).filter((name) => name.endsWith(".py"))) {
    copyFileSync(join(peers, name), join(folder, "peers", name))
  }
  for (const name of ["koffi", "@koromix"]) {
    const kept = (path: string) => !/node_modules\/koffi\/(vendor|doc)(\/|$)/.test(path)
    cpSync(join(root, "node_modules", name), join(folder, "node_modules", name), { recursive: true, filter: kept })
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n')
  writeFileSync(join(folder, "run.sh"), runScript.replace("@commit@", commit()))
  chmodSync(join(folder, "run.sh"), 0o755)
}

/** To a file, or, if it is not named so, to a folder that stays as it is. */
const pack = async (to: string) => {
  if (!to.endsWith(".tar.xz")) return await fill(to)
  const temporary = mkdtempSync(join(tmpdir(), "ptmflow-pack-"))
  try {
    await fill(join(temporary, "ptmflow-gpu"))
    const part = resolve(`${to}.part`)
    const environment = { ...process.env, XZ_OPT: "-2 -T0" }
    execFileSync("tar", ["-cJf", part, "-C", temporary, "ptmflow-gpu"], { env: environment })
    const { size } = statSync(part)
    if (size > most) throw new Error(`${part} has ${size} bytes, and ${most} is the most`)
    renameSync(part, to)
    process.stdout.write(`${to}: ${(size / 1e6).toFixed(1)} MB\n`)
  } finally {
    rmSync(temporary, { recursive: true })
  }
}

await pack(process.argv[2] ?? "ptmflow-gpu.tar.xz")
