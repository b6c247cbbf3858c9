import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { diff } from "../../src/executor/diff.ts"
import { run } from "../../src/executor/run.ts"
import { resolve } from "../../src/lineage/ledger.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { pipelineOf } from "../lineage/lines.ts"
import { newFolder } from "../store/folder.ts"

/** The policies of two runs, with these settings, or with another corpus. */
const twice = Effect.fnUntraced(function* (
  first: { readonly [path: string]: string },
  second: { readonly [path: string]: string },
  corpus = "ten bytes!"
) {
  const folder = yield* newFolder
  const file = path.join(folder, "corpus.txt")
  const store = yield* open(path.join(folder, "store"))
  const policy = Effect.fnUntraced(function* (settings: { readonly [path: string]: string }, text: string) {
    fs.writeFileSync(file, text)
    const graph = yield* Pipeline.build(
      pipelineOf(file),
      Object.entries(settings).map(([path, value]) => ({ path, value }))
    )
    yield* run(graph)
    return yield* resolve("policy")
  })
  const compared = Effect.gen(function* () {
    const a = yield* policy(first, "ten bytes!")
    const b = yield* policy(second, corpus)
    return { ab: yield* diff(a, b), ba: yield* diff(b, a), aa: yield* diff(a, a) }
  })
  return yield* Effect.provideService(compared, Store, store)
})

describe("the diff of two artifacts", () => {
  it.live("of one parameter is that parameter, at the stage that has it, however many stages are after it", () =>
    Effect.gen(function* () {
      const { aa, ab, ba } = yield* twice({}, { add: "7" })
      assert.isFalse(ab.same)
      assert.isNotEmpty(ab.causes)
      for (const { kind, place } of ab.causes) assert.deepStrictEqual([kind, place], ["parameter", "add"])
      assert.deepStrictEqual(
        ba.causes.map(({ from, to }) => [from, to]),
        ab.causes.map(({ from, to }) => [to, from])
      )
      assert.deepStrictEqual([aa.same, aa.causes], [true, []])
    })
  )

  it.live("of another file is that file", () =>
    Effect.gen(function* () {
      const { ab } = yield* twice({}, {}, "ten bytes!".repeat(10))
      assert.deepStrictEqual(
        ab.causes.map(({ a, kind }) => [kind, a]),
        [["source", "read"]]
      )
    })
  )
})
