/** Bindings that are recorded as differences are what they were. */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { bindingEntries, bindingOf } from "../../src/lineage/binding.ts"
import type { Binding } from "../../src/lineage/record.ts"
import { nodeDisk } from "../../src/store/disk.ts"
import { makeDurable } from "../../src/store/durable.ts"
import { openJournal } from "../../src/store/journal.ts"
import { newFolder } from "../store/folder.ts"

const names = ["constructor", "__proto__", ...Array.from({ length: 38 }, (_, i) => `s${i}`)]

/** Changes of a binding: keys of stages, stages that are left out, or come back, and now and then all of it in another order. */
const change = fc.record({
  keys: fc.array(fc.tuple(fc.nat(39), fc.nat(3)), { maxLength: 6 }),
  without: fc.array(fc.nat(39), { maxLength: 3 }),
  reversed: fc.boolean()
})

describe("bindings", () => {
  it.effect("are what they were, and of a few changes a few entries are recorded", () =>
    Effect.scoped(
      Effect.flatMap(newFolder, (folder) =>
        Effect.promise(async () => {
          let differences = 0
          let example = 0
          const property = fc.asyncProperty(
            fc.array(change, { minLength: 1, maxLength: 25 }),
            fc.nat(9),
            async (changes, odd) => {
              const file = path.join(folder, `records${example++}`)
              const journal = await Effect.runPromise(openJournal(makeDurable(nodeDisk, folder), file, Effect.void))
              const keys = new Map(names.map((name) => [name, "k"]))
              const recorded: Array<readonly [string, Binding]> = []
              for (const [i, { keys: changed, without, reversed }] of changes.entries()) {
                for (const [n, key] of changed) keys.set(names[n]!, `k${key}`)
                const out = new Set(without.map((n) => names[n]!))
                const binding = [...keys].flatMap(([stage, key]) => (out.has(stage) ? [] : [{ stage, key }]))
                if (reversed && i % 10 === odd) binding.reverse()
                const { digest, entries } = bindingEntries(journal, binding, () => recorded.at(-1)?.[0])
                const size = JSON.stringify(entries).length
                if (size > 2 && size < 1000) differences++
                await Effect.runPromise(journal.append(entries, { durable: false }))
                recorded.push([digest, binding])
              }
              const again = await Effect.runPromise(openJournal(makeDurable(nodeDisk, folder), file, Effect.void))
              for (const [digest, binding] of recorded) assert.deepStrictEqual(bindingOf(again, digest), binding)
            }
          )
          await fc.assert(property, { numRuns: 40 })
          assert.isAbove(differences, 10)
          assert.deepStrictEqual(
            bindingOf(await Effect.runPromise(openJournal(makeDurable(nodeDisk, folder), "none", Effect.void)), "x"),
            []
          )
        })
      )
    )
  )
})
