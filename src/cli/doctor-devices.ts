/**
 * What `doctor` says of devices: each kind, and which of them `auto` takes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { type CpuDescription, describeCpu } from "../device/cpu/cpu.ts"
import { type CudaDescription, describeCuda } from "../device/cuda/cuda.ts"
import { Devices, type DevicesOptions, devices } from "../device/devices.ts"
import { describeTfjs, type TfjsDescription } from "../device/tfjs/tfjs.ts"
import type { Finding } from "./render/findings.ts"
import { bytes, count } from "./render/quantity.ts"

/** Findings of the compiler, of each kind of device, and of the choice; opening the device that is chosen is how it is known to work. */
export const deviceFindings = Effect.fnUntraced(function* (options: DevicesOptions) {
  const opened = yield* Effect.result(
    Effect.scoped(Effect.map(Layer.build(devices(options)), (context) => Context.get(context, Devices)))
  )
  const chosen = Result.isSuccess(opened)
    ? ({
        name: "Device",
        state: "ok",
        found: `auto takes ${opened.success.preferred}: ${opened.success.reason}`,
        todo: ""
      } as const)
    : ({ name: "Device", state: "missing", found: "none", todo: opened.failure.message } as const)
  const about = describeCpu(options.cpu)
  const needed = Result.isFailure(opened)
  return [compiler(about, needed), cpu(about), cuda(yield* describeCuda()), tfjs(yield* describeTfjs()), chosen]
})

const compiler = ({ compiler, problem }: CpuDescription, needed: boolean): Finding =>
  compiler === null
    ? { name: "C++ compiler", state: needed ? "missing" : "poor", found: "none", todo: problem ?? "" }
    : { name: "C++ compiler", state: "ok", found: `${compiler.version}, ${compiler.path}`, todo: "" }

const cpu = ({ built, cacheDirectory, compiler, instructionSet, processor, threads }: CpuDescription): Finding => ({
  name: "CPU device",
  state: compiler === null ? "absent" : "ok",
  found: [
    processor,
    instructionSet,
    count(threads, "thread"),
    ...(compiler === null
      ? ["needs the compiler"]
      : built
        ? [`library built, in ${cacheDirectory}`]
        : [`library not built yet, will be on first use in ${cacheDirectory}`])
  ].join(", "),
  todo: ""
})

/** A machine without a driver wants no CUDA; one that has it lacks what is missing. */
const cuda = ({ cards, driver, problem }: CudaDescription): Finding => {
  const name = "CUDA device"
  const found = [
    ...cards.map((card) => `${card.name}, ${bytes(card.memoryBytes)}`),
    ...(driver === null ? [] : [`CUDA ${driver.cuda}, ${driver.path}`])
  ].join("; ")
  if (problem === null) return { name, state: "ok", found, todo: "" }
  return driver === null && cards.length === 0
    ? { name, state: "absent", found: problem, todo: "" }
    : { name, state: "poor", found: found === "" ? "none" : found, todo: problem }
}

const tfjs = ({ backends, chosen }: TfjsDescription): Finding => {
  const name = "TFJS device"
  const each = backends.map(({ found, name, problem }) =>
    name === chosen ? `${name} (taken): ${found ?? ""}` : `${name}: ${problem ?? found ?? ""}`
  )
  return { name, state: chosen === null ? "absent" : "ok", found: each.join("\n"), todo: "" }
}
