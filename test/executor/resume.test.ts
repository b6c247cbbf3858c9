/** What a resume point may be used for. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execute, type StageRequest } from "../../src/executor/execute.ts"
import { KEY_SCHEMA } from "../../src/executor/key.ts"
import { open, type Store } from "../../src/store/store.ts"
import { counting, interrupted } from "./counting.ts"

const newStore = Effect.flatMap(
  Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "ptmflow-resume-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  ),
  (folder) => open(path.join(folder, "store"))
)

const request = Effect.fnUntraced(function* (store: Store["Service"], key: string, input: number) {
  const blob = yield* store.sink.put(Buffer.from(`${input}`))
  const n = { kind: "json", digest: blob.digest, parts: { json: blob }, meta: {} }
  const made = {
    key,
    stage: "counting",
    operator: { name: "counting", version: 1 },
    preimage: {
      _tag: "StageKey",
      schema: KEY_SCHEMA,
      operator: { _tag: "Operator", name: "counting", version: 1 },
      code: "",
      packages: "",
      params: {},
      inputs: {},
      outputs: {},
      sources: [],
      numerics: null
    },
    params: {},
    inputs: { n },
    sources: []
  }
  return made as unknown as StageRequest
})

const watch = { onUpdate: () => Effect.void, maySave: Effect.succeed(true) }

const start = (store: Store["Service"], made: StageRequest, stopAt: number) =>
  Effect.suspend(() => {
    interrupted.at = stopAt
    return execute<never>(store, made, counting, watch)
  })

describe("a resume point (rows 17 and 18)", () => {
  it.effect("is gone on from, to what an uninterrupted run gives, stopped at any step", () =>
    Effect.gen(function* () {
      const whole = yield* Effect.flatMap(newStore, (store) =>
        Effect.flatMap(request(store, "k", 5), (made) => start(store, made, 0))
      )
      for (let step = 1; step < 6; step++) {
        const store = yield* newStore
        const made = yield* request(store, "k", 5)
        yield* Effect.flip(start(store, made, step))
        const resumed = yield* start(store, made, 0)
        assert.strictEqual(resumed.resumedFrom, step)
        assert.deepStrictEqual(resumed.outputs, whole.outputs)
      }
    })
  )

  it.effect("of other data is refused, by the input's name", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      yield* Effect.flip(start(store, yield* request(store, "k", 5), 3))
      const error = (yield* Effect.flip(start(store, yield* request(store, "k", 6), 0))) as { message: string }
      assert.match(error.message, /it was saved when input n was [0-9a-f]{12}, and now that is [0-9a-f]{12}/)
    })
  )

  it.effect("of another key, put in its place, is refused", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      yield* Effect.flip(start(store, yield* request(store, "one", 5), 3))
      const resume = path.join(store.folder, "resume")
      fs.renameSync(path.join(resume, "one"), path.join(resume, "two"))
      const error = (yield* Effect.flip(start(store, yield* request(store, "two", 5), 0))) as { message: string }
      assert.include(error.message, "is a resume point of another stage key (one)")
    })
  )

  it.effect("with no steps done after it is an error, unless all were done", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const made = yield* request(store, "k", 5)
      yield* Effect.flip(start(store, made, 3))
      interrupted.skip = true
      const error = (yield* Effect.flip(execute<never>(store, made, counting, watch))) as { message: string }
      interrupted.skip = false
      assert.include(error.message, "stage counting went on from step 3 and did none of the steps up to 6")
      yield* Effect.flip(start(store, made, 6))
      const finished = yield* start(store, made, 0)
      assert.strictEqual(finished.resumedFrom, 6)
    })
  )
})
