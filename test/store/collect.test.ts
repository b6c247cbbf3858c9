import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { findGarbage, removeGarbage } from "../../src/store/collect.ts"
import { open } from "../../src/store/store.ts"
import { newFolder } from "./folder.ts"

describe("removing garbage", () => {
  it.live("a blob that has come to be needed since it was looked for is where it was", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const put = (text: string) => store.blobs.put(Buffer.from(text))
      const [needed, other] = [yield* put("needed after all"), yield* put("no one's")]
      const kept = (blobs: Iterable<string>) => ({
        blobs: new Set(blobs),
        logs: new Set<string>(),
        isFinished: () => true
      })
      const garbage = yield* findGarbage(store, kept([]), -60_000)
      assert.sameMembers(
        garbage.map(({ name }) => name),
        [needed.digest, other.digest]
      )
      const removed = yield* removeGarbage(store, garbage, Effect.succeed(kept([needed.digest])))
      assert.deepStrictEqual(
        removed.map(({ name }) => name),
        [other.digest]
      )
      assert.deepStrictEqual([store.blobs.has(needed), store.blobs.has(other)], [true, false])
      assert.strictEqual(Buffer.from(yield* store.source.bytes(needed)).toString(), "needed after all")
    })
  )
})
