/**
 * The ledger: which stages took an artifact and which gave it, as an SQLite index of the journal's records.
 *
 * The journal is the truth, and this is made from it: it takes in what the journal has more when it is opened, and one that is damaged, or is of another
 * journal, is made anew. Where it cannot be written it is made in memory. Only questions that would read every record open it.
 *
 * @since 0.1.0
 */
import { existsSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import type { DatabaseSync } from "node:sqlite"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { RowRanges } from "../operator/row-ranges.ts"
import type { Entry, Journal } from "../store/journal.ts"
import { Store } from "../store/store.ts"
import { fromCause } from "../store/storeError.ts"
import { CHUNK, chunkHas, chunksOf, rowsOfText } from "./row-text.ts"
import { SHOWN, type Shown, shownIn, shownOf } from "./shown.ts"

/** Stage keys by artifact digest, in the order of their records, and what stages are found by when a run has something to do. */
export interface ArtifactIndex extends Shown {
  /** For each digest the stages that took the artifact with it. */
  readonly users: (digests: ReadonlyArray<string>) => ReadonlyArray<ReadonlyArray<string>>
  /** The stages that gave an artifact whose digest begins so. */
  readonly makers: (prefix: string) => ReadonlyArray<string>
  /** The newest record that a stage of this name made in this pipeline. */
  readonly latest: (pipeline: string, stage: string) => { readonly key: string; readonly position: number } | undefined
  /** Whether a stage of this name, in any pipeline, ever made something, or this output. */
  readonly hasStage: (stage: string, port?: string) => boolean
  /** Whether some stage ran with this recipe. */
  readonly knowsRecipe: (recipe: string) => boolean
  /** The stages that learned from some of these rows of the artifact with this digest, and the ports that it came in through; `isLong`: only a trace says whether it did. */
  readonly learners: (digest: string, rows: RowRanges) => ReadonlyArray<Learner>
  /** How many stages it has. */
  readonly size: () => number
}

/** A stage that learned from rows that came in through `port`. */
export interface Learner {
  readonly key: string
  readonly port: string
  readonly isLong: boolean
}

const VERSION = 9
const BUSY_MS = 10_000

/** Bytes of a page: a question of ten thousand records reads all of the file, and each page is a call of the system. */
const PAGE = 16_384

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS mark(one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, key TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS stages(position INTEGER PRIMARY KEY, key TEXT NOT NULL, pipeline TEXT, stage TEXT, recipe TEXT,
    ${SHOWN});
  CREATE INDEX IF NOT EXISTS by_key ON stages(key, position);
  CREATE INDEX IF NOT EXISTS by_stage ON stages(pipeline, stage, position) WHERE recipe IS NOT NULL;
  CREATE INDEX IF NOT EXISTS by_name ON stages(stage);
  CREATE INDEX IF NOT EXISTS by_recipe ON stages(recipe) WHERE recipe IS NOT NULL;
  CREATE TABLE IF NOT EXISTS took(digest TEXT, position INTEGER, PRIMARY KEY(digest, position)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS gave(digest TEXT, position INTEGER, PRIMARY KEY(digest, position)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS learned(digest TEXT, chunk INTEGER, position INTEGER, port TEXT, bits BLOB,
    PRIMARY KEY(digest, chunk, position, port)) WITHOUT ROWID;
  PRAGMA user_version = ${VERSION};`

const fileOf = (store: Store["Service"]): string => path.join(store.folder, "ledger.sqlite")

/** The records of stages after a position, in their order. */
const recordsOf = (journal: Journal, after: number): ReadonlyArray<Entry> =>
  [...journal.all("stage", after), ...journal.all("uncached", after)].toSorted((a, b) => a.position - b.position)

const digestsIn = (ports: unknown): ReadonlySet<string> =>
  new Set(Object.values((ports ?? {}) as { [port: string]: { digest?: unknown } }).map(({ digest }) => String(digest)))

const textOf = (value: unknown): string | null => (typeof value === "string" ? value : null)

/** Of a record what is indexed; it was damaged where it is null. */
type Indexed = {
  readonly pipeline?: unknown
  readonly stage?: unknown
  readonly recipe?: unknown
  readonly preimage?: { readonly inputs?: unknown }
  readonly inputs?: unknown
  readonly outputs?: unknown
  readonly learned?: unknown
} | null

/** The chunk of a set that only a trace has. */
const LONG = -1

/** The rows of the table `learned` for a record: of each port the bits of its set by chunk. */
function* learnedIn(
  record: Indexed
): Generator<readonly [digest: string, chunk: number, port: string, bits: Uint8Array | null]> {
  const inputs = (record?.preimage?.inputs ?? {}) as { readonly [port: string]: { readonly digest?: unknown } }
  for (const [port, text] of Object.entries((record?.learned ?? {}) as { readonly [port: string]: unknown })) {
    const digest = String(inputs[port]?.digest)
    const rows = rowsOfText(String(text))
    if (rows === undefined) yield [digest, LONG, port, null]
    else for (const [chunk, bits] of chunksOf(rows)) yield [digest, chunk, port, bits]
  }
}

/** Takes in the records that the index does not have. One that has others than the journal is emptied first. */
const update = (database: DatabaseSync, journal: Journal): void => {
  const markOf = () =>
    database.prepare("SELECT position, key FROM mark").get() as { position: number; key: string } | undefined
  /** The records from the mark on, that of the mark first; undefined if it is not there. */
  const since = (mark: ReturnType<typeof markOf>): ReadonlyArray<Entry> | undefined => {
    if (mark === undefined) return undefined
    const found = recordsOf(journal, mark.position - 1)
    return found[0]?.position === mark.position && found[0].key === mark.key ? found : undefined
  }
  if (since(markOf())?.length === 1) return
  database.exec("BEGIN IMMEDIATE")
  try {
    const mark = markOf()
    const known = since(mark)
    if (mark !== undefined && known === undefined) {
      database.exec("DELETE FROM stages; DELETE FROM took; DELETE FROM gave; DELETE FROM learned; DELETE FROM mark")
    }
    const records = known?.slice(1) ?? recordsOf(journal, -1)
    const stage = database.prepare("INSERT OR REPLACE INTO stages VALUES(?, ?, ?, ?, ?, ?, ?, ?)")
    const first = database.prepare("SELECT min(position) AS id FROM stages WHERE key = ?")
    const idOf = (key: string) => (first.get(key) as { readonly id: number | null }).id ?? undefined
    const took = database.prepare("INSERT OR REPLACE INTO took VALUES(?, ?)")
    const gave = database.prepare("INSERT OR REPLACE INTO gave VALUES(?, ?)")
    const learned = database.prepare("INSERT OR REPLACE INTO learned VALUES(?, ?, ?, ?, ?)")
    for (const { key, kind, position, value } of records) {
      const record = value() as Indexed
      // The result of no key is no stage's last one, and its recipe is of no use.
      const recipe = kind === "stage" ? textOf(record?.recipe) : null
      stage.run(
        position,
        key,
        textOf(record?.pipeline),
        textOf(record?.stage),
        recipe,
        ...shownOf(record, idOf(key) ?? position, idOf)
      )
      for (const digest of digestsIn(record?.preimage?.inputs)) took.run(digest, position)
      for (const digest of digestsIn(record?.outputs)) gave.run(digest, position)
      for (const [digest, chunk, port, bits] of learnedIn(record)) learned.run(digest, chunk, position, port, bits)
    }
    const last = records.at(-1)
    if (last !== undefined) {
      database.prepare("INSERT OR REPLACE INTO mark VALUES(1, ?, ?)").run(last.position, last.key)
    }
    database.exec("COMMIT")
  } catch (cause) {
    database.exec("ROLLBACK")
    throw cause
  }
}

const openIn = (file: string, journal: Journal): DatabaseSync => {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  const database = new DatabaseSync(file, { timeout: BUSY_MS })
  try {
    const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number }
    if (version !== 0 && version !== VERSION) throw new Error(`format ${version}`)
    if (version === 0) database.exec(`PRAGMA page_size = ${PAGE}; PRAGMA synchronous = NORMAL; ${SCHEMA}`)
    update(database, journal)
    return database
  } catch (cause) {
    database.close()
    throw cause
  }
}

/** The index in its file; made anew if that is damaged, and in memory where that cannot be. */
const openSomewhere = (store: Store["Service"]): DatabaseSync => {
  const { journal } = store
  const file = fileOf(store)
  for (const before of [() => {}, () => rmSync(file, { force: true })]) {
    try {
      before()
      if (existsSync(store.folder)) return openIn(file, journal)
    } catch {
      // Damaged, of another format, or not to be written.
    }
  }
  return openIn(":memory:", journal)
}

const indexOf = (database: DatabaseSync): ArtifactIndex => {
  const users = database.prepare(
    `SELECT each.key, stages.key FROM json_each(?) AS each CROSS JOIN took ON took.digest = each.value
     CROSS JOIN stages USING (position)`
  )
  users.setReturnArrays(true)
  const makers = database.prepare(
    "SELECT key FROM gave JOIN stages USING (position) WHERE digest >= ? AND digest < ? ORDER BY position"
  )
  const latest = database.prepare(
    "SELECT key, position FROM stages WHERE pipeline = ? AND stage = ? AND recipe IS NOT NULL ORDER BY position DESC LIMIT 1"
  )
  const named = database.prepare(
    `SELECT 1 FROM stages WHERE stage = ? AND (? IS NULL OR ports IS NULL OR EXISTS (
       SELECT 1 FROM json_each(ports) AS port WHERE port.value = ?)) LIMIT 1`
  )
  const recipe = database.prepare("SELECT 1 FROM stages WHERE recipe = ? LIMIT 1")
  const learners = database.prepare(
    "SELECT key, port, chunk, bits FROM learned JOIN stages USING (position) WHERE digest = ? AND chunk = ?"
  )
  const keys = (rows: ReadonlyArray<unknown>) => [
    ...new Set((rows as ReadonlyArray<{ key: string }>).map(({ key }) => key))
  ]
  return {
    users: (digests) => {
      const found = digests.map(() => new Set<string>())
      const rows = users.all(JSON.stringify(digests)) as unknown as ReadonlyArray<readonly [at: number, key: string]>
      for (const [at, key] of rows) found[at]!.add(key)
      return found.map((each) => [...each])
    },
    makers: (prefix) => keys(makers.all(prefix, `${prefix}g`)),
    learners: (digest, rows) => {
      const all = new Map<string, Learner>()
      const chunks = rows.flatMap(([first, last]) => {
        const from = Math.floor(first / CHUNK)
        return Array.from({ length: Math.floor(last / CHUNK) - from + 1 }, (_, i) => from + i)
      })
      for (const chunk of new Set([LONG, ...chunks])) {
        for (const found of learners.all(digest, chunk)) {
          const { bits, key, port } = found as { bits: Uint8Array | null; key: string; port: string }
          const isLong = chunk === LONG
          if (isLong || chunkHas(chunk, bits, rows)) all.set(`${key} ${port}`, { key, port, isLong })
        }
      }
      return [...all.values()]
    },
    latest: (pipeline, stage) => latest.get(pipeline, stage) as { key: string; position: number } | undefined,
    ...shownIn(database),
    hasStage: (stage, port) => named.get(stage, port ?? null, port ?? null) !== undefined,
    knowsRecipe: (each) => recipe.get(each) !== undefined,
    size: () => Number((database.prepare("SELECT count(*) AS n FROM stages").get() as { n: number }).n)
  }
}

/** Opens the index of a store whose journal was read just now, until the scope closes. */
export const openIndex = (store: Store["Service"]): Effect.Effect<ArtifactIndex, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => openSomewhere(store)),
      (database) => Effect.sync(() => database.close())
    ),
    indexOf
  )

/** An answer of the index of what the journal has now. */
export const withIndex = <A>(ask: (index: ArtifactIndex) => A): Effect.Effect<A, never, Store> =>
  Effect.scoped(Effect.map(Effect.flatMap(Store, openIndex), ask))

/** The same for as long as it is held: it closes when it is collected. */
export const heldIndex = (store: Store["Service"]): ArtifactIndex => indexOf(openSomewhere(store))

/** Makes the index anew from the journal, in its file. Gives how many stages it has. */
export const reindex = Effect.fnUntraced(function* (store: Store["Service"]) {
  yield* store.journal.refresh
  const file = fileOf(store)
  yield* Effect.try({
    try: () => {
      rmSync(file, { force: true })
      if (existsSync(store.folder)) writeFileSync(file, "")
    },
    catch: (cause) => fromCause(file, cause)
  })
  return yield* Effect.scoped(Effect.map(openIndex(store), ({ size }) => size()))
})
