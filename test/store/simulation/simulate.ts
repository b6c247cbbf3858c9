/**
 * Processes that share one store, while they are killed, the machine crashes, the disk is full and processes stand still: all drawn from one
 * seed, on a virtual clock. What must hold whatever happens is checked as it goes.
 */
import { createHash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { ArtifactError } from "../../../src/operator/artifact.ts"
import { sha256 } from "../../../src/store/digest.ts"
import { CurrentDisk } from "../../../src/store/disk.ts"
import { type Holder, Processes } from "../../../src/store/holder.ts"
import { open, type Store } from "../../../src/store/store.ts"
import type { StoreError } from "../../../src/store/storeError.ts"
import { makeMemoryDisk, type View } from "./disk.ts"
import { drawsOf } from "./random.ts"

/** What happened in one simulation; `trace` is a digest of every change of the disk, with its time and its process. */
export interface Simulated {
  readonly trace: string
  readonly changes: number
  readonly made: number
  readonly reused: number
  readonly resumed: number
  readonly kills: number
  readonly crashes: number
  readonly takeovers: number
  readonly full: number
}

/** Something that must never be was. */
export class Violation extends Error {}

const KEYS = ["a", "b", "c", "d", "e", "f", "g", "h"]
const STEPS = 3
const SECONDS = 1000

/** Faults happen for so long. */
const HORIZON = 150 * SECONDS

/** What the stage with a key gives, and what it saves on the way. */
const resultOf = (key: string): Buffer => Buffer.from(`the result of ${key}. `.repeat(8))
const stateOf = (key: string, step: number): Buffer => Buffer.from(`${key} after step ${step}`)

interface Process extends View {
  readonly pid: number
  dead: boolean
  /** It stands still until then. */
  stoppedUntil: number
  /** It once stood still for so long that others may take it for dead. */
  slow: boolean
}

/** Runs the simulation of a seed. `omit`: the store leaves out what makes it durable. */
export const simulate = Effect.fnUntraced(function* (seed: number, omit?: View["omit"]) {
  const draws = drawsOf(seed)
  const disk = makeMemoryDisk()
  const trace = createHash("sha256")
  const counts = { changes: 0, made: 0, reused: 0, resumed: 0, kills: 0, crashes: 0, takeovers: 0, full: 0 }
  const processes = new Map<number, Process>()
  const fibers = new Map<number, Fiber.Fiber<void, unknown>>()
  /** Keys of which a process was told that the record is durable. */
  const durable = new Set<string>()
  /** Processes that came to their end. */
  const finished = new Set<number>()
  const making = new Map<string, Set<number>>()
  /** Whether processes can tell by the system that another is gone, or only by its silence. */
  const seesProcesses = draws.chance(0.5)
  /** Faults are at most so far apart. */
  const pause = [3, 6, 40][draws.between(0, 3)]! * SECONDS
  const stops = draws.chance(0.5) ? 0.2 : 0.8
  let fullUntil = 0
  let now = 0
  let violation: Violation | undefined

  const violate = (message: string): Violation => {
    violation ??= new Violation(`seed ${seed}, at ${now} ms: ${message}`)
    return violation
  }

  const newProcess = (): Process => {
    const pid = processes.size + 1
    const process: Process = {
      pid,
      dead: false,
      slow: false,
      stoppedUntil: 0,
      draws,
      latency: Effect.suspend(() => {
        const wait = draws.chance(0.05) ? draws.between(1, 500) : draws.between(0, 6)
        return Effect.gen(function* () {
          if (wait > 0) yield* Effect.sleep(wait)
          now = yield* Clock.currentTimeMillis
          while (process.stoppedUntil > now) {
            yield* Effect.sleep(process.stoppedUntil - now)
            now = yield* Clock.currentTimeMillis
          }
        })
      }),
      now: () => now,
      isDead: () => process.dead,
      begun: new Set(),
      note: (change) => {
        counts.changes++
        trace.update(`${now} ${pid} ${change}\n`)
      },
      isFull: () => now < fullUntil,
      omit
    }
    processes.set(pid, process)
    return process
  }

  const holderOf = (pid: number): Holder => ({ pid, host: "simulated", space: "simulated", born: "" })

  /** Whether the store has the result of a key: a record that is there must be right, and its blob whole. */
  const lookUp = Effect.fnUntraced(function* (store: Store["Service"], process: Process, key: string) {
    yield* store.journal.refresh
    const entry = store.journal.newest("stage", key)
    if (entry === undefined) {
      if (durable.has(key) && !process.dead) return yield* Effect.die(violate(`the record of ${key} is lost`))
      return false
    }
    const blob = entry.value() as { readonly digest: string; readonly bytes: number }
    if (blob.digest !== sha256(resultOf(key))) return yield* Effect.die(violate(`${key} has a wrong record`))
    if (!store.blobs.has(blob)) return yield* Effect.die(violate(`the blob of ${key} is lost`))
    const read = yield* Effect.result(store.blobs.bytes(blob))
    if (process.dead) return false
    if (read._tag === "Failure") return yield* Effect.die(violate(`the blob of ${key}: ${read.failure.message}`))
    counts.reused++
    return true
  })

  const make = Effect.fnUntraced(function* (store: Store["Service"], process: Process, key: string) {
    if (durable.has(key)) return yield* Effect.die(violate(`${key} is made again`))
    const others = making.get(key) ?? new Set<number>()
    making.set(key, others)
    for (const pid of others) {
      const other = processes.get(pid)!
      if (!other.dead && !other.slow) return yield* Effect.die(violate(`${pid} and ${process.pid} both make ${key}`))
    }
    others.add(process.pid)
    const point = yield* store.resumePoints.load(key)
    let first = 0
    if (Option.isSome(point)) {
      const saved = point.value.value as { step: number; blob: { digest: string; bytes: number } }
      const state = yield* point.value.source.bytes(saved.blob)
      if (!stateOf(key, saved.step).equals(state)) return yield* Effect.die(violate(`a wrong resume point of ${key}`))
      first = saved.step
      counts.resumed++
    }
    for (let step = first + 1; step <= STEPS; step++) {
      yield* Effect.sleep(draws.between(1, 8 * SECONDS))
      yield* store.resumePoints.save(key, (sink) =>
        Effect.map(sink.put(stateOf(key, step)), (blob) => ({ step, blob }))
      )
    }
    const bytes = resultOf(key)
    const blob = yield* store.blobs.put(
      draws.chance(0.5) ? bytes : Stream.fromIterable([bytes.subarray(0, 50), bytes.subarray(50)])
    )
    yield* store.journal.append([{ kind: "stage", key, value: blob }], { durable: true })
    durable.add(key)
    counts.made++
    yield* store.resumePoints.drop(key)
  })

  const obtain = Effect.fnUntraced(function* (store: Store["Service"], process: Process, key: string) {
    if (yield* lookUp(store, process, key)) return
    let begun = 0
    yield* store.holding(
      key,
      () => Effect.void,
      () =>
        Effect.gen(function* () {
          if (begun++ > 0) counts.takeovers++
          if (yield* lookUp(store, process, key)) return
          yield* make(store, process, key)
        }).pipe(Effect.ensuring(Effect.sync(() => making.get(key)?.delete(process.pid))))
    )
  })

  /** One process: it opens the store, gets all results, and ends. A full disk ends it too; any other error must not be. */
  const live = (process: Process) =>
    Effect.gen(function* () {
      const store = yield* open("/store")
      const order = draws.chance(0.5) ? KEYS : KEYS.toReversed()
      yield* Effect.forEach(order, (key) => obtain(store, process, key), { concurrency: 2, discard: true })
    }).pipe(
      Effect.tap(() => Effect.sync(() => finished.add(process.pid))),
      Effect.catch((error: StoreError | ArtifactError) => {
        if (process.dead) return Effect.void
        if (/disk is full/.test(error.message)) return Effect.sync(() => counts.full++)
        return Effect.die(violate(`process ${process.pid} fails: ${error.message}`))
      }),
      Effect.provideService(CurrentDisk, disk.view(process)),
      Effect.provideService(Processes, {
        pid: process.pid,
        thisProcess: () => holderOf(process.pid),
        isAlive: ({ pid }) => (seesProcesses ? !processes.get(pid)!.dead : undefined)
      }),
      Random.withSeed(`${seed} ${process.pid}`)
    )

  const start = Effect.gen(function* () {
    const process = newProcess()
    const fiber = yield* Effect.forkChild(live(process))
    fibers.set(process.pid, fiber)
    yield* Fiber.await(fiber)
    process.dead = true
    fibers.delete(process.pid)
  })

  const kill = (process: Process) => {
    process.dead = true
    for (const cutOff of [...process.begun]) {
      try {
        cutOff()
      } catch {
        // What it began to do could not be done.
      }
    }
    process.begun.clear()
    fibers.get(process.pid)?.interruptUnsafe()
  }

  const running = () => [...fibers.keys()].map((pid) => processes.get(pid)!)

  const fault = Effect.gen(function* () {
    yield* Effect.sleep(draws.between(100, pause))
    now = yield* Clock.currentTimeMillis
    const victims = running()
    const victim = victims[draws.between(0, Math.max(victims.length, 1))]
    const kind = draws.next()
    if (kind < 0.2) {
      counts.crashes++
      for (const process of victims) kill(process)
      disk.crash(draws)
      trace.update(`${now} crash\n`)
    } else if (kind < 0.35) {
      fullUntil = now + draws.between(1, 3 * SECONDS)
    } else if (victim !== undefined && draws.chance(stops)) {
      victim.stoppedUntil = now + draws.between(1, 150) * SECONDS
      victim.slow = true
    } else if (victim !== undefined) {
      counts.kills++
      kill(victim)
      trace.update(`${now} kill ${victim.pid}\n`)
    }
  })

  const isOver = Effect.map(Clock.currentTimeMillis, (time) => time > HORIZON)
  const main = Effect.gen(function* () {
    const slot = Effect.gen(function* () {
      while (!(yield* isOver)) {
        yield* start
        yield* Effect.sleep(draws.between(1, 20 * SECONDS))
      }
    })
    const faults = Effect.gen(function* () {
      while (!(yield* isOver)) yield* fault
    })
    yield* Effect.all([slot, slot, slot, faults], { concurrency: "unbounded", discard: true })
    fullUntil = 0
    yield* start
    if (!finished.has(processes.size)) violate("with no faults left, a process does not come to its end")
  })

  const fiber = yield* Effect.forkDetach(main)
  for (let minutes = 0; fiber.pollUnsafe() === undefined && violation === undefined; minutes++) {
    if (minutes > 60) violate("it never ends")
    else yield* TestClock.adjust("1 minute")
  }
  if (violation !== undefined) {
    fiber.interruptUnsafe()
    return yield* Effect.die(violation)
  }
  yield* Fiber.join(fiber)
  const simulated: Simulated = { trace: trace.digest("hex"), ...counts }
  return simulated
}, Effect.provide(TestClock.layer()))
