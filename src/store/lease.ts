/**
 * Leases: of all processes on one store, one at a time works on a key.
 *
 * Who wants a lease looks for the file of a live holder; if there is none it writes a file of its own, with a name that nobody else uses, and
 * looks again. Of two that do so at once at least the later sees the other's file, and who sees another's takes its own back and tries again.
 * A holder touches its file every 5 seconds. It is dead when its process is, or when its file has not been touched for a minute and then is not while
 * another looks for 10 seconds (so a clock that was set, or a machine that slept, takes nothing away): then its file
 * is removed, and nobody removes a live holder's, so there are never two holders. A holder that was only slow (stopped, suspended, cut off) sees that
 * its file is gone, and is told that it has lost the lease; before it writes what others will read it asks whether it still holds it.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type Durable, look, uniqueName, writeAll } from "./durable.ts"
import { Holder, Processes } from "./holder.ts"
import { StoreError } from "./storeError.ts"

/** How far a holder has come, where it counts. */
const HolderProgress = Schema.Struct({ step: Schema.Number, steps: Schema.optionalKey(Schema.Number) })
export type HolderProgress = typeof HolderProgress.Type

/** Who is waited for: `seconds` is how long it has held the lease; `step` of `steps` is what it last said that it has done. */
export interface Waiting extends Partial<HolderProgress> {
  readonly pid: number
  readonly host: string
  readonly seconds: number
}

/** A lease that is held. */
export interface Held {
  /** Fails when another process has taken the lease over. */
  readonly lost: Effect.Effect<never, StoreError>
  /** Whether it is still held. */
  readonly held: Effect.Effect<boolean, StoreError>
  /** Says how far the holder is: those who wait are told with the next heartbeat. */
  readonly tell: (progress: HolderProgress) => void
}

/** A lease as others see it. `heartbeat` is the time of the last sign of life, in milliseconds since 1970; `silent`: that alone says that it is dead. */
export interface LeaseState {
  readonly key: string
  readonly holder: Holder
  readonly since: number
  readonly heartbeat: number
  readonly alive: boolean
  readonly silent?: boolean
  readonly file: string
}

/** Milliseconds of silence after which a holder is taken for dead. All processes on a store must have the same; a heartbeat is a twelfth of it. */
export const LeaseSilence = Context.Reference<number>("ptmflow/store/LeaseSilence", { defaultValue: () => 60_000 })

const POLL_MS = 200
const REPORT_MS = 30_000
const PROGRESS_MS = 5_000

/** Within this time (milliseconds) a lease file that has no whole lease in it is one that is being written. */
const WRITING_MS = 2_000

const Lease = Schema.fromJsonString(Schema.Struct({ holder: Holder, since: Schema.Number }))
const decodeLease = Schema.decodeUnknownOption(Lease)
const encodeLease = Schema.encodeSync(Lease)
const decodeProgress = Schema.decodeUnknownOption(Schema.fromJsonString(HolderProgress))

/**
 * Takes the lease on `key`, to be given back when the scope closes. `onWait` is told of another holder at once, then twice a minute, and when it has
 * come further.
 */
export const lease = Effect.fnUntraced(function* (
  durable: Durable,
  folder: string,
  key: string,
  onWait: (waiting: Waiting) => Effect.Effect<void>
): Effect.fn.Return<Held, StoreError, Scope.Scope> {
  const { disk } = durable
  const { thisProcess } = yield* Processes
  const own = path.join(folder, `${key}.${yield* uniqueName}`)
  const there = look(own, () => disk.stat(own) !== undefined)
  const remove = Effect.ignore(disk.remove(own))
  yield* Effect.addFinalizer(() => remove)
  const progressFile = path.join(path.dirname(folder), "progress", key)
  let reported = Number.NEGATIVE_INFINITY
  let shown = ""
  const heartbeat = (yield* LeaseSilence) / 12
  const watched = { stamp: "", looks: 0 }
  /** Whether a holder that is silent gives no sign of life for two heartbeats either. */
  const isSilent = ({ file, heartbeat: last }: LeaseState): boolean => {
    const stamp = `${file} ${last}`
    watched.looks = stamp === watched.stamp ? watched.looks + 1 : 0
    watched.stamp = stamp
    return watched.looks * POLL_MS > 2 * heartbeat
  }
  while (true) {
    let other = yield* otherThan(durable, folder, key, own, isSilent)
    if (other === undefined) {
      const since = yield* Clock.currentTimeMillis
      const text = Buffer.from(encodeLease({ holder: thisProcess(), since }))
      yield* durable.folder(folder)
      yield* Effect.acquireUseRelease(
        disk.open(own, "new"),
        (file) => writeAll(own, file, text),
        ({ close }) => close
      )
      other = yield* otherThan(durable, folder, key, own, isSilent)
      if (other === undefined && (yield* there)) break
      yield* remove
      yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(1, 50)))
      continue
    }
    const now = yield* Clock.currentTimeMillis
    const text = (yield* look(progressFile, () => disk.read(progressFile)))?.toString("utf8") ?? ""
    if (other.holder.pid !== 0 && now - reported >= (text === shown ? REPORT_MS : PROGRESS_MS)) {
      reported = now
      shown = text
      const { holder, since } = other
      const progress = Option.getOrElse(decodeProgress(text), () => ({}))
      yield* onWait({ pid: holder.pid, host: holder.host, seconds: (now - since) / 1000, ...progress })
    }
    yield* Effect.sleep(Duration.millis(POLL_MS))
  }
  const lost = yield* Deferred.make<never, StoreError>()
  let progress: HolderProgress | undefined
  yield* Effect.addFinalizer(() => (progress === undefined ? Effect.void : Effect.ignore(disk.remove(progressFile))))
  const beat = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    yield* Effect.ignore(disk.touch(own, now))
    if (yield* there) {
      if (progress !== undefined) yield* durable.whole(progressFile, JSON.stringify(progress))
      return
    }
    const message = `the lease ${own} was taken over by another process, as this one gave no sign of life for too long`
    yield* Deferred.fail(lost, new StoreError({ reason: "taken-over", place: own, message }))
  })
  yield* Effect.ignore(beat).pipe(Effect.schedule(Schedule.spaced(Duration.millis(heartbeat))), Effect.forkScoped)
  const tell = (now: HolderProgress) => {
    progress = now
  }
  return { lost: Deferred.await(lost), held: there, tell }
})

/**
 * Runs an effect while a lease is held. If another process takes the lease over meanwhile, the effect is interrupted, or its failure is none
 * of its own, and it is run again when the lease is back.
 */
export const holding = <A, E, R, E2, R2>(
  take: Effect.Effect<Held, E2, R2 | Scope.Scope>,
  effect: (lease: Held) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2 | StoreError, R | Exclude<R2, Scope.Scope>> =>
  Effect.scoped(
    Effect.gen(function* () {
      const lease = yield* take
      const exit = yield* Effect.exit(Effect.raceFirst(effect(lease), lease.lost))
      return Exit.isSuccess(exit) || (yield* lease.held) ? exit : undefined
    })
  ).pipe(Effect.flatMap((exit) => exit ?? holding(take, effect)))

/** All leases in a folder, of the living and the dead. */
export const leasesIn = Effect.fnUntraced(function* (
  durable: Durable,
  folder: string
): Effect.fn.Return<ReadonlyArray<LeaseState>, StoreError> {
  const names = yield* look(folder, () => durable.disk.list(folder))
  const states = yield* Effect.forEach(names ?? [], (name) => stateOf(durable, path.join(folder, name)))
  return states.filter((state) => state !== undefined)
})

/** The lease of another that is alive, or may be; the files of the dead are removed. */
const otherThan = Effect.fnUntraced(function* (
  durable: Durable,
  folder: string,
  key: string,
  own: string,
  isSilent: (state: LeaseState) => boolean
): Effect.fn.Return<LeaseState | undefined, StoreError> {
  const names = (yield* look(folder, () => durable.disk.list(folder))) ?? []
  for (const name of names) {
    const file = path.join(folder, name)
    if (!name.startsWith(`${key}.`) || file === own) continue
    const state = yield* stateOf(durable, file)
    if (state !== undefined && (state.alive || (state.silent === true && !isSilent(state)))) return state
    if (state !== undefined) yield* durable.disk.remove(file)
  }
  return undefined
})

/** A file without a whole lease in it is one being written now, or left by a crash while it was: it counts as alive until it is old. */
const stateOf = Effect.fnUntraced(function* (
  { disk }: Durable,
  file: string
): Effect.fn.Return<LeaseState | undefined, StoreError> {
  const { isAlive } = yield* Processes
  const silence = yield* LeaseSilence
  const now = yield* Clock.currentTimeMillis
  return yield* look(file, () => {
    const stat = disk.stat(file)
    const bytes = disk.read(file)
    if (stat === undefined || bytes === undefined) return undefined
    const silent = now - stat.changed
    const name = path.basename(file)
    const about = { file, key: name.slice(0, name.lastIndexOf(".")), heartbeat: stat.changed }
    const decoded = decodeLease(bytes.toString("utf8"))
    if (Option.isNone(decoded)) {
      const holder = { pid: 0, host: "?", space: "", born: "" }
      return { ...about, holder, since: stat.changed, alive: silent < WRITING_MS }
    }
    const running = isAlive(decoded.value.holder) !== false
    return { ...about, ...decoded.value, alive: running && silent < silence, silent: running && silent >= silence }
  })
})
