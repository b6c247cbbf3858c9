/**
 * The batch index: which rows a batch gave before, and in which blob they are. One SQLite file for all batches of all operators.
 *
 * It holds no rows, and may be deleted: then batches are made again. What it says is checked against the digest of the rows by whoever uses it.
 *
 * @since 0.1.0
 */
import { existsSync, renameSync } from "node:fs"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import * as Effect from "effect/Effect"
import type { Blob } from "../operator/artifact.ts"
import type { Origins } from "../operator/origins.ts"
import type { StoreError } from "./storeError.ts"

/** Rows `first` to `first + rows` of the table in `blob`; `digest` is their logical digest, `origins` which of the batch's rows they came from. */
export interface BatchRows {
  readonly blob: Blob
  readonly first: number
  readonly rows: number
  readonly digest: string
  readonly origins?: Origins | undefined
}

/** One batch, by its logical digest, and where its rows are in a blob. */
export type NewBatch = { readonly batch: string } & Omit<BatchRows, "blob">

/** Batches by scope: the digest of all that they depend on beside the batch. Digests are in hex. */
export interface BatchIndex {
  readonly find: (scope: string, batch: string) => BatchRows | undefined
  /** Adds all or, where the index cannot be written, none; a batch that is known is moved to the new place. */
  readonly add: (scope: string, blob: Blob, batches: ReadonlyArray<NewBatch>) => Effect.Effect<void, StoreError>
  /** The batches whose rows are in a blob, by scope: at most `most` of them, or none. */
  readonly of: (blob: Blob, most: number) => ReadonlyArray<readonly [scope: string, batches: ReadonlyArray<NewBatch>]>
  /** Forgets the batches whose rows are in a blob that is not there any more; gives how many. An index that cannot be written stays as it is. */
  readonly prune: (isThere: (blob: Blob) => boolean) => Effect.Effect<number>
}

interface Opened {
  readonly database: DatabaseSync
  readonly find: StatementSync
}

const BUSY_MS = 10_000

/** 128 bits of a digest tell batches apart; the rows are checked by all of theirs. */
const short = (digest: string): Buffer => Buffer.from(digest.slice(0, 32), "hex")

/** An index of before rows had origins gets the column for them, whichever process comes first. */
const addOrigins = (database: DatabaseSync): void => {
  const isThere = () =>
    database
      .prepare("PRAGMA table_info(batches)")
      .all()
      .some(({ name }) => name === "origins")
  if (isThere()) return
  database.exec("BEGIN IMMEDIATE")
  if (!isThere()) database.exec("ALTER TABLE batches ADD COLUMN origins TEXT")
  database.exec("COMMIT")
}

const originsOf = (text: unknown): Origins | undefined =>
  typeof text === "string" ? (JSON.parse(text) as Origins) : undefined

/** The index in `file`, opened when it is first asked; `prepare` runs before it is made. A file that is no index is set aside. */
export const makeBatchIndex = (file: string, prepare: Effect.Effect<void, StoreError>): BatchIndex => {
  let opened: Opened | undefined

  const open = (create: boolean): Opened | undefined => {
    if (opened !== undefined) return opened
    if (!create && !existsSync(file)) return undefined
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
    const start = () => {
      const database = new DatabaseSync(file, { timeout: BUSY_MS })
      try {
        database.exec(`PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536;
          CREATE TABLE IF NOT EXISTS blobs(id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL);
          CREATE TABLE IF NOT EXISTS batches(scope BLOB, batch BLOB, blob INTEGER NOT NULL, first INTEGER NOT NULL,
            rows INTEGER NOT NULL, digest BLOB NOT NULL, origins TEXT, PRIMARY KEY(scope, batch)) WITHOUT ROWID;`)
        addOrigins(database)
        const find =
          database.prepare(`SELECT blobs.digest AS blob, bytes, first, rows, batches.digest AS digest, origins
          FROM batches JOIN blobs ON blobs.id = batches.blob WHERE scope = ? AND batch = ?`)
        return { database, find }
      } catch (cause) {
        database.close()
        throw cause
      }
    }
    try {
      opened = start()
    } catch (cause) {
      if (!isDamage(cause)) throw cause
      renameSync(file, `${file}.damaged`)
      opened = start()
    }
    return opened
  }

  return {
    find: (scope, batch) => {
      try {
        const row = open(false)?.find.get(short(scope), short(batch)) as { [name: string]: unknown } | undefined
        if (row === undefined) return undefined
        const hex = (bytes: unknown) => Buffer.from(bytes as Uint8Array).toString("hex")
        return {
          blob: { digest: hex(row["blob"]), bytes: Number(row["bytes"]) },
          first: Number(row["first"]),
          rows: Number(row["rows"]),
          digest: hex(row["digest"]),
          origins: originsOf(row["origins"])
        }
      } catch {
        return undefined
      }
    },
    add: (scope, blob, batches) =>
      Effect.andThen(
        prepare,
        Effect.try({ try: () => write(open(true)!.database, scope, blob, batches), catch: (cause) => cause }).pipe(
          Effect.catch((cause) =>
            Effect.logWarning(`${file} cannot be written, and batches will be made again: ${String(cause)}`)
          )
        )
      ),
    of: (blob, most) => {
      try {
        const rows = open(false)
          ?.database.prepare(
            `SELECT hex(scope) AS scope, hex(batch) AS batch, first, rows, hex(batches.digest) AS digest, origins
              FROM batches JOIN blobs ON id = blob WHERE blobs.digest = ? ORDER BY scope, first LIMIT ?`
          )
          .all(Buffer.from(blob.digest, "hex"), most + 1)
        if (rows === undefined || rows.length > most) return []
        const lower = (value: unknown) => String(value).toLowerCase()
        const found = Map.groupBy(rows, ({ scope }) => lower(scope))
        return [...found].map(([scope, members]) => [
          scope,
          members.map((row) => ({
            batch: lower(row["batch"]),
            digest: lower(row["digest"]),
            first: Number(row["first"]),
            rows: Number(row["rows"]),
            origins: originsOf(row["origins"])
          }))
        ])
      } catch {
        return []
      }
    },
    prune: (isThere) =>
      Effect.orElseSucceed(
        Effect.try({
          try: () => {
            const database = open(false)?.database
            return database === undefined ? 0 : forget(database, isThere)
          },
          catch: (cause) => cause
        }),
        () => 0
      )
  }
}

/** One scan, however many blobs are gone; the file is made smaller where half of it is empty. */
const forget = (database: DatabaseSync, isThere: (blob: Blob) => boolean): number => {
  database.exec("BEGIN IMMEDIATE; CREATE TEMP TABLE IF NOT EXISTS gone(id INTEGER PRIMARY KEY); DELETE FROM gone;")
  try {
    const mark = database.prepare("INSERT INTO gone VALUES(?)")
    for (const row of database.prepare("SELECT id, digest, bytes FROM blobs").all()) {
      const digest = Buffer.from(row["digest"] as Uint8Array).toString("hex")
      if (!isThere({ digest, bytes: Number(row["bytes"]) })) mark.run(row["id"] as number)
    }
    const { changes } = database.prepare("DELETE FROM batches WHERE blob IN (SELECT id FROM gone)").run()
    database.exec("DELETE FROM blobs WHERE id IN (SELECT id FROM gone); COMMIT;")
    const pages = (pragma: string) => Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0] ?? 0)
    if (2 * pages("freelist_count") > pages("page_count")) database.exec("VACUUM")
    return Number(changes)
  } catch (cause) {
    if (database.isTransaction) database.exec("ROLLBACK")
    throw cause
  }
}

const isDamage = (cause: unknown): boolean => {
  const code = (cause as { readonly errcode?: number }).errcode ?? 0
  // SQLITE_CORRUPT and SQLITE_NOTADB.
  return [11, 26].includes(code & 0xff)
}

const write = (database: DatabaseSync, scope: string, blob: Blob, batches: ReadonlyArray<NewBatch>): void => {
  database.exec("BEGIN IMMEDIATE")
  try {
    const digest = Buffer.from(blob.digest, "hex")
    database.prepare("INSERT OR IGNORE INTO blobs(digest, bytes) VALUES(?, ?)").run(digest, blob.bytes)
    const { id } = database.prepare("SELECT id FROM blobs WHERE digest = ?").get(digest) as { readonly id: number }
    const insert = database.prepare("INSERT OR REPLACE INTO batches VALUES(?, ?, ?, ?, ?, ?, ?)")
    const key = short(scope)
    for (const { batch, digest, first, origins, rows } of batches) {
      const from = origins === undefined ? null : JSON.stringify(origins)
      insert.run(key, short(batch), id, first, rows, Buffer.from(digest, "hex"), from)
    }
    database.exec("COMMIT")
  } catch (cause) {
    database.exec("ROLLBACK")
    throw cause
  }
}
