/** The browser of tables on a table of many record batches: what it reads, what its filters keep, and what it says of a table that is gone. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { run } from "../../src/executor/run.ts"
import { resolve } from "../../src/lineage/ledger.ts"
import type { Blob } from "../../src/operator/artifact.ts"
import { toPageError } from "../../src/page/server/refusal.ts"
import { tablePage } from "../../src/page/server/table.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { manyRows, rowAt } from "./many-rows.ts"

const COUNT = 15_000
const folder = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-table-"))
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

/** A store that was just opened has compared no blob with its digest yet. */
const opened = () => Effect.runPromise(open(path.join(folder, "store")))
let store: Store["Service"]
let blob: Blob
let file: string

const inStore = <A, E>(effect: Effect.Effect<A, E, Store>): Promise<A> =>
  Effect.runPromise(Effect.provideService(effect, Store, store))

beforeAll(async () => {
  store = await opened()
  await inStore(Effect.flatMap(Pipeline.build(manyRows(COUNT), []), (graph) => run(graph, {})))
  const { artifact } = await inStore(resolve("rows.rows"))
  blob = artifact.parts["table.arrow"]!
  file = await Effect.runPromise(store.blobs.path(blob))
}, 60_000)

const page = (offset: number, limit: number, filter?: Parameters<typeof tablePage>[3]) =>
  inStore(tablePage("rows", offset, limit, filter))

/** A row's value as JSON has it. */
const plain = (value: unknown): unknown =>
  ArrayBuffer.isView(value)
    ? [...(value as Int32Array)]
    : typeof value === "number" && !Number.isFinite(value)
      ? String(value)
      : value

const names = Object.keys(rowAt(0)) as ReadonlyArray<keyof ReturnType<typeof rowAt>>
const all = Array.from({ length: COUNT }, (_, i) => rowAt(i))

describe("a table of many record batches", () => {
  it("is walked page by page to its end, each page from the batches that it is in", async () => {
    const { batches, columns } = await page(0, 50)
    assert.isAbove(batches.total, 8)
    assert.deepStrictEqual(
      columns.map(({ name }) => name),
      [...names]
    )
    const found: Array<number> = []
    for (let next: number | null = 0; next !== null; ) {
      const { batches, next: after, rows }: Awaited<ReturnType<typeof page>> = await page(next, 500)
      assert.isAtMost(batches.read, 2)
      for (const { cells, row } of rows.filter(({ row }) => row % 97 === 0)) {
        assert.deepStrictEqual(cells, names.map((name) => plain(rowAt(row)[name])) as typeof cells, `row ${row}`)
      }
      found.push(...rows.map(({ row }) => row))
      next = after
    }
    assert.deepStrictEqual(found, [...found.keys()])
    assert.strictEqual(found.length, COUNT)
  })

  it.skipIf(!fs.existsSync("/proc/self/io"))("is not read whole for a page: the system counts the bytes", async () => {
    const read = () => Number(/rchar: (\d+)/.exec(fs.readFileSync("/proc/self/io", "utf8"))![1])
    await page(0, 1)
    const before = read()
    const { rows } = await page(COUNT - 50, 50)
    assert.strictEqual(rows.at(-1)!.row, COUNT - 1)
    assert.isBelow(read() - before, blob.bytes / 4)
  })

  const text = (value: unknown): string => {
    const shown = plain(value)
    return (typeof shown === "string" ? shown : JSON.stringify(shown)).toLowerCase().replaceAll("ς", "σ")
  }
  /** What is kept, value by value, without Arrow. */
  const keeps = (value: unknown, operator: string, wanted: string): boolean => {
    const folded = wanted.toLowerCase().replaceAll("ς", "σ")
    if (ArrayBuffer.isView(value)) {
      const list = (value as Int32Array).join(" ")
      const sought = wanted.replaceAll(/[^\d.-]+/g, " ").trim()
      return operator === "equals" ? list === sought : ` ${list} `.includes(` ${sought} `)
    }
    if (operator === "contains") return value !== null && text(value).includes(folded)
    if (operator === "equals")
      return typeof value === "number" && wanted !== "null" ? value === Number(wanted) : text(value) === folded
    return typeof value === "number" && (operator === "below" ? value < Number(wanted) : value > Number(wanted))
  }
  const filters = [
    ["text", "contains", "ὀδυσσεΎς"],
    ["text", "contains", "GRÖßER"],
    ["text", "contains", "peace must"],
    ["text", "contains", "nowhere"],
    ["text", "equals", "Nation peace nation 0"],
    ["text", "above", "0"],
    ["tokens", "contains", "7"],
    ["tokens", "contains", "[398, 399, 0]"],
    ["tokens", "contains", "39"],
    ["tokens", "equals", "7"],
    ["score", "above", "0.9999"],
    ["score", "below", "-0.9999"],
    ["score", "contains", "infinity"],
    ["count", "equals", "776"],
    ["count", "contains", "77"],
    ["count", "below", "2"],
    ["note", "contains", "note 42"],
    ["note", "contains", "null"],
    ["note", "equals", "null"],
    ["share", "equals", "null"],
    ["share", "above", "6.9"],
    ["share", "below", "0.2"],
    ["ended", "equals", "true"],
    ["words", "contains", "größer"]
  ] as const

  for (const [column, operator, value] of filters) {
    it(`has the rows whose ${column} ${operator} ${value}, and no others`, async () => {
      const expected = all.flatMap((row, i) => (keeps(row[column], operator, value) ? [i] : []))
      const found: Array<number> = []
      for (let next: number | null = 0; next !== null; ) {
        const { next: after, rows }: Awaited<ReturnType<typeof page>> = await page(next, 500, {
          column,
          operator,
          value
        })
        found.push(...rows.map(({ row }) => row))
        next = after
      }
      assert.deepStrictEqual(found, expected)
      if (!["nowhere", "0", "null"].includes(value)) assert.isAbove(found.length, 0)
    })
  }

  it("is looked through for so long for one answer, which says where to go on", async () => {
    let now = 0
    const hurried = { ...Effect.runSync(Clock.Clock), currentTimeMillis: Effect.sync(() => (now += 1_000)) }
    const filter = { column: "text", operator: "contains", value: "nowhere" } as const
    const { batches, next, rows, scanned } = await inStore(
      Effect.provideService(tablePage("rows", 0, 50, filter), Clock.Clock, hurried)
    )
    assert.deepStrictEqual([batches.read, rows], [1, []])
    assert.strictEqual(next, scanned)
    assert.isBelow(next!, COUNT)
  })

  it("that is damaged, or gone, is said with what to do, and is no answer", async () => {
    const bytes = fs.readFileSync(file)
    const refused = async () =>
      toPageError(
        await Effect.runPromise(Effect.flip(Effect.provideService(tablePage("rows", 0, 1, undefined), Store, store)))
      )
    store = await opened()
    fs.chmodSync(file, 0o644)
    fs.writeFileSync(file, bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 1))
    const damaged = await refused()
    assert.strictEqual(damaged.status, 410)
    assert.match(damaged.message, /is damaged .* run again/)
    // What is damaged was put aside.
    const gone = await refused()
    assert.strictEqual(gone.status, 410)
    assert.match(gone.message, /is not in the store .* run again/)
  })
})
