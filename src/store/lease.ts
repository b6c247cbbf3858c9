/**
 * Leases: of all processes on one store, one at a time works on a key.
 *
 * Who wants a lease looks for the file of a live holder; if there is none it writes a file of its own, with a name that nobody else uses, and
 * looks again. Of two that do so at once at least the later sees the other's file, and who sees another's takes its own back and tries again.
 * A holder touches its file every 5 seconds. It is dead when its process is, or when its file has not been touched for a minute: then its file
 * is removed, and nobody removes a live holder's, so there are never two holders. A holder that was only slow sees that its file is gone,
 * and is told that it has lost the lease.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Clock from "effect/Clock"
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

/** Who is waited for: `seconds` is how long it has held the lease. */
export interface Waiting {
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
}

/** A lease as others see it. `heartbeat` is the time of the last sign of life, in milliseconds since 1970. */
export interface LeaseState {
  readonly key: string
  readonly holder: Holder
  readonly since: number
  readonly heartbeat: number
  readonly alive: boolean
  readonly file: string
}

const HEARTBEAT = Duration.seconds(5)
const SILENCE_MS = 60_000
const POLL = Duration.millis(200)
const REPORT_MS = 30_000

/** Within this time (milliseconds) a lease file that has no whole lease in it is one that is being written. */
const WRITING_MS = 2_000

const Lease = Schema.fromJsonString(Schema.Struct({ holder: Holder, since: Schema.Number }))
const decodeLease = Schema.decodeUnknownOption(Lease)
const encodeLease = Schema.encodeSync(Lease)

/** Takes the lease on `key`, to be given back when the scope closes. `onWait` is told of another holder at once and then twice a minute. */
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
  let reported = Number.NEGATIVE_INFINITY
  while (true) {
    let other = yield* liveOther(durable, folder, key, own)
    if (other === undefined) {
      const since = yield* Clock.currentTimeMillis
      const text = Buffer.from(encodeLease({ holder: thisProcess(), since }))
      yield* durable.folder(folder)
      yield* Effect.acquireUseRelease(
        disk.open(own, "new"),
        (file) => writeAll(own, file, text),
        ({ close }) => close
      )
      other = yield* liveOther(durable, folder, key, own)
      if (other === undefined && (yield* there)) break
      yield* remove
      yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(1, 50)))
      continue
    }
    const now = yield* Clock.currentTimeMillis
    if (other.holder.pid !== 0 && now - reported >= REPORT_MS) {
      reported = now
      const { holder, since } = other
      yield* onWait({ pid: holder.pid, host: holder.host, seconds: (now - since) / 1000 })
    }
    yield* Effect.sleep(POLL)
  }
  const lost = yield* Deferred.make<never, StoreError>()
  const beat = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    yield* Effect.ignore(disk.touch(own, now))
    if (yield* there) return
    const message = `the lease ${own} was taken over by another process, as this one gave no sign of life for a minute`
    yield* Deferred.fail(lost, new StoreError({ reason: "taken-over", place: own, message }))
  })
  yield* Effect.ignore(beat).pipe(Effect.schedule(Schedule.spaced(HEARTBEAT)), Effect.forkScoped)
  return { lost: Deferred.await(lost), held: there }
})

/**
 * Runs an effect while a lease is held. If another process takes the lease over meanwhile, the effect is interrupted, or its failure is none
 * of its own, and it is run again when the lease is back.
 */
export const holding = <A, E, R, E2, R2>(
  take: Effect.Effect<Held, E2, R2 | Scope.Scope>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2 | StoreError, R | Exclude<R2, Scope.Scope>> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { held, lost } = yield* take
      const exit = yield* Effect.exit(Effect.raceFirst(effect, lost))
      return Exit.isSuccess(exit) || (yield* held) ? exit : undefined
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

/** The lease of another that is alive; the files of the dead are removed. */
const liveOther = Effect.fnUntraced(function* (
  durable: Durable,
  folder: string,
  key: string,
  own: string
): Effect.fn.Return<LeaseState | undefined, StoreError> {
  const names = (yield* look(folder, () => durable.disk.list(folder))) ?? []
  for (const name of names) {
    const file = path.join(folder, name)
    if (!name.startsWith(`${key}.`) || file === own) continue
    const state = yield* stateOf(durable, file)
    if (state?.alive === true) return state
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
    return { ...about, ...decoded.value, alive: silent < SILENCE_MS && isAlive(decoded.value.holder) !== false }
  })
})
