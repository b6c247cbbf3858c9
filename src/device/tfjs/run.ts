/**
 * Running a program: its launches one after the other, with turns for the event loop in between.
 *
 * @since 0.1.0
 */
import type { DeviceError, Program } from "../device.ts"
import { faultError } from "../fault.ts"
import type { KernelName } from "../kernel.ts"
import { attention, attentionGradient } from "./attention.ts"
import { type Backend, NoRoom } from "./backend.ts"
import { bind, type Call, hostPlaces, OutOfRange } from "./call.ts"
import { cacheWrite, decodeAttention } from "./decode.ts"
import { add, biasGradient, fill, gelu, scale, swiglu, swigluGradient } from "./elementwise.ts"
import { embedding, embeddingGradient, rotary, rotaryTable } from "./embedding.ts"
import { lmHead, lmHeadGradient, lmHeadLoss, scalarHead, scalarHeadGradient } from "./head.ts"
import type { TensorMemory } from "./memory.ts"
import { layernorm, layernormGradient, rmsnorm, rmsnormGradient } from "./normalization.ts"
import { adamw, gradientNorm } from "./optimizer.ts"
import { matmul } from "./product.ts"
import { sample } from "./sample.ts"

/** A kernel that runs to its end at once, but `sample`, which waits for logits and says whether the run may end. */
type Kernels = {
  readonly [K in KernelName]: K extends "sample" ? (call: Call<K>) => Promise<boolean> : (call: Call<K>) => void
}

const table: Kernels = {
  fill,
  add,
  scale,
  embedding,
  embeddingGradient,
  layernorm,
  layernormGradient,
  rmsnorm,
  rmsnormGradient,
  swiglu,
  swigluGradient,
  rotaryTable,
  rotary,
  matmul,
  gelu,
  biasGradient,
  attention,
  attentionGradient,
  lmHead,
  lmHeadGradient,
  lmHeadLoss,
  scalarHead,
  scalarHeadGradient,
  gradientNorm,
  adamw,
  cacheWrite,
  decodeAttention,
  sample
}

/** Milliseconds of launches without a turn for others. */
const turn = 8

/** A program bound to memories; `stopped` is asked between launches. Gives the error that the run ended in, if one. */
export type Run = (times: number, stopped: () => boolean) => Promise<DeviceError | undefined>

export const make = (
  backend: Backend,
  program: Program,
  memories: ReadonlyArray<TensorMemory>,
  failed: (operation: string, message: string, outOfMemory: boolean) => DeviceError
): Run => {
  const launches = program.launches.map((launch) => ({
    kernel: launch.kernel,
    call: bind(backend, launch, memories),
    host: hostPlaces(launch, memories)
  }))
  return async (times, stopped) => {
    let last = performance.now()
    for (let time = 0; time < times; time++) {
      for (const [index, { call, host, kernel }] of launches.entries()) {
        if (performance.now() - last > turn) {
          await new Promise((resolve) => setImmediate(resolve))
          last = performance.now()
        }
        if (stopped()) return undefined
        try {
          for (const { bytes, memory, offset } of host) {
            if (!memory.isOnHost(offset, bytes)) await memory.bringToHost(offset, bytes)
          }
          backend.activate()
          if (kernel === "sample") {
            if (await sample(call as unknown as Call<"sample">)) return undefined
          } else backend.tf.tidy(() => (table[kernel] as (call: Call<KernelName>) => void)(call))
        } catch (cause) {
          if (cause instanceof OutOfRange) {
            return faultError("tfjs", program, [index, cause.row, cause.value, cause.limit])
          }
          const message = cause instanceof Error ? cause.message : String(cause)
          // An array that is longer than a heap that could not grow.
          const outOfMemory = cause instanceof NoRoom || cause instanceof RangeError
          return failed(program.name, `launch ${index} (${kernel}): ${message}`, outOfMemory)
        }
      }
    }
    return undefined
  }
}
