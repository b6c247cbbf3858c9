/** The ledger's index against a look at every record (rows 30 and 34). */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { openIndex, reindex } from "../../src/lineage/artifact-index.ts"
import { type StageNode, stageBrief } from "../../src/lineage/records.ts"
import { nodeDisk } from "../../src/store/disk.ts"
import { open, type Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { drawsOf } from "../store/simulation/random.ts"

interface Recorded {
  readonly key: string
  readonly took: ReadonlyArray<string>
  readonly gave: string
}

const draws = drawsOf(3)
const hex = () =>
  Array.from({ length: 8 }, () =>
    draws
      .between(0, 2 ** 32)
      .toString(16)
      .padStart(8, "0")
  ).join("")

/** Adds records whose inputs are outputs of those before. */
const add = Effect.fnUntraced(function* (store: Store["Service"], all: Array<Recorded>, count: number) {
  for (let i = 0; i < count; i++) {
    const took = all.length === 0 ? [] : [0, 1].map(() => all[draws.between(0, all.length)]!.gave)
    const recorded = { key: hex(), took, gave: draws.chance(0.1) && all.length > 0 ? all[0]!.gave : hex() }
    const inputs = Object.fromEntries(took.map((digest, n) => [`i${n}`, { digest }]))
    const artifact = {
      kind: "text",
      digest: recorded.gave,
      parts: { o: { digest: recorded.gave, bytes: i } },
      meta: {}
    }
    const rest = { metrics: { "a'b": i / 3 }, seconds: i, time: i, run: `run "${count}"`, stage: `s${i}` }
    const preimage = { operator: { name: "join" }, inputs }
    // Now and then a record of which nothing can be shown.
    const value = draws.chance(0.1)
      ? { preimage, outputs: { o: artifact } }
      : { preimage, outputs: { o: artifact }, ...rest }
    const kind = draws.chance(0.1) ? "uncached" : "stage"
    yield* store.journal.append([{ kind, key: recorded.key, value }], { durable: false })
    all.push(recorded)
  }
})

/** The inputs that the newest record of a key names, of those up to a position. */
const inputsOf = ({ journal }: Store["Service"], key: string, upTo: number | undefined): StageNode["inputs"] => {
  const value = (journal.newest("stage", key, upTo) ?? journal.newest("uncached", key, upTo))?.value()
  return (value as Partial<StageNode>).inputs ?? {}
}

const check = (store: Store["Service"], all: ReadonlyArray<Recorded>) =>
  Effect.scoped(
    Effect.map(openIndex(store), (index) => {
      assert.strictEqual(index.size(), all.length)
      for (const { gave } of all) {
        const users = all.filter(({ took }) => took.includes(gave)).map(({ key }) => key)
        assert.deepStrictEqual(index.users([gave]), [users])
        const prefix = gave.slice(0, 6)
        const makers = all.filter((each) => each.gave.startsWith(prefix)).map(({ key }) => key)
        assert.deepStrictEqual(index.makers(prefix), makers)
      }
    })
  )

/** All rows of all tables. */
const contents = (file: string) => {
  const database = new DatabaseSync(file, { readOnly: true })
  const tables = ["mark", "stages", "took", "gave", "learned"]
  const rows = tables.map((table) => [table, database.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all()] as const)
  database.close()
  return Object.fromEntries(rows)
}

describe("the ledger's index", () => {
  it.effect("shows of a key what its newest record says, of those up to any position", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const all: Array<Recorded> = []
      yield* add(store, all, 40)
      // Stages that ran again gave other bytes.
      for (const { key, took } of all.slice(0, 20)) {
        const digest = hex()
        const outputs = { o: { kind: "text", digest, parts: { o: { digest, bytes: 1 } }, meta: {} } }
        const inputs = Object.fromEntries(took.map((digest, n) => [`i${n}`, { digest }]))
        const value = {
          preimage: { operator: { name: "join" }, inputs },
          outputs,
          inputs: { i0: { key, port: "o" } },
          metrics: {},
          seconds: 1,
          time: 2,
          run: "again",
          stage: "s"
        }
        const kind = store.journal.newest("stage", key) === undefined ? "uncached" : "stage"
        yield* store.journal.append([{ kind, key, value }], { durable: false })
      }
      const entries = ["stage", "uncached"].flatMap((kind) => store.journal.all(kind))
      const keys = [...all.map(({ key }) => key), "unknown"]
      const shown = new Set<string>()
      yield* Effect.scoped(
        Effect.map(openIndex(store), ({ briefs, nodes }) => {
          assert.deepStrictEqual(briefs([]), [])
          for (const upTo of [undefined, ...entries.map(({ position }) => position)]) {
            const expected = keys.map((key) => stageBrief(store.journal, key, upTo) ?? null)
            assert.deepStrictEqual(briefs(keys, upTo), expected)
            const taking = expected.map((brief, i) => {
              if (brief === null) return null
              const { outputs: _, ...rest } = brief
              return { ...rest, inputs: inputsOf(store, keys[i]!, upTo) }
            })
            assert.deepStrictEqual(nodes(keys, upTo), taking)
            for (const brief of expected) shown.add(JSON.stringify(brief))
          }
        })
      )
      assert.isAbove(shown.size, 45)
    })
  )

  it.effect(
    "has what the journal has: when it grows, when the index is damaged or gone, or is of another journal",
    () =>
      Effect.gen(function* () {
        const folder = path.join(yield* newFolder, "store")
        const store = yield* open(folder)
        const all: Array<Recorded> = []
        yield* check(store, all)
        assert.isFalse(fs.existsSync(folder), "looking makes no store")
        for (const count of [1, 30, 5]) {
          yield* add(store, all, count)
          yield* check(store, all)
          yield* check(store, all)
        }
        const file = path.join(folder, "ledger.sqlite")
        fs.writeFileSync(file, "no database")
        yield* check(store, all)
        fs.rmSync(file)
        yield* check(store, all)
        assert.strictEqual(yield* reindex(store), all.length)
        const whole = contents(file)
        assert.isAbove(whole["took"]!.length, all.length)
        // One that another version made is not read.
        const old = new DatabaseSync(file)
        old.exec("UPDATE stages SET state = '[]'; DELETE FROM gave; PRAGMA user_version = 6")
        old.close()
        yield* check(store, all)
        assert.deepStrictEqual(contents(file), whole)
        // What came bit by bit is what comes at once.
        yield* add(store, all, 20)
        yield* check(store, all)
        const grown = contents(file)
        assert.notDeepEqual(grown, whole)
        yield* reindex(store)
        assert.deepStrictEqual(contents(file), grown)
        // One that cannot be written is asked in memory, but not said to be made anew.
        fs.rmSync(file)
        fs.mkdirSync(path.join(file, "folder"), { recursive: true })
        yield* check(store, all)
        const refused = yield* Effect.flip(reindex(store))
        assert.deepStrictEqual([refused._tag, refused.place], ["StoreError", file])
        fs.rmSync(file, { recursive: true })
        yield* check(store, all)

        // The journal of another store in the place of this one: its records are of other positions and keys.
        const another = yield* open(path.join(yield* newFolder, "store"))
        const others: Array<Recorded> = []
        yield* add(another, others, 50)
        fs.copyFileSync(file, path.join(another.folder, "ledger.sqlite"))
        yield* check(another, others)
        // The journal as it was before: the index knows more than it.
        fs.writeFileSync(path.join(folder, "records"), nodeDisk.read(path.join(another.folder, "records"))!)
        yield* check(yield* open(folder), others)
      })
  )
})
