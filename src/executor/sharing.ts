/**
 * Results that machines share through a remote: found by stage key, brought here, and pushed there in the background.
 *
 * What comes from a remote is not trusted. A record counts if it is whole and its preimage has the key that was asked for, a blob if it has its
 * digest; what does not count is no result, and the stage runs.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import type { Reason } from "../lineage/reason.ts"
import type { Preimage, StageFailure, StageRecord } from "../lineage/record.ts"
import { stageRecord } from "../lineage/records.ts"
import { blobsOf } from "../lineage/trace.ts"
import type { Blob } from "../operator/artifact.ts"
import { digestOf } from "../operator/digest.ts"
import { CurrentRemote, RemoteError } from "../store/remote/remote.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { changes } from "./explain.ts"
import { type Packed, pack, unpack } from "./packed.ts"

/** Requests at once. */
const AT_ONCE = 8

/** Milliseconds of waiting for pushes after which a person is told. */
const PATIENCE = 2_000

/** Tries of a download that breaks off. */
const RETRIES = { times: 2, schedule: Schedule.exponential("200 millis") }

/** The remote, as one run or plan sees it. */
export interface Sharing {
  readonly place: string
  /** What was found of a key so far. */
  readonly known: (key: string) => StageRecord | undefined
  /** Looks for the result of a key, and for what the same gave on another device. Fails only where the remote is required and not there. */
  readonly find: (key: string, preimage: Preimage) => Effect.Effect<StageRecord | undefined, RemoteError>
  /** What else is to be said of why a stage runs: a damaged result, or one of other numerics. */
  readonly remarks: (key: string, preimage: Preimage) => ReadonlyArray<Reason>
  /** Brings a result that was found here, and its lineage; false if it is not whole, and then it is found no more. */
  readonly pull: (key: string) => Effect.Effect<boolean, RemoteError | StoreError>
  /** Begins to push the result of a stage, if the remote has it not. */
  readonly offer: (stage: {
    readonly stage: string
    readonly operator: string
    readonly key: string
  }) => Effect.Effect<void>
  /** Waits for all that is being pushed; gives what could not be, where that matters. */
  readonly settle: Effect.Effect<ReadonlyArray<StageFailure>>
  /** Pushes no more: what was not pushed is offered by the next run. */
  readonly stop: Effect.Effect<void>
}

/** Where the newest result of the same code, parameters and inputs is, whatever the numerics. */
const kinOf = (preimage: Preimage): string => digestOf("any-numerics", { ...preimage, numerics: null })

/** The remote that is set, if any. */
export const sharingOf = Effect.fnUntraced(function* (store: Store["Service"]): Effect.fn.Return<Sharing | undefined> {
  const remote = yield* CurrentRemote
  if (remote === undefined) return undefined
  const { objects, policy } = remote
  const { place } = objects
  const { blobs, journal, memo } = store
  const found = new Map<string, Packed | undefined>()
  const kin = new Map<string, StageRecord>()
  /** Keys and blobs that the remote has, and has damaged: they are pushed again. */
  const damaged = new Set<string>()
  const pushes: Array<Fiber.Fiber<void>> = []
  const failures: Array<StageFailure> = []
  const pushed = new Map<string, Effect.Effect<void, RemoteError | StoreError>>()
  const pushing = Semaphore.makeUnsafe(4)
  const asking = Semaphore.makeUnsafe(AT_ONCE)
  const pulling = Semaphore.makeUnsafe(AT_ONCE)
  let answered = false
  let silent = false

  const warn = (message: string) => Effect.logWarning(message)

  /** Notes that the remote answered, be it that there is no such object. */
  const contact = <A, E extends RemoteError | StoreError>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> => {
    const note = Effect.sync(() => {
      answered = true
    })
    return effect.pipe(
      Effect.tap(note),
      Effect.tapError(({ reason }) => (reason === "missing" || reason === "damaged" ? note : Effect.void))
    )
  }

  /** A remote that cannot be asked is told of once, and asked no more. */
  const giveUp = ({ message }: RemoteError): Effect.Effect<void> => {
    if (silent) return Effect.void
    silent = true
    return warn(`${message}: going on with what is here`)
  }

  const fetchRecord = (name: string): Effect.Effect<Packed | undefined, RemoteError> =>
    Effect.suspend(() => (silent ? Effect.undefined : contact(download(name)))).pipe(
      Effect.catch((error) => {
        if (error.reason === "missing") return Effect.undefined
        if (error.reason === "damaged" || policy === "required") return Effect.fail(error)
        return Effect.as(giveUp(error), undefined)
      })
    )

  const download = (name: string): Effect.Effect<Packed, RemoteError> =>
    Effect.promise(() => import("effect/Stream")).pipe(
      Effect.flatMap(({ mkUint8Array }) => mkUint8Array(objects.get(`ac/${name}`))),
      Effect.retry({ ...RETRIES, while: ({ reason }) => reason === "unreachable" }),
      Effect.flatMap((bytes) => unpack(Buffer.from(bytes), `${place}: record ${name.slice(0, 12)}`))
    )

  const ask = Effect.fnUntraced(function* (key: string): Effect.fn.Return<Packed | undefined, RemoteError> {
    if (found.has(key)) return found.get(key)
    const packed = yield* fetchRecord(key).pipe(
      Effect.filterOrFail(
        (each) => each === undefined || each.record.key === key,
        () =>
          new RemoteError({ reason: "damaged", place, message: `${place}: record ${key.slice(0, 12)} is another's` })
      ),
      Effect.catch((error) => {
        if (error.reason !== "damaged") return Effect.fail(error)
        damaged.add(key)
        return Effect.as(warn(`${error.message}; the stage runs again`), undefined)
      })
    )
    found.set(key, packed)
    return packed
  })

  const find = Effect.fnUntraced(
    function* (key: string, preimage: Preimage): Effect.fn.Return<StageRecord | undefined, RemoteError> {
      const packed = yield* ask(key)
      if (packed === undefined && preimage.numerics !== null && !kin.has(key)) {
        const other = yield* Effect.catch(fetchRecord(kinOf(preimage)), (error) =>
          error.reason === "damaged" ? Effect.undefined : Effect.fail(error)
        )
        if (other !== undefined && kinOf(other.record.preimage) === kinOf(preimage)) kin.set(key, other.record)
      }
      return packed?.record
    },
    (effect) => asking.withPermits(1)(effect)
  )

  /** The record of a key that is not here, and of all that it came from, which come first; undefined if one of them is not there. */
  const lineageOf = Effect.fnUntraced(function* (
    key: string,
    seen: Set<string>
  ): Effect.fn.Return<ReadonlyArray<Packed> | undefined, RemoteError> {
    if (seen.has(key) || stageRecord(journal, key) !== undefined) return []
    seen.add(key)
    const packed = yield* ask(key)
    if (packed === undefined) return undefined
    const before: Array<Packed> = []
    for (const { key } of Object.values(packed.record.inputs)) {
      const found = yield* lineageOf(key, seen)
      if (found === undefined) return undefined
      before.push(...found)
    }
    return [...before, packed]
  })

  const pull = Effect.fnUntraced(function* (key: string): Effect.fn.Return<boolean, RemoteError | StoreError> {
    const record = found.get(key)?.record
    if (record === undefined) return false
    const receive = (blob: Blob) =>
      blobs.receive(blob, objects.get(`cas/${blob.digest}`)).pipe(
        Effect.retry({ ...RETRIES, while: ({ reason }) => reason === "unreachable" }),
        Effect.as(true),
        Effect.catch((error) => {
          const bad = error.reason === "missing" || error.reason === "corrupt"
          if (!bad && (error._tag === "StoreError" || policy === "required")) return Effect.fail(error)
          if (bad) damaged.add(blob.digest).add(key)
          const words = error.reason === "missing" ? `blob ${blob.digest} is not there` : error.message
          return Effect.as(warn(`${place}: ${words}; stage ${record.stage} runs again`), false)
        })
      )
    const missing = blobsOf(record).filter((blob) => !blobs.has(blob))
    const whole = yield* Effect.forEach(missing, receive, { concurrency: 4 })
    if (!whole.every((each) => each)) {
      found.set(key, undefined)
      return false
    }
    const lineage = yield* lineageOf(key, new Set())
    if (lineage === undefined) {
      damaged.add(key)
      found.set(key, undefined)
      yield* warn(`${place}: what stage ${record.stage} was made from is not recorded there; it runs again`)
      return false
    }
    const entries = lineage.flatMap(({ entries }) => entries)
    const isNew = (kind: string, key: string) => journal.newest(kind, key) === undefined
    const added = entries.filter((entry) => isNew(entry.kind, entry.key))
    if (added.length > 0) yield* journal.append(added, { durable: true })
    for (const each of found.get(key)?.batches ?? []) yield* store.batches.add(each.scope, each.blob, each.batches)
    yield* memo.set("shared", noteOf(key), true)
    return true
  })

  const noteOf = (key: string): string => `${place} ${key}`
  const isShared = (key: string): boolean => memo.get("shared", noteOf(key)) !== undefined && !damaged.has(key)

  const transfer = Effect.fnUntraced(function* (record: StageRecord): Effect.fn.Return<void, RemoteError | StoreError> {
    const { key, preimage } = record
    if (damaged.has(key) || !(yield* objects.has(`ac/${key}`))) {
      for (const blob of blobsOf(record)) {
        const name = `cas/${blob.digest}`
        if (!blobs.has(blob) || (!damaged.has(blob.digest) && (yield* objects.has(name)))) continue
        yield* objects.put(name, { file: yield* blobs.path(blob), blob })
      }
      const text = pack(store, record)
      yield* objects.put(`ac/${key}`, { text })
      if (preimage.numerics !== null) yield* objects.put(`ac/${kinOf(preimage)}`, { text })
    }
    yield* memo.set("shared", noteOf(key), true)
  })

  /** Pushes what a result came from, then the result: whoever finds it finds its lineage. */
  const push = (key: string): Effect.Effect<void, RemoteError | StoreError> =>
    Effect.suspend(() => {
      const known = pushed.get(key)
      if (known !== undefined) return known
      const record = stageRecord(journal, key)
      if (record === undefined || record.uncached !== undefined || isShared(key)) return Effect.void
      const before = Object.values(record.inputs).map((input) => push(input.key))
      const all = Effect.andThen(Effect.all(before, { discard: true }), pushing.withPermits(1)(transfer(record)))
      return Effect.flatMap(Effect.cached(all), (once) => {
        pushed.set(key, once)
        return once
      })
    })

  const offer: Sharing["offer"] = Effect.fnUntraced(function* ({ key, operator, stage }) {
    if (policy === "read-only" || isShared(key)) return
    const offered = Effect.suspend(() => (silent && !answered ? Effect.void : contact(push(key)))).pipe(
      Effect.catch((error: RemoteError | StoreError) => {
        if (error._tag === "RemoteError" && error.reason === "unreachable" && !answered && policy !== "required") {
          return giveUp(error)
        }
        const message = `its result is kept here, and could not be pushed to ${place}: ${error.message}`
        if (policy === "optional") return warn(`stage ${stage}: ${message}`)
        return Effect.sync(() => void failures.push({ stage, operator, cause: error._tag, message }))
      })
    )
    pushes.push(yield* Effect.forkDetach(offered))
  })

  const remarks = (key: string, preimage: Preimage): ReadonlyArray<Reason> => {
    const other = kin.get(key)
    const unknown = { tree: () => undefined, packages: () => undefined }
    return [
      ...(damaged.has(key)
        ? [{ kind: "blob-lost" as const, place, message: `its result in ${place} is damaged` }]
        : []),
      ...(other === undefined
        ? []
        : changes(other.preimage, preimage, unknown, new Set()).map((reason) => ({
            ...reason,
            message: `${reason.message} (in ${place})`
          })))
    ]
  }

  return {
    place,
    known: (key) => found.get(key)?.record,
    find,
    remarks,
    pull: (key) => pulling.withPermits(1)(pull(key)),
    offer,
    settle: Effect.suspend(() =>
      Effect.raceFirst(
        Effect.as(Fiber.awaitAll(pushes), failures),
        Effect.sleep(PATIENCE).pipe(
          Effect.andThen(Effect.logInfo(`waiting until all results are pushed to ${place}`)),
          Effect.andThen(Effect.never)
        )
      )
    ),
    stop: Effect.suspend(() => Fiber.interruptAll(pushes))
  }
})
