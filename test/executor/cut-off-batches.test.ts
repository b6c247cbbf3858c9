/** A stage that maps a long table batch by batch and is cut off on the way (rows 17 and 18). */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { KeepInterval } from "../../src/executor/batches.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { factor, source, split, world } from "./words.ts"

const DOCUMENTS = 400

const pipeline = Pipeline.make("words", {}, (p) => {
  const { documents } = p.add(source, { params: { generation: 1 } })
  const { n } = p.add(factor, { params: { value: 2 } })
  return p.add(split, { inputs: { documents, factor: n }, params: { times: 1 } })
})

/** Maps the documents; the process of the stage dies when it has mapped so many. */
const start = Effect.fnUntraced(function* (store: Store["Service"], most: number) {
  const mapped: Array<number> = []
  mapped.push = (...ids) => {
    if (mapped.length + ids.length > most) throw new Error("cut off")
    for (const id of ids) mapped[mapped.length] = id
    return mapped.length
  }
  world.mapped = mapped
  world.docs = Array.from({ length: DOCUMENTS }, (_, id) => ({
    id,
    text: `${id} lorem ipsum `.padEnd(9000 + ((id * 7919) % 4000), `${id * 31} dolor `)
  }))
  const graph = yield* Pipeline.build(pipeline)
  return yield* Effect.result(
    run(graph).pipe(Effect.provideService(Store, store), Effect.provideService(KeepInterval, 0))
  )
})

describe("a long table that was cut off", () => {
  it.live("goes on with the batches that it had not made, to the same result", () =>
    Effect.gen(function* () {
      const whole = yield* Effect.flatMap(newFolder, (folder) =>
        Effect.flatMap(open(path.join(folder, "store")), (store) => start(store, DOCUMENTS))
      )
      assert.strictEqual(world.mapped.length, DOCUMENTS)
      for (const most of [150, 350]) {
        const folder = path.join(yield* newFolder, "store")
        const cut = yield* start(yield* open(folder), most)
        assert.strictEqual(cut._tag, "Failure")
        const before = [...world.mapped]
        const resumed = yield* start(yield* open(folder), DOCUMENTS)
        // Each document was mapped once, by the one or by the other.
        assert.deepStrictEqual(
          [...before, ...world.mapped].toSorted((a, b) => a - b),
          Array.from({ length: DOCUMENTS }, (_, id) => id)
        )
        assert.isAbove(before.length, 0)
        assert.deepStrictEqual(
          resumed._tag === "Success" && resumed.success.outputs,
          whole._tag === "Success" && whole.success.outputs
        )
      }
    })
  )
})
