/**
 * The journal: one file of records, only ever added to.
 *
 * A record is one line, `crc32 length kind key json`: the checksum (8 hex digits) and the length (in bytes) are of `kind key json`.
 * A writer adds its lines with one write to a file opened for appending, so that two processes can write at once, and begins them with an end
 * of line: a process that dies, or a disk that fills up, in the middle of a write leaves a torn line, which is no record and takes no other
 * with it. A record that is lost so is a stage that runs again, never a wrong result.
 *
 * A small journal is read whole, by `refresh` or when a record is first asked for. The first part of a large one has an index (see `journal-index.ts`), and
 * its records are read when they are asked for.
 *
 * @since 0.1.0
 */
import { existsSync } from "node:fs"
import * as path from "node:path"
import { crc32 } from "node:zlib"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { type Durable, look } from "./durable.ts"
import { extendJournalIndex, type JournalIndex, openJournalIndex, type Place } from "./journal-index.ts"
import { cutShort, type StoreError } from "./storeError.ts"

/** One record; `value` is read and parsed when it is first asked for, null where it was damaged meanwhile. `position` grows with time. */
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
  /** Takes in what other processes have added; the first time all. */
  readonly refresh: Effect.Effect<void, StoreError>
  /** The last record that was read, and where it is; undefined where none was. */
  readonly mark: () => string | undefined
  /**
   * The records after a mark, oldest first, without those before: undefined where its record is not there any more. The mark is then that of the
   * last of them.
   */
  readonly since: (mark: string) => Effect.Effect<ReadonlyArray<Entry> | undefined, StoreError>
  /** The newest of a key, of those up to a position if one is given. */
  readonly newest: (kind: string, key: string, upTo?: number) => Entry | undefined
  /** All of a kind, oldest first; those after a position, if one is given. */
  readonly all: (kind: string, after?: number) => ReadonlyArray<Entry>
  readonly kinds: () => ReadonlyArray<string>
  /** Lines that are no records: torn by a crash, or damaged. What an index covers is read for it. */
  readonly damaged: () => number
  /** Whether the journal is so large that it is not read whole. */
  readonly indexed: () => boolean
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

/**
 * The whole lines, without their ends, of bytes that begin at a position; those that are empty are left out. How many bytes they are: what follows may still
 * be being written.
 */
const eachLine = (bytes: Buffer | undefined, from: number, use: (line: Buffer, position: number) => void): number => {
  let start = 0
  for (let end = bytes?.indexOf(NEW_LINE) ?? -1; end >= 0; end = bytes!.indexOf(NEW_LINE, start)) {
    if (end > start) use(bytes!.subarray(start, end), from + start)
    start = end + 1
  }
  return start
}

/** Tells a record from others that may have been at its position: by its checksum. */
const markOf = (line: Buffer, position: number): string => `${position} ${line.toString("latin1", 0, 8)}`

/** A journal gets an index, and an index more of it, when this many bytes have none. */
export const IndexedFrom = Context.Reference<number>("ptmflow/store/IndexedFrom", { defaultValue: () => 8 << 20 })

/** Records that an index covers are read in pieces of this many bytes, and the last pieces are kept: a run's records are near each other. */
const PIECE = 256 << 10
const PIECES = 128

/** Reads lines of a file at known places. */
const lineReader = (read: (from: number, length: number) => Buffer | undefined): ((place: Place) => Buffer) => {
  const pieces = new Map<number, Buffer>()
  const nothing = Buffer.alloc(0)
  const piece = (at: number): Buffer => {
    let found = pieces.get(at)
    if (found === undefined) {
      found = read(at * PIECE, PIECE) ?? nothing
      if (pieces.size >= PIECES) pieces.delete(pieces.keys().next().value!)
      pieces.set(at, found)
    }
    return found
  }
  return ({ length, position }) => {
    const at = Math.floor(position / PIECE)
    const start = position - at * PIECE
    return start + length <= PIECE ? piece(at).subarray(start, start + length) : (read(position, length) ?? nothing)
  }
}

/** Opens the journal in `file`, which need not be there yet. `prepare` runs before the first write; `index` is the file of its index (default: none). */
export const openJournal = Effect.fnUntraced(function* (
  durable: Durable,
  file: string,
  prepare: Effect.Effect<void, StoreError>,
  index?: string
): Effect.fn.Return<Journal, StoreError> {
  const kinds = new Map<string, { readonly all: Array<Entry>; readonly newest: Map<string, Entry> }>()
  const places: Array<Place> = []
  const writing = Semaphore.makeUnsafe(1)
  const { disk } = durable
  const indexedFrom = yield* IndexedFrom
  let named = false
  let damaged = 0
  let last: { readonly line: Buffer; readonly position: number } | undefined

  const lineAt = lineReader((from, length) => disk.read(file, from, length))
  const fits = (last: Place, covers: number) =>
    (disk.stat(file)?.bytes ?? 0) >= covers && unframe(lineAt(last), last.position)?.key === last.key
  const known: JournalIndex | undefined =
    index === undefined ? undefined : yield* look(index, () => openJournalIndex(index, fits))
  let read = known?.covers ?? 0

  /**
   * Newest records that are near ones which were looked up: a run asks for its records in the order in which they were written, so one question to the
   * index answers many.
   */
  const near = new Map<string, Place>()
  const asked = new Set<number>()
  const placeOf = (index: JournalIndex, kind: string, key: string): Place | undefined => {
    const found = near.get(`${kind} ${key}`) ?? index.newest(kind, key)
    const piece = found === undefined ? -1 : Math.floor(found.position / PIECE)
    if (piece < 0 || asked.has(piece)) return found
    asked.add(piece)
    for (const place of index.within(piece * PIECE, (piece + 1) * PIECE)) near.set(`${place.kind} ${place.key}`, place)
    return found
  }

  const entryAt = (place: Place): Entry => {
    let value: Json | undefined
    return {
      kind: place.kind,
      key: place.key,
      position: place.position,
      value: () => {
        if (value === undefined) {
          const entry = unframe(lineAt(place), place.position)
          value = entry !== undefined && entry.kind === place.kind && entry.key === place.key ? entry.value() : null
        }
        return value
      }
    }
  }

  const take = (line: Buffer, position: number) => {
    const entry = unframe(line, position)
    if (entry === undefined) {
      damaged++
      return
    }
    last = { line, position }
    const kind = kinds.get(entry.kind) ?? { all: [] as Entry[], newest: new Map<string, Entry>() }
    kinds.set(entry.kind, kind)
    kind.all.push(entry)
    kind.newest.set(entry.key, entry)
    if (index !== undefined) places.push({ kind: entry.kind, key: entry.key, position, length: line.byteLength })
  }

  let isRead = false
  const readOn = () => {
    read += eachLine(disk.read(file, read), read, take)
    isRead = true
  }
  const ensureRead = () => {
    if (!isRead) readOn()
  }
  /** What this process knows the index to cover. */
  let covered = read

  /** After a write: the next processes read less. */
  const extend = Effect.sync(() => {
    if (index === undefined || read - covered < indexedFrom || !existsSync(file)) return
    extendJournalIndex(index, covered, read, places.splice(0))
    covered = read
  })

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

  const damagedBefore = (end: number): number => {
    let count = 0
    eachLine(disk.read(file, 0, end), 0, (line, position) => {
      if (unframe(line, position) === undefined) count++
    })
    return count
  }

  return {
    append: (entries, { durable: flush }) =>
      prepare.pipe(
        Effect.andThen(write(entries.map(frame).join(""), flush)),
        Effect.andThen(look(file, () => isRead && readOn())),
        Effect.andThen(extend),
        Effect.uninterruptible,
        writing.withPermits(1)
      ),
    refresh: look(file, readOn),
    mark: () => (last === undefined ? undefined : markOf(last.line, last.position)),
    since: (mark) =>
      look(file, () => {
        const from = Number.parseInt(mark, 10)
        const entries: Array<Entry> = []
        let found: typeof last
        eachLine(disk.read(file, from), from, (line, position) => {
          const entry = unframe(line, position)
          if (entry === undefined) return
          if (entries.length === 0 && markOf(line, position) !== mark) return
          entries.push(entry)
          found = { line, position }
        })
        if (found === undefined) return undefined
        if (!isRead) last = found
        return entries.slice(1)
      }),
    newest: (kind, key, upTo = Number.MAX_SAFE_INTEGER) => {
      ensureRead()
      const last = kinds.get(kind)?.newest.get(key)
      const found =
        last === undefined || last.position <= upTo
          ? last
          : kinds.get(kind)?.all.findLast((entry) => entry.key === key && entry.position <= upTo)
      if (found !== undefined || known === undefined) return found
      const newest = placeOf(known, kind, key)
      const place = newest === undefined || newest.position <= upTo ? newest : known.newest(kind, key, upTo)
      return place === undefined ? undefined : entryAt(place)
    },
    all: (kind, after = -1) => {
      ensureRead()
      const rest = kinds.get(kind)?.all ?? []
      const later = after < (known?.covers ?? 0) ? rest : rest.filter(({ position }) => position > after)
      return known === undefined ? later : [...known.all(kind, after).map(entryAt), ...later]
    },
    kinds: () => {
      ensureRead()
      return [...new Set([...(known?.kinds() ?? []), ...kinds.keys()])]
    },
    damaged: () => {
      ensureRead()
      return damaged + (known === undefined ? 0 : damagedBefore(known.covers))
    },
    indexed: () => known !== undefined
  }
})
