/**
 * NVRTC: from CUDA C++ to machine code for a card.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { DeviceError } from "../device.ts"
import { type Address, bind } from "./driver.ts"

type Async<F> = F extends (...args: infer Args) => infer Result
  ? F & { readonly async: (...args: [...Args, done: (error: unknown, result: Result) => void]) => void }
  : never

interface NvrtcFunctions {
  readonly nvrtcVersion: (major: Int32Array, minor: Int32Array) => number
  readonly nvrtcGetNumSupportedArchs: (count: Int32Array) => number
  readonly nvrtcGetSupportedArchs: (architectures: Int32Array) => number
  readonly nvrtcCreateProgram: (
    program: BigUint64Array,
    source: string,
    name: string,
    headers: number,
    texts: ReadonlyArray<string>,
    names: ReadonlyArray<string>
  ) => number
  readonly nvrtcCompileProgram: Async<(program: Address, count: number, options: ReadonlyArray<string>) => number>
  readonly nvrtcDestroyProgram: (program: BigUint64Array) => number
  readonly nvrtcGetProgramLogSize: (program: Address, bytes: BigUint64Array) => number
  readonly nvrtcGetProgramLog: (program: Address, log: Uint8Array) => number
  readonly nvrtcGetCUBINSize: (program: Address, bytes: BigUint64Array) => number
  readonly nvrtcGetCUBIN: (program: Address, image: Uint8Array) => number
  readonly nvrtcGetPTXSize: (program: Address, bytes: BigUint64Array) => number
  readonly nvrtcGetPTX: (program: Address, image: Uint8Array) => number
}

/** Parameters as koffi reads them, like `driverPrototypes`. */
export const nvrtcPrototypes: { readonly [N in keyof NvrtcFunctions]: string } = {
  nvrtcVersion: "_Out_ int32_t *major, _Out_ int32_t *minor",
  nvrtcGetNumSupportedArchs: "_Out_ int32_t *count",
  nvrtcGetSupportedArchs: "_Out_ int32_t *architectures",
  nvrtcCreateProgram:
    "_Out_ uint64_t *program, const char *source, const char *name, int32_t headers, const char **texts, const char **names",
  nvrtcCompileProgram: "uint64_t program, int32_t count, const char **options",
  nvrtcDestroyProgram: "_Inout_ uint64_t *program",
  nvrtcGetProgramLogSize: "uint64_t program, _Out_ uint64_t *bytes",
  nvrtcGetProgramLog: "uint64_t program, _Out_ uint8_t *log",
  nvrtcGetCUBINSize: "uint64_t program, _Out_ uint64_t *bytes",
  nvrtcGetCUBIN: "uint64_t program, _Out_ uint8_t *image",
  nvrtcGetPTXSize: "uint64_t program, _Out_ uint64_t *bytes",
  nvrtcGetPTX: "uint64_t program, _Out_ uint8_t *image"
}

/** The compiler, loaded. `architectures`: the compute capabilities it knows (90 is 9.0). */
export interface Nvrtc {
  readonly functions: NvrtcFunctions
  readonly version: string
  readonly architectures: ReadonlyArray<number>
}

const fail = (operation: string, message: string) => new DeviceError({ device: "cuda", operation, message })

/** Loads the compiler at a path. */
export const loadNvrtc = (path: string): Effect.Effect<Nvrtc, DeviceError> =>
  Effect.tryPromise({
    try: async () => {
      const functions = await bind<NvrtcFunctions>(path, nvrtcPrototypes)
      const [major, minor, count] = [new Int32Array(1), new Int32Array(1), new Int32Array(1)]
      const known = functions.nvrtcVersion(major, minor) + functions.nvrtcGetNumSupportedArchs(count)
      const architectures = new Int32Array(count[0]!)
      if (known + functions.nvrtcGetSupportedArchs(architectures) !== 0) throw fail("load", `${path} does not answer`)
      return { functions, version: `${major[0]}.${minor[0]}`, architectures: Array.from(architectures) }
    },
    catch: (cause) => (cause instanceof DeviceError ? cause : fail("load", String(cause)))
  })

/** A `.cu` file and the headers that it may include. */
export interface KernelSource {
  readonly file: string
  readonly text: string
  readonly headers: ReadonlyArray<{ readonly file: string; readonly text: string }>
}

/** Machine code, or PTX (an assembly that a driver compiles) for a card that is newer than the compiler. */
export type Target = { readonly code: "cubin" | "ptx"; readonly architecture: string }

/** What to compile for a card: code for it, or for the newest card that the compiler knows. */
export const targetOf = ({ architectures }: Pick<Nvrtc, "architectures">, capability: number): Target => {
  if (architectures.includes(capability)) return { code: "cubin", architecture: `sm_${capability}` }
  const newest = Math.max(...architectures.filter((known) => known < capability))
  return { code: "ptx", architecture: `compute_${newest}` }
}

/** No `--use_fast_math`: what is written is what is computed, but for products and sums that become one fused operation. */
export const compileOptions = (target: Target): ReadonlyArray<string> => [
  `--gpu-architecture=${target.architecture}`,
  "--std=c++17",
  "--fmad=true"
]

const fetched = (
  size: (bytes: BigUint64Array) => number,
  get: (into: Uint8Array) => number
): Uint8Array<ArrayBuffer> => {
  const bytes = new BigUint64Array(1)
  if (size(bytes) !== 0) return new Uint8Array(0)
  const into = new Uint8Array(Number(bytes[0]))
  return get(into) === 0 ? into : new Uint8Array(0)
}

/** Compiles a file on another thread; fails with the compiler's first errors. */
export const compileKernels = (
  { functions, version }: Nvrtc,
  source: KernelSource,
  target: Target
): Effect.Effect<Uint8Array<ArrayBuffer>, DeviceError> =>
  Effect.acquireUseRelease(
    Effect.suspend(() => {
      const program = new BigUint64Array(1)
      const { file, headers, text } = source
      const [texts, names] = [headers.map((header) => header.text), headers.map((header) => header.file)]
      const status = functions.nvrtcCreateProgram(program, text, file, headers.length, texts, names)
      return status === 0
        ? Effect.succeed(program)
        : Effect.fail(fail("compile", `NVRTC ${version} cannot begin ${file}: error ${status}`))
    }),
    (handle) => {
      const program = handle[0]!
      const options = compileOptions(target)
      return Effect.callback<number>((resume) => {
        functions.nvrtcCompileProgram.async(program, options.length, options, (error, status) =>
          resume(error === null || error === undefined ? Effect.succeed(status) : Effect.die(error))
        )
      }).pipe(
        Effect.uninterruptible,
        Effect.flatMap((status) => {
          const image =
            target.code === "cubin"
              ? fetched(
                  (bytes) => functions.nvrtcGetCUBINSize(program, bytes),
                  (into) => functions.nvrtcGetCUBIN(program, into)
                )
              : fetched(
                  (bytes) => functions.nvrtcGetPTXSize(program, bytes),
                  (into) => functions.nvrtcGetPTX(program, into)
                )
          if (status === 0 && image.length > 0) return Effect.succeed(image)
          const log = fetched(
            (bytes) => functions.nvrtcGetProgramLogSize(program, bytes),
            (into) => functions.nvrtcGetProgramLog(program, into)
          )
          const text = Buffer.from(log).toString("utf8").replaceAll("\0", "")
          const errors = text.split("\n").filter((line) => line.includes("error"))
          const message = `NVRTC ${version} cannot compile ${source.file} for ${target.architecture} (error ${status}):\n`
          return Effect.fail(fail("compile", message + (errors.length === 0 ? [text] : errors.slice(0, 5)).join("\n")))
        })
      )
    },
    (handle) => Effect.sync(() => functions.nvrtcDestroyProgram(handle))
  )
