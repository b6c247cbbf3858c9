import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Document } from "../../operators/rows.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"
import { newFolder } from "../store/folder.ts"
import { corpus, corpusOf, halves } from "./map-rows.ts"

const pipeline = (generation: number) =>
  Pipeline.make("halves", {}, (p) => p.add(halves, { inputs: p.add(corpus, { params: { generation } }) }))

describe("mapRows", () => {
  it.live("gives what a plain map gives, and maps again only the batches that changed", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const counts: Array<{ readonly made: number; readonly reused: number }> = []
      for (const generation of [0, 1]) {
        const graph = yield* Pipeline.build(pipeline(generation))
        const { outputs, stages } = yield* Effect.provideService(run(graph), Store, store)
        counts.push(stages[1]!.batches!)
        const table = yield* Table.of(Document).decode(outputs["rows"]!, store.source)
        const wanted = corpusOf(generation).flatMap(({ id, text }) =>
          text.length < 3000
            ? []
            : [
                [`${id}.0`, text.slice(0, text.length >> 1)],
                [`${id}.1`, text.slice(text.length >> 1)]
              ]
        )
        const rows = yield* Table.collect(table)
        assert.deepStrictEqual(
          rows.map(({ id, text }) => [id, text]),
          wanted
        )
      }
      assert.strictEqual(counts[0]!.reused, 0)
      assert.isAtLeast(counts[0]!.made, 4)
      assert.isAtMost(counts[1]!.made, 3)
      assert.isAtLeast(counts[1]!.reused, counts[0]!.made - 3)
    }).pipe(Effect.scoped)
  )
})
