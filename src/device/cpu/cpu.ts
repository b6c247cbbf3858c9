/**
 * The CPU device: C++ kernels on a persistent thread pool; a program runs in one asynchronous call.
 *
 * @since 0.1.0
 */
import { existsSync } from "node:fs"
import { availableParallelism, totalmem } from "node:os"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { defaultCache, remembered } from "../cache.ts"
import { Device, DeviceError, type DeviceShape, type Memory, type Program, type Real } from "../device.ts"
import { type Fault, faultError } from "../fault.ts"
import { kernels } from "../kernel.ts"
import { limited } from "../limit.ts"
import { checkLaunch } from "../operands.ts"
import { probe, probeVersion } from "../probe.ts"
import { build, libraryPath } from "./build.ts"
import { load, type Native, type NativeFunction, type Pointer } from "./native.ts"
import { findCompiler, instructionSet, missingCompiler, numerics as numericsOf, processor } from "./toolchain.ts"

/** `threads`: all that the machine offers; `memory` that may be allocated: all that the machine, or the container, has; `real`: f32; `cacheDirectory`: see `defaultCache`. */
export interface CpuOptions {
  readonly threads?: number
  readonly memory?: number
  readonly real?: Real
  readonly cacheDirectory?: string
}

/** Bytes of this machine, or of the container that limits it. */
const machineMemory = (): number => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)

interface CpuMemory extends Memory {
  readonly pointer: Pointer
}

/** Moving or clearing fewer bytes holds the event loop for less than a millisecond; what is larger is done on another thread. */
const large = 1024 * 1024

/** Calls a function of the library on another thread. Interrupting it waits until it has ended: memory must not go before. */
const elsewhere = <Args extends ReadonlyArray<unknown>, Result>(
  call: NativeFunction<Args, Result>,
  ...args: Args
): Effect.Effect<Result> =>
  Effect.uninterruptible(
    Effect.callback((resume) => {
      call.async(...args, (error, result) => {
        if (error === null || error === undefined) resume(Effect.succeed(result))
        else resume(Effect.die(error))
      })
    })
  )

/** Calls a function of the library that takes time in proportion to `bytes`. */
const called = <Args extends ReadonlyArray<unknown>, Result>(
  bytes: number,
  call: NativeFunction<Args, Result>,
  ...args: Args
): Effect.Effect<Result> => (bytes < large ? Effect.sync(() => call(...args)) : elsewhere(call, ...args))

const fail = (operation: string, message: string) => new DeviceError({ device: "cpu", operation, message })
const noRoom = (operation: string, message: string) =>
  new DeviceError({ device: "cpu", operation, message, outOfMemory: true })
const kernelNames = Object.keys(kernels)

/** A program as the library reads it: counts, addresses, integers, and reals by their bits. */
const encode = (native: Native, program: Program, memories: ReadonlyArray<CpuMemory>): BigInt64Array => {
  const bases = memories.map((memory) => native.address(memory.pointer))
  const bits = new DataView(new ArrayBuffer(8))
  const words: Array<bigint> = [BigInt(program.launches.length)]
  for (const launch of program.launches) {
    const { buffers, integers, reals } = kernels[launch.kernel]
    const named = launch as unknown as {
      readonly buffers: { readonly [name: string]: { readonly memory: number; readonly offset: number } | undefined }
      readonly integers: { readonly [name: string]: number | undefined }
      readonly reals: { readonly [name: string]: number }
    }
    words.push(...[kernelNames.indexOf(launch.kernel), buffers.length, integers.length, reals.length].map(BigInt))
    for (const slot of buffers) {
      const at = named.buffers[slot.replace("?", "")]
      words.push(at === undefined ? 0n : bases[at.memory]! + BigInt(at.offset))
    }
    for (const name of integers) words.push(BigInt(named.integers[name.replace("?", "")] ?? 0))
    for (const name of reals) {
      bits.setFloat64(0, named.reals[name]!)
      words.push(bits.getBigInt64(0))
    }
  }
  return BigInt64Array.from(words)
}

/**
 * The CPU device. Nothing is compiled or loaded until memory is first allocated, or `numerics` asked for that this build's kernels were not probed
 * for before. Fails if there is no compiler.
 */
export const cpu = (options: CpuOptions = {}): Layer.Layer<Device, DeviceError> => Layer.effect(Device, make(options))

const make = Effect.fnUntraced(function* (options: CpuOptions) {
  const real = options.real ?? "f32"
  const threads = options.threads ?? availableParallelism()
  if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
    return yield* fail("start", `threads is ${threads}: it must be a whole number from 1 to 1024`)
  }
  const cache = options.cacheDirectory ?? defaultCache()
  const { compiler, identity } = yield* Effect.try({
    try: () => {
      const compiler = findCompiler(cache)
      return { compiler, identity: numericsOf(compiler, real) }
    },
    catch: (cause) => (cause instanceof DeviceError ? cause : fail("start", String(cause)))
  })
  const scope = yield* Effect.scope
  const started = yield* Effect.cached(
    Effect.gen(function* () {
      const native = yield* load(yield* build(compiler, cache, identity, real))
      const pool = yield* Effect.acquireRelease(
        Effect.sync(() => native.createPool(threads)),
        (pool) => Effect.sync(() => native.destroyPool(pool))
      )
      return { native, pool }
    }).pipe(Effect.provideService(Scope.Scope, scope))
  )

  const transfer = (operation: "read" | "write", memory: Memory, offset: number, data: ArrayBufferView) =>
    Effect.flatMap(started, ({ native }) => {
      const end = offset + data.byteLength
      if (offset < 0 || end > memory.bytes) {
        return Effect.fail(fail(operation, `bytes ${offset} to ${end} are not inside a memory of ${memory.bytes}`))
      }
      const { pointer } = memory as CpuMemory
      return called(data.byteLength, native[operation], pointer, offset, data, data.byteLength)
    })

  // The best of several runs, as the processor may be busy with other things; threads are taken to be cores.
  const peak = yield* Effect.cached(
    Effect.gen(function* () {
      const { native } = yield* started
      let most = 0
      for (let run = 0; run < 4; run++) most = Math.max(most, yield* elsewhere(native.peak, 10))
      return most * threads
    })
  )
  const device: DeviceShape = {
    kind: "cpu",
    description: `${threads} threads, ${instructionSet(processor().features)}, ${compiler.version}`,
    numerics: Effect.suspend(() => numerics),
    real,
    peak,
    allocate: (bytes) =>
      Effect.flatMap(started, ({ native }) =>
        Effect.acquireRelease(
          Effect.flatMap(called(bytes, native.allocate, bytes), (pointer) => {
            const memory: CpuMemory = { bytes, pointer }
            return pointer === null
              ? Effect.fail(noRoom("allocate", `${bytes} bytes are not to be had: make the model or the batch smaller`))
              : Effect.succeed(memory)
          }),
          (memory) => called(bytes, native.free, memory.pointer)
        )
      ),
    write: (memory, offset, data) => transfer("write", memory, offset, data),
    read: (memory, offset, into) => transfer("read", memory, offset, into),
    compile: Effect.fnUntraced(function* (program, memories) {
      const { native, pool } = yield* started
      for (const [index, launch] of program.launches.entries()) {
        const problem = checkLaunch(launch, index, real, memories)
        if (problem !== null) return yield* fail(program.name, problem)
      }
      yield* Effect.yieldNow
      const words = encode(native, program, memories as ReadonlyArray<CpuMemory>)
      const compiled = yield* Effect.acquireRelease(
        Effect.suspend(() => {
          const pointer = native.createProgram(words, words.length, threads)
          return pointer === null
            ? Effect.fail(noRoom(program.name, "the scratch of its kernels is not to be had: make the batch smaller"))
            : Effect.succeed(pointer)
        }),
        (pointer) => Effect.sync(() => native.destroyProgram(pointer))
      )
      return { run: (times = 1) => runProgram(native, pool, compiled, program, times) }
    })
  }
  const folder = dirname(libraryPath(cache, identity, real))
  const numerics = yield* Effect.cached(remembered(join(folder, `numerics-${probeVersion()}`), probe(device)))
  return Device.of(limited(device, options.memory ?? machineMemory()))
})

/** Interrupting it cancels the call and waits until it has ended, so that memory can be freed after. */
const runProgram = (native: Native, pool: Pointer, compiled: Pointer, program: Program, times: number) =>
  Effect.callback<void, DeviceError>((resume) => {
    const fault = new Int32Array(4)
    let ended = false
    let interrupted = false
    let onEnd = () => {}
    native.cancelProgram(compiled, 0)
    native.run.async(compiled, pool, times, fault, (error, code) => {
      ended = true
      if (error !== null && error !== undefined) resume(Effect.die(error))
      else if (code === 2) resume(Effect.fail(faultError("cpu", program, Array.from(fault) as unknown as Fault)))
      else if (code === 3) resume(Effect.fail(fail(program.name, overrun)))
      else if (code === 1 && !interrupted) resume(Effect.fail(fail(program.name, "the run was cancelled by another")))
      else resume(Effect.void)
      onEnd()
    })
    return Effect.callback<void>((done) => {
      if (ended) return done(Effect.void)
      onEnd = () => done(Effect.void)
      interrupted = true
      native.cancelProgram(compiled, 1)
    })
  })

const overrun =
  "a kernel wrote past the end of its scratch: this is a mistake in ptmflow's kernels, and what the program computed is not to be trusted"

/** What `doctor` says of the CPU device. */
export interface CpuDescription {
  readonly compiler: { readonly path: string; readonly version: string } | null
  readonly problem: string | null
  readonly processor: string
  readonly instructionSet: string
  readonly threads: number
  readonly cacheDirectory: string
  readonly built: boolean
}

/** Looks at the toolchain without compiling. */
export const describeCpu = (options: CpuOptions = {}): CpuDescription => {
  const cacheDirectory = options.cacheDirectory ?? defaultCache()
  const { features, model } = processor()
  const common = {
    processor: model,
    instructionSet: instructionSet(features),
    threads: options.threads ?? availableParallelism(),
    cacheDirectory
  }
  try {
    const compiler = findCompiler(cacheDirectory)
    const real = options.real ?? "f32"
    const built = existsSync(libraryPath(cacheDirectory, numericsOf(compiler, real), real))
    return { ...common, compiler, problem: null, built }
  } catch (cause) {
    return {
      ...common,
      compiler: null,
      problem: cause instanceof DeviceError ? cause.message : missingCompiler,
      built: false
    }
  }
}
