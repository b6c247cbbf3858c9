/** A journal with an index is the journal without it, whoever wrote it and whatever became of either file. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import * as fc from "fast-check"
import { nodeDisk } from "../../src/store/disk.ts"
import { makeDurable } from "../../src/store/durable.ts"
import { IndexedFrom, type Journal, openJournal } from "../../src/store/journal.ts"
import { newFolder } from "./folder.ts"

/** Bytes that are read, by the disk below. */
let bytesRead = 0
const disk = {
  ...nodeDisk,
  read: (file: string, from?: number, length?: number) => {
    const bytes = nodeDisk.read(file, from, length)
    bytesRead += bytes?.byteLength ?? 0
    return bytes
  }
}

const open = (file: string, from?: number): Promise<Journal> =>
  Effect.runPromise(
    openJournal(
      makeDurable(disk, path.dirname(file)),
      file,
      Effect.void,
      from === undefined ? undefined : `${file}.sqlite`
    ).pipe(
      Effect.tap(({ refresh }) => refresh),
      Effect.provideService(IndexedFrom, from ?? 0)
    )
  )

const add = (journal: Journal, kind: string, key: string, value: Json) =>
  Effect.runPromise(journal.append([{ kind, key, value }], { durable: false }))

const contents = (journal: Journal) => {
  const kinds = [...journal.kinds()].sort()
  return {
    damaged: journal.damaged(),
    all: kinds.map((kind) => [
      kind,
      journal
        .all(kind)
        .map(({ key, position, value }, _, entries) => [
          key,
          position,
          value(),
          journal.newest(kind, key)?.value(),
          entries.map(({ position: upTo }) => journal.newest(kind, key, upTo)?.position)
        ])
    ])
  }
}

const keys = ["a", "b", "c", "d"]
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("add"),
      kind: fc.constantFrom("stage", "run"),
      key: fc.constantFrom(...keys),
      value: fc.jsonValue({ maxDepth: 1 })
    })
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("reopen") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("damage"), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("other", "spoil", "drop") }) }
)

describe("a journal with an index", () => {
  it.effect("is the journal without it, under any writes, damage and loss of either file", () =>
    Effect.scoped(
      Effect.flatMap(newFolder, (folder) =>
        Effect.promise(async () => {
          const file = path.join(folder, "records")
          let indexed = 0
          const run = async (
            operations: ReadonlyArray<{ do: string; kind?: string; key?: string; value?: unknown; at?: number }>
          ) => {
            for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name), { recursive: true })
            let writer = await open(file, 60)
            for (const each of operations) {
              const there = fs.existsSync(file)
              if (each.do === "add") await add(writer, each.kind!, each.key!, JSON.parse(JSON.stringify(each.value)))
              if (each.do === "damage" && there) {
                const bytes = fs.readFileSync(file)
                bytes[each.at! % bytes.byteLength]! ^= 1
                fs.writeFileSync(file, bytes)
              }
              // Another journal, as if a person had put another store's there.
              if (each.do === "other" && there) {
                fs.rmSync(file)
                await add(await open(file), "stage", "z", "other")
              }
              if (each.do === "spoil" && fs.existsSync(`${file}.sqlite`))
                fs.writeFileSync(`${file}.sqlite`, "no database")
              if (each.do === "drop") fs.rmSync(`${file}.sqlite`, { force: true })
              if (each.do !== "add") writer = await open(file, 60)
              const reader = await open(file, 60)
              if (reader.indexed()) indexed++
              const [found, expected] = [contents(reader), contents(await open(file))]
              // A record that was damaged after it was indexed is there without a value; without an index it is not there.
              const alive = found.all.map(([kind, entries]) => [
                kind,
                (entries as ReadonlyArray<ReadonlyArray<unknown>>).filter(([, position]) =>
                  expected.all.some(([, others]) =>
                    (others as ReadonlyArray<ReadonlyArray<unknown>>).some((other) => other[1] === position)
                  )
                )
              ])
              const values = (all: ReadonlyArray<unknown>) =>
                (all as ReadonlyArray<[string, ReadonlyArray<ReadonlyArray<unknown>>]>)
                  .filter(([, entries]) => entries.length > 0)
                  .map(([kind, entries]) => [kind, entries.map(([key, position, value]) => [key, position, value])])
              assert.deepStrictEqual(values(alive), values(expected.all))
              assert.strictEqual(found.damaged, expected.damaged)
              if (operations.every(({ do: what }) => what !== "damage")) assert.deepStrictEqual(found, expected)
            }
          }
          await fc.assert(fc.asyncProperty(fc.array(operation, { maxLength: 14 }), run), { numRuns: 30, seed: 7 })
          assert.isAbove(indexed, 20)
        })
      )
    )
  )

  it.effect("reads no more after many runs than after one", () =>
    Effect.scoped(
      Effect.flatMap(newFolder, (folder) =>
        Effect.promise(async () => {
          const file = path.join(folder, "records")
          const from = 20_000
          const readOf = async () => {
            bytesRead = 0
            const journal = await open(file, from)
            for (const key of ["k0", "k1", "k2"]) assert.isDefined(journal.newest("stage", key)?.value())
            return bytesRead
          }
          const grow = async (records: number, first: number) => {
            for (let i = first; i < first + records; i += 250) {
              const journal = await open(file, from)
              const entries = Array.from({ length: 250 }, (_, j) => ({
                kind: "stage",
                key: `k${i + j}`,
                value: { n: i + j, filling: "x".repeat(200) }
              }))
              await Effect.runPromise(journal.append(entries, { durable: false }))
            }
          }
          await grow(1000, 0)
          const early = await readOf()
          await grow(10_000, 1000)
          const late = await readOf()
          assert.isAbove(fs.statSync(file).size, 2_500_000)
          // A piece of the indexed part for the three, one for the last record of it, and what is not indexed yet.
          const most = 2 * (256 << 10) + from + 250 * 300
          assert.isBelow(early, most)
          assert.isBelow(late, most)
        })
      )
    )
  )
})
