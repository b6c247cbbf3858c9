/**
 * What decides the bits of the CPU device: its sources, the compiler and the processor, found without compiling anything.
 *
 * @since 0.1.0
 */
import { execFileSync } from "node:child_process"
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from "node:fs"
import { cpus } from "node:os"
import { delimiter, join } from "node:path"
import { digest } from "../cache.ts"
import { DeviceError, type Real } from "../device.ts"
import { Activation, cacheBlock, kernels, Precision } from "../kernel.ts"

/** A C++ compiler: where it is, and the first line of its `--version`. */
export interface Compiler {
  readonly path: string
  readonly version: string
}

/** The folder of the C++ sources, in a checkout and in an installed package. */
export const sourceFolder = (): string => {
  const beside = import.meta.dirname
  return existsSync(join(beside, "matmul.cpp")) ? beside : join(beside, "../../../../src/device/cpu")
}

/** File names of the C++ sources, headers included, sorted. */
export const sourceFiles = (): ReadonlyArray<string> =>
  readdirSync(sourceFolder())
    .filter((name) => /\.(cpp|h)$/.test(name))
    .sort()

/** `kernels.generated.h`: opcodes and operand indices, from the kernel table. */
export const generatedHeader = (): string => {
  const list = (prefix: string, names: ReadonlyArray<string>) =>
    names.length === 0 ? "" : ` enum { ${names.map((name) => prefix + name.replace("?", "")).join(", ")} };`
  const spaces = Object.entries(kernels).map(
    ([name, { buffers, integers, reals }]) =>
      `namespace kernel_${name} {${list("b_", buffers)}${list("i_", integers)}${list("r_", reals)} }`
  )
  const opcodes = Object.keys(kernels).map((name) => `op_${name}`)
  const values = [
    ...Object.entries(Activation).map(([name, value]) => `activation_${name} = ${value}`),
    ...Object.entries(Precision).map(([name, value]) => `precision_${name} = ${value}`)
  ]
  return [
    "#pragma once",
    ...spaces,
    `enum Opcode { ${opcodes.join(", ")}, op_count };`,
    `enum { ${values.join(", ")} };`,
    `constexpr long cacheBlock = ${cacheBlock};`,
    ""
  ].join("\n")
}

/** No `-ffast-math`: sums keep the order in which they are written. */
export const compilerFlags = (real: Real, architecture: string): ReadonlyArray<string> => [
  "-std=c++17",
  "-O3",
  ...(architecture === "" ? [] : [architecture]),
  "-ffp-contract=fast",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-fPIC",
  "-pthread",
  `-DREAL=${real === "f32" ? "float" : "double"}`
]

const onPath = (name: string): string | undefined => {
  if (name.includes("/")) return existsSync(name) ? name : undefined
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

/** What to do where there is no compiler. */
export const missingCompiler =
  "no C++ compiler (c++, g++ or clang++, or the CXX variable): install one with `apt-get install g++` (Debian, Ubuntu), " +
  "`dnf install gcc-c++` (Fedora), `apk add g++ musl-dev` (Alpine) or `xcode-select --install` (macOS)"

/** The compiler; its version is remembered in the cache under its path, size and time, so that it is asked once. */
export const findCompiler = (cacheFolder: string): Compiler => {
  const wanted = process.env["CXX"]
  const names = wanted === undefined || wanted === "" ? ["c++", "g++", "clang++"] : [wanted]
  const path = names.map(onPath).find((found) => found !== undefined)
  if (path === undefined) throw new DeviceError({ device: "cpu", operation: "find compiler", message: missingCompiler })
  const { mtimeMs, size } = statSync(path)
  const memo = join(cacheFolder, `compiler-${digest([path, String(size), String(mtimeMs)]).slice(0, 16)}.txt`)
  try {
    return { path, version: readFileSync(memo, "utf8") }
  } catch {
    // Not asked before.
  }
  let version: string
  try {
    version = execFileSync(path, ["--version"], { encoding: "utf8" }).split("\n")[0]!
  } catch (cause) {
    throw new DeviceError({
      device: "cpu",
      operation: "find compiler",
      message: `${path} --version failed: ${String(cause)}`
    })
  }
  try {
    mkdirSync(cacheFolder, { recursive: true })
    writeFileSync(memo, version)
  } catch {
    // A cache that cannot be written costs time only; building says so if it must.
  }
  return { path, version }
}

/** Model and instruction sets of the processor. */
export const processor = (): { readonly model: string; readonly features: ReadonlyArray<string> } => {
  const model = cpus()[0]?.model.trim() ?? process.arch
  try {
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))
    return { model, features: line === null ? [] : line[1]!.trim().split(/\s+/).sort() }
  } catch {
    return { model, features: [] }
  }
}

/** The widest instruction set that the kernels are compiled for, in words. */
export const instructionSet = (features: ReadonlyArray<string>): string => {
  const named = { avx512f: "AVX-512", avx2: "AVX2", avx: "AVX", asimd: "NEON" }
  for (const [feature, name] of Object.entries(named)) if (features.includes(feature)) return name
  return process.arch === "arm64" ? "NEON" : "128-bit vectors"
}

/** Equal for two machines only if their kernels are compiled from the same text, by the same compiler, for the same instructions. */
export const numerics = (compiler: Compiler, real: Real): string => {
  const folder = sourceFolder()
  const { features, model } = processor()
  return digest([
    ...sourceFiles().flatMap((name) => [name, readFileSync(join(folder, name), "utf8")]),
    generatedHeader(),
    compilerFlags(real, "-march=native").join(" "),
    compiler.version,
    process.arch,
    features.length === 0 ? model : features.join(" ")
  ])
}
