/**
 * The functions of the CUDA driver that are used, bound through koffi.
 *
 * @since 0.1.0
 */
import { DeviceError } from "../device.ts"

/** A handle, or an address on the card or of this process. */
export type Address = bigint

/** Makes the functions of a library: `Names` to their parameters, as C declares them but for handles, which are 64-bit words. */
export const bind = async <Functions>(
  path: string,
  prototypes: { readonly [N in keyof Functions]: string }
): Promise<Functions> => {
  const { default: koffi } = await import("koffi")
  const fail = (message: string) => new DeviceError({ device: "cuda", operation: "load", message })
  let library: ReturnType<typeof koffi.load>
  try {
    library = koffi.load(path)
  } catch (cause) {
    throw fail(`${path} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  return Object.fromEntries(
    Object.entries<string>(prototypes).map(([name, parameters]) => {
      try {
        return [name, library.func(`int ${name}(${parameters})`)]
      } catch {
        throw fail(`${path} has no function ${name}: it is older than CUDA 12, install a newer one`)
      }
    })
  ) as Functions
}

/** Status 0 is success; all else is one of CUresult. */
export interface DriverFunctions {
  readonly cuInit: (flags: number) => number
  readonly cuDriverGetVersion: (version: Int32Array) => number
  readonly cuGetErrorName: (error: number, name: [string | null]) => number
  readonly cuGetErrorString: (error: number, text: [string | null]) => number
  readonly cuDeviceGetCount: (count: Int32Array) => number
  readonly cuDeviceGet: (device: Int32Array, ordinal: number) => number
  readonly cuDeviceGetName: (name: Uint8Array, length: number, device: number) => number
  readonly cuDeviceTotalMem_v2: (bytes: BigUint64Array, device: number) => number
  readonly cuDeviceGetAttribute: (value: Int32Array, attribute: number, device: number) => number
  readonly cuDevicePrimaryCtxRetain: (context: BigUint64Array, device: number) => number
  readonly cuDevicePrimaryCtxRelease_v2: (device: number) => number
  readonly cuCtxSetCurrent: (context: Address) => number
  readonly cuMemGetInfo_v2: (free: BigUint64Array, total: BigUint64Array) => number
  readonly cuMemAlloc_v2: (pointer: BigUint64Array, bytes: number) => number
  readonly cuMemFree_v2: (pointer: Address) => number
  readonly cuMemHostAlloc: (pointer: BigUint64Array, bytes: number, flags: number) => number
  readonly cuMemFreeHost: (pointer: Address) => number
  readonly cuMemcpyHtoDAsync_v2: (to: Address, from: Address, bytes: number, stream: Address) => number
  readonly cuMemcpyDtoHAsync_v2: (to: Address, from: Address, bytes: number, stream: Address) => number
  readonly cuMemsetD8Async: (at: Address, value: number, bytes: number, stream: Address) => number
  readonly cuStreamCreate: (stream: BigUint64Array, flags: number) => number
  readonly cuStreamDestroy_v2: (stream: Address) => number
  readonly cuStreamSynchronize: (stream: Address) => number
  readonly cuStreamBeginCapture_v2: (stream: Address, mode: number) => number
  readonly cuStreamEndCapture: (stream: Address, graph: BigUint64Array) => number
  readonly cuGraphInstantiateWithFlags: (executable: BigUint64Array, graph: Address, flags: bigint) => number
  readonly cuGraphUpload: (executable: Address, stream: Address) => number
  readonly cuGraphLaunch: (executable: Address, stream: Address) => number
  readonly cuGraphDestroy: (graph: Address) => number
  readonly cuGraphExecDestroy: (executable: Address) => number
  readonly cuEventCreate: (event: BigUint64Array, flags: number) => number
  readonly cuEventRecord: (event: Address, stream: Address) => number
  readonly cuEventQuery: (event: Address) => number
  readonly cuEventDestroy_v2: (event: Address) => number
  readonly cuModuleLoadData: (module: BigUint64Array, image: Uint8Array) => number
  readonly cuModuleUnload: (module: Address) => number
  readonly cuModuleGetFunction: (entry: BigUint64Array, module: Address, name: string) => number
  readonly cuFuncSetAttribute: (entry: Address, attribute: number, value: number) => number
  readonly cuLaunchKernel: (
    entry: Address,
    gridX: number,
    gridY: number,
    gridZ: number,
    blockX: number,
    blockY: number,
    blockZ: number,
    shared: number,
    stream: Address,
    parameters: Address,
    extra: Address
  ) => number
}

/** Parameters as koffi reads them: what the C headers declare, handles and addresses as `uint64_t`. */
export const driverPrototypes: { readonly [N in keyof DriverFunctions]: string } = {
  cuInit: "uint32_t flags",
  cuDriverGetVersion: "_Out_ int32_t *version",
  cuGetErrorName: "int32_t error, _Out_ const char **name",
  cuGetErrorString: "int32_t error, _Out_ const char **text",
  cuDeviceGetCount: "_Out_ int32_t *count",
  cuDeviceGet: "_Out_ int32_t *device, int32_t ordinal",
  cuDeviceGetName: "_Out_ uint8_t *name, int32_t length, int32_t device",
  cuDeviceTotalMem_v2: "_Out_ uint64_t *bytes, int32_t device",
  cuDeviceGetAttribute: "_Out_ int32_t *value, int32_t attribute, int32_t device",
  cuDevicePrimaryCtxRetain: "_Out_ uint64_t *context, int32_t device",
  cuDevicePrimaryCtxRelease_v2: "int32_t device",
  cuCtxSetCurrent: "uint64_t context",
  cuMemGetInfo_v2: "_Out_ uint64_t *free, _Out_ uint64_t *total",
  cuMemAlloc_v2: "_Out_ uint64_t *pointer, uint64_t bytes",
  cuMemFree_v2: "uint64_t pointer",
  cuMemHostAlloc: "_Out_ uint64_t *pointer, uint64_t bytes, uint32_t flags",
  cuMemFreeHost: "uint64_t pointer",
  cuMemcpyHtoDAsync_v2: "uint64_t to, uint64_t from, uint64_t bytes, uint64_t stream",
  cuMemcpyDtoHAsync_v2: "uint64_t to, uint64_t from, uint64_t bytes, uint64_t stream",
  cuMemsetD8Async: "uint64_t at, uint8_t value, uint64_t bytes, uint64_t stream",
  cuStreamCreate: "_Out_ uint64_t *stream, uint32_t flags",
  cuStreamDestroy_v2: "uint64_t stream",
  cuStreamSynchronize: "uint64_t stream",
  cuStreamBeginCapture_v2: "uint64_t stream, int32_t mode",
  cuStreamEndCapture: "uint64_t stream, _Out_ uint64_t *graph",
  cuGraphInstantiateWithFlags: "_Out_ uint64_t *executable, uint64_t graph, uint64_t flags",
  cuGraphUpload: "uint64_t executable, uint64_t stream",
  cuGraphLaunch: "uint64_t executable, uint64_t stream",
  cuGraphDestroy: "uint64_t graph",
  cuGraphExecDestroy: "uint64_t executable",
  cuEventCreate: "_Out_ uint64_t *event, uint32_t flags",
  cuEventRecord: "uint64_t event, uint64_t stream",
  cuEventQuery: "uint64_t event",
  cuEventDestroy_v2: "uint64_t event",
  cuModuleLoadData: "_Out_ uint64_t *module, const uint8_t *image",
  cuModuleUnload: "uint64_t module",
  cuModuleGetFunction: "_Out_ uint64_t *entry, uint64_t module, const char *name",
  cuFuncSetAttribute: "uint64_t entry, int32_t attribute, int32_t value",
  cuLaunchKernel:
    "uint64_t entry, uint32_t gridX, uint32_t gridY, uint32_t gridZ, uint32_t blockX, uint32_t blockY, uint32_t blockZ, uint32_t shared, uint64_t stream, uint64_t parameters, uint64_t extra"
}

/** Values of the enumerations of cuda.h. */
export const Cuda = {
  CUDA_SUCCESS: 0,
  CUDA_ERROR_OUT_OF_MEMORY: 2,
  CUDA_ERROR_NOT_READY: 600,
  CU_DEVICE_ATTRIBUTE_CLOCK_RATE: 13,
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: 16,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: 76,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: 97,
  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: 8,
  CU_STREAM_NON_BLOCKING: 1,
  CU_STREAM_CAPTURE_MODE_RELAXED: 2,
  CU_EVENT_DISABLE_TIMING: 2
} as const

/** The driver, initialised. */
export interface Driver extends DriverFunctions {
  readonly path: string
  /** The newest CUDA that it can run, as 1000 * major + 10 * minor. */
  readonly version: number
}

/** Errors after which nothing works in this process any more: a kernel went wrong, or the card did. */
const sticky = new Set([214, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719])

/** Throws the typed error of a status that is not success. `operation` is what was being done. */
export const check = (driver: DriverFunctions, operation: string, status: number): void => {
  if (status === Cuda.CUDA_SUCCESS) return
  const name: [string | null] = [null]
  const text: [string | null] = [null]
  driver.cuGetErrorName(status, name)
  driver.cuGetErrorString(status, text)
  const lost = sticky.has(status)
    ? ": a kernel or the card failed, nothing more can be done with it in this process; what was computed since the last checkpoint is lost, run again"
    : ""
  const message = `${name[0] ?? `error ${status}`} (${text[0] ?? "unknown to this driver"})${lost}`
  throw new DeviceError({ device: "cuda", operation, message })
}

/** Loads and initialises the driver at a path. */
export const loadDriver = async (path: string): Promise<Driver> => {
  const functions = await bind<DriverFunctions>(path, driverPrototypes)
  check(functions, "start", functions.cuInit(0))
  const version = new Int32Array(1)
  check(functions, "start", functions.cuDriverGetVersion(version))
  if (version[0]! < 12000) {
    const has = `${Math.floor(version[0]! / 1000)}.${(version[0]! % 1000) / 10}`
    const message = `the NVIDIA driver is of CUDA ${has}: CUDA 12 or 13 is needed, install a driver of version 525 or newer`
    throw new DeviceError({ device: "cuda", operation: "start", message })
  }
  return { ...functions, path, version: version[0]! }
}
