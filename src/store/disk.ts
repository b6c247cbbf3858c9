/**
 * The files of a store, through as few operations as it can do with, so that a test can put a disk below it that fills up, crashes and
 * reorders.
 *
 * What is written is durable after `sync` of the file; a name that was made, renamed or removed is durable after `syncFolder` of its folder.
 * Names are looked up, and files read, at once: only what changes the disk takes time.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { fromCause, type StoreError } from "./storeError.ts"

/** Length in bytes, and the time of the last change in milliseconds since 1970. */
export interface Stat {
  readonly bytes: number
  readonly changed: number
  readonly isFolder: boolean
}

/** A file that is open for writing at its end. */
export interface OpenFile {
  /** One write: how many of the bytes were written. */
  readonly write: (data: Uint8Array) => Effect.Effect<number, StoreError>
  readonly sync: Effect.Effect<void, StoreError>
  /** Takes away everybody's permission to write. */
  readonly protect: Effect.Effect<void, StoreError>
  readonly close: Effect.Effect<void>
}

/** The operations. Those that are not Effects throw `StoreError`s; what is not there is `undefined`. */
export interface Disk {
  readonly stat: (file: string) => Stat | undefined
  readonly list: (folder: string) => ReadonlyArray<string> | undefined
  /** A file's bytes from a position on, at most `length` (default: all). */
  readonly read: (file: string, from?: number, length?: number) => Buffer | undefined
  /** All bytes of a file that may be large. */
  readonly load: (file: string) => Effect.Effect<Uint8Array<ArrayBuffer>, StoreError>
  /** The SHA-256 of a file, which is never held in memory whole. */
  readonly digest: (file: string) => Effect.Effect<string, StoreError>
  /** `new`: the file must not be there. */
  readonly open: (file: string, how: "new" | "append") => Effect.Effect<OpenFile, StoreError>
  /** Makes one folder; no error if it is there. */
  readonly makeFolder: (folder: string) => Effect.Effect<void, StoreError>
  /** Replaces a file that has the new name, not a folder that has something in it. */
  readonly rename: (from: string, to: string) => Effect.Effect<void, StoreError>
  /** Removes a file, or a folder with all that is in it; no error if it is not there. */
  readonly remove: (name: string) => Effect.Effect<void, StoreError>
  /** Sets the time of the last change. */
  readonly touch: (file: string, time: number) => Effect.Effect<void, StoreError>
  readonly syncFolder: (folder: string) => Effect.Effect<void, StoreError>
}

const attempt = <A>(place: string, operation: () => Promise<A>): Effect.Effect<A, StoreError> =>
  Effect.tryPromise({ try: operation, catch: (cause) => fromCause(place, cause) })

const codeOf = (cause: unknown): unknown => (cause instanceof Error && "code" in cause ? cause.code : undefined)

/** The result, or `undefined` if there is no such file. */
const ifThere = <A>(place: string, operation: () => A): A | undefined => {
  try {
    return operation()
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined
    throw fromCause(place, cause)
  }
}

const readFrom = (file: string, from: number, most: number): Buffer => {
  const descriptor = openSync(file, "r")
  try {
    const length = Math.min(most, Math.max(0, fstatSync(descriptor).size - from))
    const bytes = Buffer.allocUnsafeSlow(length)
    let filled = 0
    while (filled < length) {
      const count = readSync(descriptor, bytes, filled, length - filled, from + filled)
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  } finally {
    closeSync(descriptor)
  }
}

/** The SHA-256 of a file, read in pieces of 1 MiB. */
export const digestFile = (file: string): Effect.Effect<string, StoreError> =>
  Effect.acquireUseRelease(
    attempt(file, () => fs.open(file, "r")),
    (handle) =>
      Effect.tryPromise({
        try: async (signal) => {
          const digest = createHash("sha256")
          const buffer = Buffer.allocUnsafe(1 << 20)
          while (!signal.aborted) {
            const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength)
            if (bytesRead === 0) break
            digest.update(buffer.subarray(0, bytesRead))
          }
          return digest.digest("hex")
        },
        catch: (cause) => fromCause(file, cause)
      }),
    (handle) => Effect.promise(() => handle.close())
  )

const opened = (file: string, handle: fs.FileHandle): OpenFile => ({
  write: (data) => attempt(file, async () => (await handle.write(data)).bytesWritten),
  sync: attempt(file, () => handle.sync()),
  protect: attempt(file, () => handle.chmod(0o444)),
  close: Effect.promise(() => handle.close())
})

/** The disk of this machine, through `node:fs`. */
export const nodeDisk: Disk = {
  stat: (file) => {
    const stats = ifThere(file, () => statSync(file, { throwIfNoEntry: false }))
    return stats === undefined
      ? undefined
      : { bytes: stats.size, changed: stats.mtimeMs, isFolder: stats.isDirectory() }
  },
  list: (folder) => ifThere(folder, () => readdirSync(folder)),
  read: (file, from = 0, length = Number.POSITIVE_INFINITY) => ifThere(file, () => readFrom(file, from, length)),
  load: (file) => attempt(file, () => fs.readFile(file)),
  digest: digestFile,
  open: (file, how) =>
    Effect.map(
      attempt(file, () => fs.open(file, how === "new" ? "wx" : "a")),
      (handle) => opened(file, handle)
    ),
  makeFolder: (folder) =>
    attempt(folder, () =>
      fs.mkdir(folder).catch((cause: unknown) => {
        if (codeOf(cause) !== "EEXIST") throw cause
      })
    ),
  rename: (from, to) => attempt(to, () => fs.rename(from, to)),
  remove: (name) => attempt(name, () => fs.rm(name, { recursive: true, force: true })),
  touch: (file, time) => attempt(file, () => fs.utimes(file, time / 1000, time / 1000)),
  syncFolder: (folder) =>
    process.platform === "win32"
      ? Effect.void
      : attempt(folder, async () => {
          const handle = await fs.open(folder, "r")
          try {
            await handle.sync()
          } finally {
            await handle.close()
          }
        })
}

/** The disk that stores are opened on. */
export const CurrentDisk = Context.Reference<Disk>("ptmflow/store/Disk", { defaultValue: () => nodeDisk })
