/**
 * Leases: of all processes on one store, one at a time works on a key.
 *
 * Who wants a lease looks for the file of a live holder; if there is none it writes a file of its own, with a name that nobody else uses, and
 * looks again. Of two that do so at once at least the later sees the other's file, and who sees another's takes its own back and tries again.
 * Nobody removes a live holder's file, so there are never two holders. A holder is alive while its process is; one of another host (or another
 * container) is alive while it touches its file.
 *
 * @since 0.1.0
 */
import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync, statSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { attempt, makeFolder } from "./durable.ts"
import { Holder, isAlive, thisProcess } from "./holder.ts"
import { fromCause, type StoreError } from "./storeError.ts"

/** Who is waited for: `seconds` is how long it has held the lease. */
export interface Waiting {
  readonly pid: number
  readonly host: string
  readonly seconds: number
}

const HEARTBEAT = Duration.seconds(5)
const SILENCE_MS = 60_000
const POLL = Duration.millis(200)
const REPORT_MS = 30_000

const Lease = Schema.fromJsonString(Schema.Struct({ holder: Holder, since: Schema.Number }))
const decodeLease = Schema.decodeUnknownOption(Lease)
const encodeLease = Schema.encodeSync(Lease)

/**
 * Takes the lease on `key`, to be given back when the scope closes. `onWait` is told of another holder at once and then twice a minute.
 */
export const lease = Effect.fnUntraced(function* (
  folder: string,
  key: string,
  onWait: (waiting: Waiting) => Effect.Effect<void>
): Effect.fn.Return<void, StoreError, Scope.Scope> {
  yield* makeFolder(folder)
  const own = path.join(folder, `${key}.${process.pid}-${randomBytes(6).toString("hex")}`)
  const remove = Effect.promise(() => fs.rm(own, { force: true }))
  yield* Effect.addFinalizer(() => remove)
  let reported = 0
  while (true) {
    let other = yield* liveOther(folder, key, own)
    if (other === undefined) {
      yield* attempt(own, () => fs.writeFile(own, encodeLease({ holder: thisProcess(), since: Date.now() })))
      other = yield* liveOther(folder, key, own)
      if (other === undefined) break
      yield* remove
      yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(1, 50)))
      continue
    }
    if (other.holder.pid !== 0 && Date.now() - reported >= REPORT_MS) {
      reported = Date.now()
      const { holder, since } = other
      yield* onWait({ pid: holder.pid, host: holder.host, seconds: (Date.now() - since) / 1000 })
    }
    yield* Effect.sleep(POLL)
  }
  yield* attempt(own, () => fs.utimes(own, new Date(), new Date())).pipe(
    Effect.ignore,
    Effect.schedule(Schedule.spaced(HEARTBEAT)),
    Effect.forkScoped
  )
})

/** The lease file of another that is alive; those of the dead are removed. */
const liveOther = Effect.fnUntraced(function* (
  folder: string,
  key: string,
  own: string
): Effect.fn.Return<(typeof Lease)["Type"] | undefined, StoreError> {
  const names = yield* Effect.try({
    try: () => readdirSync(folder).filter((name) => name.startsWith(`${key}.`)),
    catch: (cause) => fromCause(folder, cause)
  })
  for (const name of names) {
    const file = path.join(folder, name)
    if (file === own) continue
    const found = yield* Effect.try({ try: () => readLease(file), catch: (cause) => fromCause(file, cause) })
    if (found === undefined) continue
    if (found.alive) return found.lease
    yield* attempt(file, () => fs.rm(file, { force: true }))
  }
  return undefined
})

/** A file without a whole lease in it is one being written now, or left by a crash while it was: it counts as alive until it is old. */
const readLease = (file: string): { readonly lease: (typeof Lease)["Type"]; readonly alive: boolean } | undefined => {
  try {
    const { mtimeMs } = statSync(file)
    const decoded = decodeLease(readFileSync(file, "utf8"))
    const silent = Date.now() - mtimeMs
    if (Option.isSome(decoded)) {
      return { lease: decoded.value, alive: isAlive(decoded.value.holder) ?? silent < SILENCE_MS }
    }
    const holder = { pid: 0, host: "?", space: "", born: "" }
    return { lease: { holder, since: mtimeMs }, alive: silent < 2000 }
  } catch (cause) {
    const error = fromCause(file, cause)
    if (error.reason === "lost") return undefined
    throw error
  }
}
