/**
 * The engine: models as programs on a device.
 *
 * @since 0.1.0
 */
export { cpu } from "../device/cpu/cpu.ts"
export { type CudaOptions, cuda } from "../device/cuda/cuda.ts"
export { Device, DeviceError } from "../device/device.ts"
export { Devices, devices } from "../device/devices.ts"
export { tfjs } from "../device/tfjs/tfjs.ts"
export * as Adapter from "./adapter.ts"
export * as Batch from "./batch.ts"
export * as Generate from "./generate.ts"
export * as Advantage from "./loss/advantage.ts"
export * as Ppo from "./loss/ppo.ts"
export * as Ranking from "./loss/ranking.ts"
export * as Model from "./model.ts"
export * as Optimizer from "./optimizer.ts"
export { OutOfDeviceMemory } from "./out-of-memory.ts"
export * as Random from "./random.ts"
export * as Safetensors from "./safetensors.ts"
export * as Schedule from "./schedule.ts"
export * as Session from "./session.ts"
