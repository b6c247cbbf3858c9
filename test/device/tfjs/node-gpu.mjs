/**
 * A process in which `@tensorflow/tfjs-node-gpu` is installed: in place of it stands a module that does at its start what it does, and computes with the
 * kernels of plain JavaScript. Prints what the device says of itself, and a sum that it computed.
 */
import { registerHooks } from "node:module"

const stub = `
  import * as tf from "@tensorflow/tfjs-core"
  import { MathBackendCPU } from "@tensorflow/tfjs-backend-cpu"
  import { createRequire } from "node:module"
  if (!createRequire(import.meta.url)("util").isNullOrUndefined(undefined)) throw new Error("util")
  tf.copyRegisteredKernels("cpu", "tensorflow")
  tf.registerBackend("tensorflow", () => new MathBackendCPU())
`
const url = new URL("./stub-of-tfjs-node-gpu.mjs", import.meta.url).href
registerHooks({
  resolve: (name, context, next) =>
    name === "@tensorflow/tfjs-node-gpu" ? { url, format: "module", shortCircuit: true } : next(name, context),
  load: (at, context, next) => (at === url ? { source: stub, format: "module", shortCircuit: true } : next(at, context))
})

const Effect = await import("effect/Effect")
const { Device } = await import("../../../src/device/device.ts")
const { tfjs } = await import("../../../src/device/tfjs/tfjs.ts")
const program = Effect.gen(function* () {
  const device = yield* Device
  const memory = yield* device.allocate(8)
  yield* device.write(memory, 0, Float32Array.of(2, 3))
  const [a, out] = [
    { memory: 0, offset: 0 },
    { memory: 0, offset: 4 }
  ]
  const launch = { kernel: "add", buffers: { a, b: out, out }, integers: { count: 1 }, reals: {} }
  const { run } = yield* device.compile({ name: "sum", memories: 1, launches: [launch] }, [memory])
  yield* run()
  const sum = new Float32Array(1)
  yield* device.read(memory, 4, sum)
  return `${device.description}: ${sum[0]}`
})
console.log(await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(tfjs()))))
