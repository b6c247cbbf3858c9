import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import * as fc from "fast-check"
import { nodeDisk } from "../../src/store/disk.ts"
import { makeDurable } from "../../src/store/durable.ts"
import { type Journal, type NewEntry, openJournal } from "../../src/store/journal.ts"
import { newFolder } from "./folder.ts"

const entryOf = fc.record({
  kind: fc.constantFrom("stage", "run"),
  key: fc.stringMatching(/^[0-9a-f]{1,4}$/),
  value: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as Json)
})

const unread = (file: string) => openJournal(makeDurable(nodeDisk, path.dirname(file)), file, Effect.void)

const open = (file: string) => Effect.tap(unread(file), ({ refresh }) => refresh)

const read = (journal: Journal): ReadonlyArray<NewEntry> =>
  journal
    .kinds()
    .flatMap((kind) => journal.all(kind))
    .sort((a, b) => a.position - b.position)
    .map(({ key, kind, value }) => ({ kind, key, value: value() }))

const append = (file: string, entries: ReadonlyArray<NewEntry>) =>
  Effect.gen(function* () {
    const journal = yield* open(file)
    for (const entry of entries) yield* journal.append([entry], { durable: false })
    return journal
  })

/** Runs a property with a new file for each example. */
const check = <A>(property: (file: string) => fc.IAsyncProperty<A>, numRuns: number) =>
  Effect.scoped(
    Effect.flatMap(newFolder, (folder) =>
      Effect.promise(() => fc.assert(property(path.join(folder, "records")), { numRuns }))
    )
  )

describe("the journal", () => {
  it.effect("gives back what was added, and the newest of each key", () =>
    check(
      (file) =>
        fc.asyncProperty(fc.array(entryOf, { maxLength: 12 }), async (entries) => {
          fs.rmSync(file, { force: true })
          const journal = await Effect.runPromise(append(file, entries))
          assert.deepStrictEqual(read(journal), entries)
          const again = await Effect.runPromise(open(file))
          assert.deepStrictEqual(read(again), entries)
          for (const { key, kind } of entries) {
            const newest = entries.findLast((each) => each.key === key && each.kind === kind)!
            assert.deepStrictEqual(again.newest(kind, key)!.value(), newest.value)
          }
        }),
      50
    )
  )

  it.effect("cut off at any byte: whole records before it are there, and what is added later too", () =>
    check(
      (file) =>
        fc.asyncProperty(
          fc.array(entryOf, { minLength: 1, maxLength: 6 }),
          fc.nat(),
          entryOf,
          async (entries, at, later) => {
            fs.rmSync(file, { force: true })
            const ends: Array<number> = []
            const journal = await Effect.runPromise(open(file))
            for (const entry of entries) {
              await Effect.runPromise(journal.append([entry], { durable: false }))
              ends.push(fs.statSync(file).size)
            }
            const cut = at % (ends.at(-1)! + 1)
            fs.truncateSync(file, cut)
            const whole = entries.filter((_, i) => ends[i]! <= cut)
            const torn = await Effect.runPromise(open(file))
            assert.deepStrictEqual(read(torn), whole)
            await Effect.runPromise(torn.append([later], { durable: true }))
            const after = read(await Effect.runPromise(open(file)))
            // A record of which only the end of the line was cut off is whole.
            const kept = entries.filter((_, i) => ends[i]! <= cut + 1)
            assert.deepStrictEqual(after, [...kept, later])
            assert.deepStrictEqual(read(torn), after)
          }
        ),
      80
    )
  )

  it.effect("a flipped bit loses the record that it is in, and no other", () =>
    check(
      (file) =>
        fc.asyncProperty(
          fc.array(entryOf, { minLength: 2, maxLength: 6 }),
          fc.nat(),
          fc.nat(7),
          async (entries, at, bit) => {
            fs.rmSync(file, { force: true })
            await Effect.runPromise(append(file, entries))
            const bytes = fs.readFileSync(file)
            const place = at % bytes.length
            bytes[place]! ^= 1 << bit
            fs.writeFileSync(file, bytes)
            const journal = await Effect.runPromise(open(file))
            const found = read(journal)
            // Only a flipped end of line can touch two records.
            const most = bytes[place]! === (10 ^ (1 << bit)) ? 2 : 1
            assert.isAtLeast(found.length, entries.length - most)
            let from = 0
            for (const entry of found) {
              const index = entries.findIndex((each, i) => i >= from && JSON.stringify(each) === JSON.stringify(entry))
              assert.isAtLeast(index, 0, "a record that was never added")
              from = index + 1
            }
            if (found.length < entries.length) assert.isAtLeast(journal.damaged() + (most - 1), 1)
          }
        ),
      150
    )
  )

  it.effect("gives what was added after a mark, read from there; nothing where its record is another or damaged", () =>
    check(
      (file) =>
        fc.asyncProperty(
          fc.array(entryOf, { minLength: 1, maxLength: 6 }),
          fc.array(entryOf, { maxLength: 6 }),
          fc.string({ maxLength: 20 }),
          fc.nat(),
          async (before, after, torn, at) => {
            fs.rmSync(file, { force: true })
            const { mark, since } = await Effect.runPromise(
              Effect.gen(function* () {
                const first = yield* append(file, before)
                const mark = first.mark()!
                fs.appendFileSync(file, `\n${torn}`)
                const last = yield* append(file, after)
                const late = yield* unread(file)
                const since = yield* late.since(mark)
                assert.strictEqual(late.mark(), last.mark())
                return { mark, since }
              })
            )
            const found = since!.map(({ key, kind, value }) => ({ kind, key, value: value() }))
            assert.deepStrictEqual(found, after)
            const bytes = fs.readFileSync(file)
            const start = Number.parseInt(mark, 10)
            const damaged = Buffer.from(bytes)
            const place = start + (at % (bytes.indexOf(10, start) - start))
            damaged[place] = damaged[place]! ^ 1
            fs.writeFileSync(file, damaged)
            const again = await Effect.runPromise(Effect.flatMap(unread(file), ({ since }) => since(mark)))
            assert.isUndefined(again)
          }
        ),
      100
    )
  )

  it.effect("two that are open on one file see what the other adds", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = path.join(yield* newFolder, "records")
        const [one, two] = yield* Effect.all([open(file), open(file)])
        const entry = (key: string) => [{ kind: "stage", key, value: key }]
        yield* one.append(entry("a"), { durable: false })
        assert.isUndefined(two.newest("stage", "a"))
        yield* two.refresh
        assert.strictEqual(two.newest("stage", "a")!.value(), "a")
        const writes = (journal: Journal, name: string) =>
          Effect.forEach(
            Array.from({ length: 50 }, (_, i) => `${name}${i}`),
            (key) => journal.append(entry(key), { durable: false }),
            {
              concurrency: 10
            }
          )
        yield* Effect.all([writes(one, "x"), writes(two, "y")], { concurrency: 2 })
        yield* one.refresh
        assert.strictEqual(one.all("stage").length, 101)
        assert.strictEqual(one.damaged(), 0)
        assert.deepStrictEqual(read(one), read(yield* open(file)))
      })
    )
  )
})
