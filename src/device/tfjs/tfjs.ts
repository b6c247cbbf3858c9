/**
 * The TensorFlow.js device: interprets programs on the best backend that is there. It needs no C++ compiler.
 *
 * @since 0.1.0
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { cpus } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { defaultCache, digest, remembered } from "../cache.ts"
import { Device, DeviceError, type DeviceShape, type Memory } from "../device.ts"
import { limited } from "../limit.ts"
import { checkLaunch } from "../operands.ts"
import { probe, probeVersion } from "../probe.ts"
import * as Backends from "./backend.ts"
import * as Memories from "./memory.ts"
import * as Run from "./run.ts"

export { type BackendName, backendNames } from "./backend.ts"

/** `backend`: `auto`, the best that is there; `cacheDirectory`: see `defaultCache`. */
export interface TfjsOptions {
  readonly backend?: "auto" | Backends.BackendName
  readonly cacheDirectory?: string
}

const fail = (operation: string, message: string, outOfMemory = false) =>
  new DeviceError({ device: "tfjs", operation, message, ...(outOfMemory ? { outOfMemory } : {}) })

/** The backend asked for, and how `auto` came to it. */
const select = (backend: "auto" | Backends.BackendName) =>
  Effect.tryPromise({
    try: async () => {
      if (backend !== "auto") {
        const candidate = await Backends.find(backend)
        if (candidate.problem !== null) throw fail("start", `backend ${backend} cannot be used: ${candidate.problem}`)
        return { started: await Backends.start(candidate), why: "" }
      }
      const choice = await Backends.choose()
      if (!("candidate" in choice)) {
        throw fail("start", `no backend can be used: ${choice.map(({ name, why }) => `${name}: ${why}`).join("; ")}`)
      }
      const others = choice.passedOver.map(({ name }) => name).join(" and ")
      const why = others === "" ? "" : `; without ${others} (ptmflow doctor says why)`
      return { started: await Backends.start(choice.candidate), why }
    },
    catch: (cause) => (cause instanceof DeviceError ? cause : fail("start", String(cause)))
  })

/** What decides the bits besides the operands: these files, the backend, and the processor whose instructions it chooses by. */
const identityOf = ({ description }: Backends.Started): string => {
  const sources = readdirSync(import.meta.dirname).filter((name) => /\.[jt]s$/.test(name) && !name.endsWith(".d.ts"))
  const texts = sources.sort().map((name) => readFileSync(join(import.meta.dirname, name), "utf8"))
  return digest([probeVersion(), description, process.version, process.arch, cpus()[0]?.model ?? "", ...texts])
}

/** The TensorFlow.js device. Nothing is loaded before it is asked for; it fails if the backend is missing, and says what to install. */
export const tfjs = (options: TfjsOptions = {}): Layer.Layer<Device, DeviceError> => Layer.effect(Device, make(options))

const make = Effect.fnUntraced(function* (options: TfjsOptions) {
  const { started, why } = yield* select(options.backend ?? "auto")
  const backend = yield* Effect.acquireRelease(
    Effect.sync(() => Backends.using(started)),
    ({ free }) => Effect.sync(free)
  )
  const { activate, tf } = backend
  const attempt = <A>(operation: string, run: () => A | Promise<A>) =>
    Effect.tryPromise({
      try: async () => {
        const lost = started.lost()
        if (lost !== undefined) throw new Error(`the graphics device reported: ${lost}`)
        activate()
        return await run()
      },
      catch: (cause) =>
        fail(operation, cause instanceof Error ? cause.message : String(cause), cause instanceof Backends.NoRoom)
    })
  const transfer = (
    operation: "read" | "write",
    memory: Memory,
    offset: number,
    { buffer, byteLength, byteOffset }: ArrayBufferView
  ) => {
    const end = offset + byteLength
    if (offset < 0 || end > memory.bytes) {
      return Effect.fail(fail(operation, `bytes ${offset} to ${end} are not inside a memory of ${memory.bytes}`))
    }
    if (offset % 4 !== 0 || byteLength % 4 !== 0) {
      return Effect.fail(fail(operation, `bytes ${offset} to ${end} do not begin and end at multiples of 4`))
    }
    const data = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
    const into = memory as Memories.TensorMemory
    return byteLength === 0 ? Effect.void : attempt(operation, () => into[operation](offset, data))
  }
  const device: DeviceShape = {
    kind: "tfjs",
    description: started.description + why,
    numerics: Effect.suspend(() => numerics),
    real: "f32",
    allocate: (bytes) =>
      Effect.acquireRelease(
        Effect.sync(() => Memories.make(tf, backend.moves.part, Math.max(4, Math.ceil(bytes / 4) * 4))),
        (memory) =>
          Effect.sync(() => {
            activate()
            memory.free()
          })
      ),
    write: (memory, offset, data) => transfer("write", memory, offset, data),
    read: (memory, offset, into) => transfer("read", memory, offset, into),
    compile: Effect.fnUntraced(function* (program, memories) {
      for (const [index, launch] of program.launches.entries()) {
        const problem = checkLaunch(launch, index, "f32", memories)
        if (problem !== null) return yield* fail(program.name, problem)
      }
      const run = Run.make(backend, program, memories as ReadonlyArray<Memories.TensorMemory>, fail)
      return {
        run: (times = 1) =>
          Effect.callback<void, DeviceError>((resume) => {
            let stopped = false
            const ended = run(times, () => stopped || started.lost() !== undefined).then((error) => {
              const lost = started.lost()
              if (lost !== undefined) resume(Effect.fail(fail(program.name, `the graphics device reported: ${lost}`)))
              else resume(error === undefined ? Effect.void : Effect.fail(error))
            })
            // Memory must not go before the launch that is under way has ended.
            return Effect.promise(() => {
              stopped = true
              return ended
            })
          })
      }
    })
  }
  const folder = join(options.cacheDirectory ?? defaultCache(), "tfjs")
  const numerics = yield* Effect.cached(
    Effect.suspend(() => {
      try {
        mkdirSync(folder, { recursive: true })
      } catch {
        // Found out again each time, then.
      }
      return remembered(join(folder, identityOf(started)), probe(device))
    })
  )
  return Device.of(started.memory === undefined ? device : limited(device, started.memory))
})

/** What `doctor` says of the TensorFlow.js device: what there is of each backend or the problem with it, and the one that `auto` takes. */
export interface TfjsDescription {
  readonly chosen: Backends.BackendName | null
  readonly backends: ReadonlyArray<{
    readonly name: Backends.BackendName
    readonly found: string | null
    readonly problem: string | null
  }>
}

/** Looks for the backends without starting one. */
export const describeTfjs = (): Effect.Effect<TfjsDescription> =>
  Effect.promise(async () => {
    const choice = await Backends.choose()
    const candidates = await Promise.all(Backends.backendNames.map(Backends.find))
    return {
      chosen: "candidate" in choice ? choice.candidate.name : null,
      backends: candidates.map(({ found, name, problem }) => ({ name, found, problem }))
    }
  })
