/**
 * The journal: one file of records, only ever added to.
 *
 * A record is one line, `crc32 length kind key json`: the checksum (8 hex digits) and the length (in bytes) are of `kind key json`.
 * A writer adds its lines with one write to a file opened for appending, so that two processes can write at once, and begins them with an end
 * of line: a process that dies, or a disk that fills up, in the middle of a write leaves a torn line, which is no record and takes no other
 * with it. A record that is lost so is a stage that runs again, never a wrong result.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import { crc32 } from "node:zlib"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { type Durable, look } from "./durable.ts"
import { cutShort, type StoreError } from "./storeError.ts"

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
  durable: Durable,
  file: string,
  prepare: Effect.Effect<void, StoreError>
): Effect.fn.Return<Journal, StoreError> {
  const kinds = new Map<string, { readonly all: Array<Entry>; readonly newest: Map<string, Entry> }>()
  const writing = Semaphore.makeUnsafe(1)
  const { disk } = durable
  let named = false
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
    const bytes = disk.read(file, read)
    if (bytes === undefined) return
    let start = 0
    for (let end = bytes.indexOf(NEW_LINE); end >= 0; end = bytes.indexOf(NEW_LINE, start)) {
      take(bytes.subarray(start, end), read + start)
      start = end + 1
    }
    read += start
  }

  const refresh = look(file, readOn)
  yield* refresh

  const write = Effect.fnUntraced(function* (lines: string, flush: boolean): Effect.fn.Return<void, StoreError> {
    yield* durable.folder(path.dirname(file))
    const data = Buffer.from(`\n${lines}`)
    yield* Effect.acquireUseRelease(
      disk.open(file, "append"),
      Effect.fnUntraced(function* (open) {
        const count = yield* open.write(data)
        if (count < data.byteLength) return yield* cutShort(file, count, data.byteLength)
        if (flush) yield* open.sync
      }),
      ({ close }) => close
    )
    if (!flush || named) return
    yield* disk.syncFolder(path.dirname(file))
    named = true
  })

  return {
    append: (entries, { durable: flush }) =>
      prepare.pipe(
        Effect.andThen(write(entries.map(frame).join(""), flush)),
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
