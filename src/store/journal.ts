/**
 * The journal: one file of records, only ever added to.
 *
 * A record is one line, `crc32 length kind key json`: the checksum (8 hex digits) and the length (in bytes) are of `kind key json`.
 * A writer adds a whole line with one write to a file opened for appending, so that two processes can write at once. A process that dies in
 * the middle of a write leaves a torn line: it is not a record, and the next writer starts a new line after it. A record that is lost so is
 * a stage that runs again, never a wrong result.
 *
 * @since 0.1.0
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { crc32 } from "node:zlib"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { attempt, makeFolder, syncFolder } from "./durable.ts"
import { fromCause, type StoreError } from "./storeError.ts"

/** One record; `value` is parsed when it is first asked for. `position` grows with time. */
export interface Entry {
  readonly kind: string
  readonly key: string
  readonly position: number
  readonly value: () => Json
}

/** What is added: `kind` and `key` have no spaces. */
export interface NewEntry {
  readonly kind: string
  readonly key: string
  readonly value: Json
}

/** Records by kind and key. */
export interface Journal {
  /** Adds records, all in one write; with `durable` they are on the disk when it returns. */
  readonly append: (
    entries: ReadonlyArray<NewEntry>,
    options: { readonly durable: boolean }
  ) => Effect.Effect<void, StoreError>
  /** Takes in what other processes have added. */
  readonly refresh: Effect.Effect<void, StoreError>
  readonly newest: (kind: string, key: string) => Entry | undefined
  /** All of a kind, oldest first. */
  readonly all: (kind: string) => ReadonlyArray<Entry>
  readonly kinds: () => ReadonlyArray<string>
  /** Lines that were no records: torn by a crash, or damaged. */
  readonly damaged: () => number
}

/** One record as a line. */
export const frame = (entry: NewEntry): string => {
  const text = `${entry.kind} ${entry.key} ${JSON.stringify(entry.value)}`
  const length = Buffer.byteLength(text)
  return `${crc32(text).toString(16).padStart(8, "0")} ${length} ${text}\n`
}

const NEW_LINE = 10
const SPACE = 32

/** The record that a line (without its end) holds; undefined if it is torn or damaged. */
export const unframe = (line: Buffer, position: number): Entry | undefined => {
  const start = line.indexOf(SPACE, 9) + 1
  if (line[8] !== SPACE || start === 0) return undefined
  const text = line.subarray(start)
  if (Number(line.toString("latin1", 9, start - 1)) !== text.byteLength) return undefined
  if (Number.parseInt(line.toString("latin1", 0, 8), 16) !== crc32(text)) return undefined
  const afterKind = text.indexOf(SPACE)
  const afterKey = text.indexOf(SPACE, afterKind + 1)
  let value: Json | undefined
  return {
    kind: text.toString("utf8", 0, afterKind),
    key: text.toString("utf8", afterKind + 1, afterKey),
    position,
    value: () => {
      value ??= JSON.parse(text.toString("utf8", afterKey + 1)) as Json
      return value
    }
  }
}

/** Opens the journal in `file`, which need not be there yet. `prepare` runs before the first write. */
export const openJournal = Effect.fnUntraced(function* (
  file: string,
  prepare: Effect.Effect<void, StoreError>
): Effect.fn.Return<Journal, StoreError> {
  const kinds = new Map<string, { readonly all: Array<Entry>; readonly newest: Map<string, Entry> }>()
  const writing = Semaphore.makeUnsafe(1)
  let read = 0
  let damaged = 0

  const take = (line: Buffer, position: number) => {
    if (line.byteLength === 0) return
    const entry = unframe(line, position)
    if (entry === undefined) {
      damaged++
      return
    }
    const kind = kinds.get(entry.kind) ?? { all: [] as Entry[], newest: new Map<string, Entry>() }
    kinds.set(entry.kind, kind)
    kind.all.push(entry)
    kind.newest.set(entry.key, entry)
  }

  /** Reads on to the last whole line: what follows it may still be being written. */
  const readOn = () => {
    const bytes = readFrom(file, read)
    let start = 0
    for (let end = bytes.indexOf(NEW_LINE); end >= 0; end = bytes.indexOf(NEW_LINE, start)) {
      take(bytes.subarray(start, end), read + start)
      start = end + 1
    }
    read += start
  }

  const refresh = Effect.try({ try: readOn, catch: (cause) => fromCause(file, cause) })
  yield* refresh

  const write = (lines: string, durable: boolean) =>
    Effect.gen(function* () {
      yield* makeFolder(path.dirname(file))
      const created = yield* Effect.acquireUseRelease(
        attempt(file, () => fs.open(file, "a+")),
        (handle) =>
          attempt(file, async () => {
            const { size } = await handle.stat()
            const last = Buffer.alloc(1)
            if (size > 0) await handle.read(last, 0, 1, size - 1)
            const text = size > 0 && last[0] !== NEW_LINE ? `\n${lines}` : lines
            const buffer = Buffer.from(text)
            const { bytesWritten } = await handle.write(buffer, 0, buffer.byteLength)
            if (bytesWritten < buffer.byteLength) throw Object.assign(new Error("short write"), { code: "ENOSPC" })
            if (durable) await handle.sync()
            return size === 0
          }),
        (handle) => Effect.promise(() => handle.close())
      )
      if (created && durable) yield* syncFolder(path.dirname(file))
    })

  return {
    append: (entries, { durable }) =>
      prepare.pipe(
        Effect.andThen(write(entries.map(frame).join(""), durable)),
        Effect.andThen(refresh),
        Effect.uninterruptible,
        writing.withPermits(1)
      ),
    refresh,
    newest: (kind, key) => kinds.get(kind)?.newest.get(key),
    all: (kind) => kinds.get(kind)?.all ?? [],
    kinds: () => [...kinds.keys()],
    damaged: () => damaged
  }
})

const readFrom = (file: string, position: number): Buffer => {
  let descriptor: number
  try {
    descriptor = openSync(file, "r")
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return Buffer.alloc(0)
    throw cause
  }
  try {
    const length = fstatSync(descriptor).size - position
    if (length <= 0) return Buffer.alloc(0)
    const bytes = Buffer.allocUnsafeSlow(length)
    let filled = 0
    while (filled < length) {
      const count = readSync(descriptor, bytes, filled, length - filled, position + filled)
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  } finally {
    closeSync(descriptor)
  }
}
