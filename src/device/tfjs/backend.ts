/**
 * TensorFlow.js's backends: which are there, and starting one.
 *
 * @since 0.1.0
 */
import { createRequire } from "node:module"
import { dirname } from "node:path"
import nodeUtil from "node:util"
import type { KernelBackend, Tensor } from "@tensorflow/tfjs-core"
import { DeviceError } from "../device.ts"
import type { Tf } from "./memory.ts"
import { type Moves, onHeap, plain } from "./moves.ts"

/** The backends, best first: TensorFlow's library on a GPU, WebGPU, WebAssembly, plain JavaScript. */
export const backendNames = ["node-gpu", "webgpu", "wasm", "js"] as const
export type BackendName = (typeof backendNames)[number]

/** A backend that runs, as kernels see it. */
export interface Backend {
  readonly tf: Tf
  /** Products of matrices that lie transposed or in batches are slow: XNNPACK, which WASM has, takes neither. */
  readonly plainProducts: boolean
  readonly moves: Moves
  /** Makes it the one that TensorFlow.js uses: there is one at a time in a process. */
  readonly activate: () => void
  /** A tensor that does not change, kept while few others were asked for since. */
  readonly constant: <T extends Tensor>(key: string, make: () => T) => T
}

/** There is no room for a tensor. */
export class NoRoom extends Error {}

/** A backend that was started, once in a process. `memory` is what it can have at most, where that is known; `lost` says why it can be used no more. */
export interface Started {
  readonly memory?: number
  readonly tf: Tf
  readonly name: BackendName
  readonly description: string
  readonly lost: () => string | undefined
}

/** What is there of a backend; `problem` says why it cannot be used and what to do about it. */
export type Candidate =
  | {
      readonly name: BackendName
      readonly found: string
      readonly problem: null
      readonly start: () => Promise<Started>
    }
  | { readonly name: BackendName; readonly found: null; readonly problem: string }

const tfName: { readonly [N in BackendName]: string } = {
  "node-gpu": "tensorflow",
  webgpu: "webgpu",
  wasm: "wasm",
  js: "cpu"
}

const require = createRequire(import.meta.url)

const installed = (name: string): string | null => {
  try {
    return require.resolve(name)
  } catch {
    return null
  }
}

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))
const absent = (name: BackendName, ...packages: ReadonlyArray<string>): Candidate => ({
  name,
  found: null,
  problem: `${packages.join(" and ")} not installed: npm install ${packages.map((each) => `${each}@${wanted[each] ?? ""}`.replace(/@$/, "")).join(" ")}`
})

/** The versions that this device is written for. */
const version = "4.22.0"
const wanted: { readonly [name: string]: string } = {
  "@tensorflow/tfjs-core": version,
  "@tensorflow/tfjs-node-gpu": version,
  "@tensorflow/tfjs-backend-webgpu": version,
  "@tensorflow/tfjs-backend-wasm": version,
  "@tensorflow/tfjs-backend-cpu": version
}

const core = async (): Promise<Tf> => {
  const tf = await import("@tensorflow/tfjs-core")
  // Without it, its first use on the CPU prints an advertisement.
  tf.enableProdMode()
  return tf
}

/**
 * Makes a backend and hands it to TensorFlow.js as one that is made at once: while it waits for one that it makes itself, no other can compute. `made` gets
 * the backend first.
 */
const activated = async (
  tf: Tf,
  name: BackendName,
  description: string,
  {
    lost = () => undefined,
    made = () => {}
  }: { lost?: () => string | undefined; made?: (backend: KernelBackend) => void } = {}
): Promise<Started> => {
  const known = tfName[name]
  const backend = await tf.findBackendFactory(known)()
  made(backend)
  tf.removeBackend(known)
  tf.registerBackend(known, () => backend)
  if (!(await tf.setBackend(known))) throw new Error(`TensorFlow.js cannot start its backend ${known}`)
  return { tf, name, description: `TensorFlow.js ${tf.version_core}, ${description}`, lost }
}

const nodeGpu = async (): Promise<Candidate> => {
  const name = "node-gpu"
  const module = "@tensorflow/tfjs-node-gpu"
  if (installed(module) === null) return absent(name, module)
  return {
    name,
    found: "TensorFlow's library",
    problem: null,
    start: async () => {
      // Node 23 took it away, and tfjs-node calls it.
      const patched = nodeUtil as { isNullOrUndefined?: (value: unknown) => boolean }
      patched.isNullOrUndefined ??= (value) => value === null || value === undefined
      const tf = await core()
      await import(module)
      return activated(tf, name, "TensorFlow's library")
    }
  }
}

/** The parts of the npm package webgpu that are used. */
interface Dawn {
  readonly create: (options: ReadonlyArray<string>) => {
    readonly requestAdapter: (options: object) => Promise<Adapter | null>
  }
  readonly globals: object
}
interface Adapter {
  readonly info: { readonly description: string; readonly vendor: string; readonly isFallbackAdapter: boolean }
  readonly features: ReadonlySet<string>
  readonly limits: { readonly [name: string]: number }
  readonly requestDevice: (options: object) => Promise<GraphicsDevice>
}
interface GraphicsDevice {
  readonly lost: Promise<{ readonly message: string }>
  readonly addEventListener: (
    type: "uncapturederror",
    listener: (event: { readonly error: { readonly message: string } }) => void
  ) => void
}

/** Dawn writes a warning of its own where Vulkan's loader is missing. */
const vulkanProblem = async (): Promise<string | null> => {
  if (process.platform !== "linux") return null
  const { default: koffi } = await import("koffi")
  try {
    koffi.load("libvulkan.so.1")
    return null
  } catch {
    return "Vulkan's loader libvulkan.so.1 is missing: install it (Debian: apt-get install libvulkan1) and the card's driver"
  }
}

const limits = [
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupSizeX",
  "maxComputeInvocationsPerWorkgroup"
]

const startWebgpu = async (dawn: Dawn, gpu: object, adapter: Adapter): Promise<Started> => {
  const tf = await core()
  const { WebGPUBackend } = await import("@tensorflow/tfjs-backend-webgpu")
  for (const [key, value] of Object.entries(dawn.globals)) {
    if (!(key in globalThis)) Object.defineProperty(globalThis, key, { value, configurable: true, writable: true })
  }
  Object.defineProperty(globalThis.navigator, "gpu", { value: gpu, configurable: true })
  const graphics = await adapter.requestDevice({
    requiredLimits: Object.fromEntries(limits.map((limit) => [limit, adapter.limits[limit]!]))
  })
  let lost: string | undefined
  graphics.addEventListener("uncapturederror", ({ error }) => {
    lost ??= error.message
  })
  void graphics.lost.then(({ message }) => {
    lost ??= message
  })
  tf.registerBackend("webgpu", () => new WebGPUBackend(graphics as never, adapter.info as never))
  return activated(tf, "webgpu", `WebGPU on ${adapter.info.description}`, { lost: () => lost })
}

const webgpu = async (): Promise<Candidate> => {
  const name = "webgpu"
  const missing = ["@tensorflow/tfjs-backend-webgpu", "webgpu"].filter((module) => installed(module) === null)
  if (missing.length > 0) return absent(name, ...missing)
  const unavailable = (problem: string): Candidate => ({ name, found: null, problem })
  const problem = await vulkanProblem()
  if (problem !== null) return unavailable(problem)
  try {
    const dawn = (await import("webgpu")) as unknown as Dawn
    const gpu = dawn.create([])
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" })
    if (adapter === null) return unavailable("no graphics card with a driver was found: install the card's driver")
    const { description, isFallbackAdapter } = adapter.info
    return {
      name,
      found: isFallbackAdapter ? `${description} (${software})` : description,
      problem: null,
      start: () => startWebgpu(dawn, gpu, adapter)
    }
  } catch (cause) {
    return unavailable(`the npm package webgpu cannot be used here: ${messageOf(cause)}`)
  }
}

const software = "a graphics card in software"

/** Addresses have 32 bits. */
const heapBytes = 2 ** 32

/** Where there is no room, WASM's allocator gives address 0, and its backend would write there. */
const guardHeap = (backend: KernelBackend): void => {
  const { wasm } = backend as unknown as { readonly wasm: { _malloc: (bytes: number) => number } }
  const allocate = wasm._malloc
  wasm._malloc = (bytes) => {
    const address = allocate(bytes)
    if (address === 0 && bytes > 0) throw new NoRoom(`WebAssembly's memory of 4 GB has no room for ${bytes} bytes more`)
    return address
  }
}

const wasm = async (): Promise<Candidate> => {
  const name = "wasm"
  const module = "@tensorflow/tfjs-backend-wasm"
  const path = installed(module)
  if (path === null) return absent(name, module)
  return {
    name,
    found: "WebAssembly",
    problem: null,
    start: async () => {
      const tf = await core()
      const { setWasmPaths } = await import("@tensorflow/tfjs-backend-wasm")
      setWasmPaths(`${dirname(path)}/`)
      const simd = await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT")
      const running = await activated(
        tf,
        name,
        `WebAssembly ${simd === true ? "with SIMD" : "without SIMD"}, 1 thread`,
        {
          made: guardHeap
        }
      )
      return { ...running, memory: heapBytes }
    }
  }
}

const js = async (): Promise<Candidate> => {
  const name = "js"
  const module = "@tensorflow/tfjs-backend-cpu"
  if (installed(module) === null) return absent(name, module)
  return {
    name,
    found: "plain JavaScript",
    problem: null,
    start: async () => {
      const tf = await core()
      await import("@tensorflow/tfjs-backend-cpu")
      return activated(tf, name, "plain JavaScript, 1 thread")
    }
  }
}

const finders: { readonly [N in BackendName]: () => Promise<Candidate> } = { "node-gpu": nodeGpu, webgpu, wasm, js }

/** Looks for a backend, without starting it. */
export const find = (name: BackendName): Promise<Candidate> =>
  installed("@tensorflow/tfjs-core") === null ? Promise.resolve(absent(name, "@tensorflow/tfjs-core")) : finders[name]()

/** A choice, and what speaks against those that come before it. */
export interface Choice {
  readonly candidate: Candidate & { readonly problem: null }
  readonly passedOver: ReadonlyArray<{ readonly name: BackendName; readonly why: string }>
}

/** The best that is there; a graphics card in software is slower than WebAssembly. */
export const choose = async (): Promise<
  Choice | ReadonlyArray<{ readonly name: BackendName; readonly why: string }>
> => {
  const passedOver: Array<{ readonly name: BackendName; readonly why: string }> = []
  for (const name of backendNames) {
    const candidate = await find(name)
    if (candidate.problem !== null) passedOver.push({ name, why: candidate.problem })
    else if (candidate.found.endsWith(`(${software})`)) passedOver.push({ name, why: `only ${candidate.found}` })
    else return { candidate, passedOver }
  }
  return passedOver
}

const started = new Map<BackendName, Promise<Started>>()

/** Starts a backend, once in a process. */
export const start = (candidate: Candidate & { readonly problem: null }): Promise<Started> => {
  const { name } = candidate
  const running = started.get(name) ?? candidate.start()
  started.set(name, running)
  return running.catch((cause: unknown) => {
    started.delete(name)
    throw new DeviceError({ device: "tfjs", operation: "start", message: `backend ${name}: ${messageOf(cause)}` })
  })
}

/** Constants that are kept at once. */
const keptConstants = 8

/** The backend as kernels of one device see it. `free` gives back what it kept. */
export const using = ({ name, tf }: Started): Backend & { readonly free: () => void } => {
  const constants = new Map<string, Tensor>()
  const activate = () => {
    // Of a backend that was started, it is done when the call returns.
    if (tf.getBackend() !== tfName[name]) void tf.setBackend(tfName[name])
  }
  return {
    tf,
    plainProducts: name === "wasm",
    moves: name === "wasm" ? onHeap(tf) : plain(tf),
    activate,
    constant: (key, make) => {
      const found = constants.get(key) ?? tf.keep(make())
      constants.delete(key)
      constants.set(key, found)
      for (const [old, tensor] of constants) {
        if (constants.size <= keptConstants) break
        tensor.dispose()
        constants.delete(old)
      }
      return found as ReturnType<typeof make>
    },
    free: () => {
      for (const tensor of constants.values()) tensor.dispose()
      constants.clear()
    }
  }
}
