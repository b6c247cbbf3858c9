/**
 * Where the records are in a journal that has grown large: an SQLite index of its first part, so that a process need not read what a thousand runs
 * have written to find what one of them needs.
 *
 * The journal is the truth. The index holds no records, may be deleted, and is not used where it is of another journal or damaged: then all of the
 * journal is read.
 *
 * @since 0.1.0
 */
import { existsSync, rmSync } from "node:fs"
import type { DatabaseSync } from "node:sqlite"

/** A record's line (without its end) in the journal: where it begins and how many bytes it has. */
export interface Place {
  readonly kind: string
  readonly key: string
  readonly position: number
  readonly length: number
}

/** The index of the first `covers` bytes of a journal. */
export interface JournalIndex {
  readonly covers: number
  /** The newest of a key, of those up to a position if one is given. */
  readonly newest: (kind: string, key: string, upTo?: number) => Place | undefined
  /** Places between two positions of records that no later one of their key follows. */
  readonly within: (from: number, to: number) => ReadonlyArray<Place>
  /** Places after a position, in their order. */
  readonly all: (kind: string, after: number) => ReadonlyArray<Place>
  readonly kinds: () => ReadonlyArray<string>
}

const VERSION = 1
const BUSY_MS = 10_000

const SCHEMA = `
  CREATE TABLE mark(one INTEGER PRIMARY KEY CHECK (one = 1), covers INTEGER NOT NULL);
  CREATE TABLE records(position INTEGER PRIMARY KEY, length INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0);
  CREATE INDEX by_key ON records(kind, key, position, length);
  PRAGMA user_version = ${VERSION};`

const connect = (file: string, readOnly: boolean): DatabaseSync => {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  return new DatabaseSync(file, { timeout: BUSY_MS, readOnly })
}

const versionOf = (database: DatabaseSync): number =>
  (database.prepare("PRAGMA user_version").get() as { readonly user_version: number }).user_version

const coveredBy = (database: DatabaseSync): number =>
  (database.prepare("SELECT covers FROM mark").get() as { readonly covers: number } | undefined)?.covers ?? 0

/** Opens the index in `file`; undefined where there is none that can be used. `fits` says whether its last record is in the journal. */
export const openJournalIndex = (
  file: string,
  fits: (last: Place, covers: number) => boolean
): JournalIndex | undefined => {
  if (!existsSync(file)) return undefined
  let database: DatabaseSync | undefined
  try {
    database = connect(file, true)
    const covers = versionOf(database) === VERSION ? coveredBy(database) : 0
    const last = database.prepare("SELECT * FROM records ORDER BY position DESC LIMIT 1").get() as Place | undefined
    if (covers === 0 || last === undefined || !fits(last, covers)) {
      database.close()
      return undefined
    }
    // Another process may have extended it since: what is beyond the mark was read from the journal.
    const newest = database.prepare(
      "SELECT position, length FROM records WHERE kind = ? AND key = ? AND position < ? ORDER BY position DESC LIMIT 1"
    )
    const all = database.prepare(
      "SELECT key, position, length FROM records WHERE position > ? AND position < ? AND kind = ? ORDER BY position"
    )
    // Of the last ones: not by kind, of which all would be looked through.
    const later = database.prepare(
      "SELECT key, position, length FROM records WHERE position > ? AND position < ? AND +kind = ? ORDER BY position"
    )
    const within = database.prepare(
      "SELECT kind, key, position, length FROM records WHERE position >= ? AND position < ? AND superseded = 0"
    )
    const kinds = database.prepare("SELECT DISTINCT kind FROM records WHERE position < ?")
    return {
      covers,
      newest: (kind, key, upTo = covers) => {
        const found = newest.get(kind, key, Math.min(upTo + 1, covers)) as
          | { position: number; length: number }
          | undefined
        return found === undefined ? undefined : { kind, key, position: found.position, length: found.length }
      },
      within: (from, to) => within.all(from, Math.min(to, covers)) as unknown as ReadonlyArray<Place>,
      all: (kind, after) =>
        ((after < 0 ? all : later).all(after, covers, kind) as unknown as ReadonlyArray<Place>).map(
          ({ key, length, position }) => ({
            kind,
            key,
            position,
            length
          })
        ),
      kinds: () => (kinds.all(covers) as unknown as ReadonlyArray<{ readonly kind: string }>).map(({ kind }) => kind)
    }
  } catch {
    database?.close()
    return undefined
  }
}

/**
 * Adds the records between `from` and `covers`. Does nothing where the index has more, or less, by now; one that is damaged, or (`from` is 0) of
 * another journal, is made anew. Where it cannot be written the journal is read as before.
 */
export const extendJournalIndex = (file: string, from: number, covers: number, places: ReadonlyArray<Place>): void => {
  const extend = () => {
    const database = connect(file, false)
    try {
      if (versionOf(database) !== VERSION) database.exec(`PRAGMA synchronous = NORMAL; ${SCHEMA}`)
      database.exec("BEGIN IMMEDIATE")
      if (coveredBy(database) === from) {
        const insert = database.prepare("INSERT INTO records VALUES(?, ?, ?, ?, 0)")
        const supersede = database.prepare(
          "UPDATE records SET superseded = 1 WHERE kind = ? AND key = ? AND position < ? AND superseded = 0"
        )
        for (const { key, kind, length, position } of places) {
          supersede.run(kind, key, position)
          insert.run(position, length, kind, key)
        }
        database.prepare("INSERT OR REPLACE INTO mark VALUES(1, ?)").run(covers)
      }
      database.exec("COMMIT")
    } finally {
      database.close()
    }
  }
  try {
    if (from === 0) rmSync(file, { force: true })
    extend()
  } catch {
    // Nothing depends on it.
  }
}
