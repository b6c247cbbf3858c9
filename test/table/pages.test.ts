import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Ipc from "../../src/table/ipc.ts"
import * as Pages from "../../src/table/pages.ts"
import { temporaryBlobs } from "./blobs.ts"

const schema = new arrow.Schema([new arrow.Field("n", new arrow.Int32()), new arrow.Field("text", new arrow.Utf8())])

/** Batches of these sizes, whose rows count on. */
const batches = (sizes: ReadonlyArray<number>): ReadonlyArray<arrow.RecordBatch> => {
  let first = 0
  return sizes.map((size) => {
    const n = Int32Array.from({ length: size }, (_, i) => first + i)
    const text = Array.from(n, (row) => `row ${row}`)
    first += size
    const table = new arrow.Table({ n: arrow.vectorFromArray(n), text: arrow.vectorFromArray(text, new arrow.Utf8()) })
    return new arrow.RecordBatch(
      schema,
      arrow.makeData({
        type: new arrow.Struct(schema.fields),
        length: size,
        nullCount: 0,
        children: [table.getChild("n")!.data[0]!, table.getChild("text")!.data[0]!]
      })
    )
  })
}

describe("pages of an Arrow file", () => {
  it.effect("know where each record batch begins, and read one without the others", () =>
    Effect.gen(function* () {
      const sink = yield* temporaryBlobs
      const sizes = [3, 1, 700, 0, 5]
      const blob = yield* sink.put(Ipc.write(arrow, schema, Stream.fromIterable(batches(sizes))))
      const path = yield* sink.path(blob)
      const { batch, schema: found, starts } = yield* Pages.open(path, "table")
      assert.deepStrictEqual(starts, [0, 3, 4, 704, 704, 709])
      assert.deepStrictEqual(
        found.fields.map(({ name }) => name),
        ["n", "text"]
      )
      for (const index of [4, 0, 2, 3, 1]) {
        const { numRows } = yield* batch(index)
        assert.strictEqual(numRows, sizes[index])
      }
      const last = yield* batch(4)
      assert.strictEqual(last.getChild("text")?.get(4), "row 708")
      // The body of a batch that is not read may be anything.
      const bytes = fs.readFileSync(path)
      const at = bytes.indexOf("row 300")
      assert.isAbove(at, 0)
      bytes.fill(0xff, at, at + 400)
      fs.writeFileSync(path, bytes)
      const again = yield* Pages.open(path, "table")
      assert.strictEqual((yield* again.batch(4)).getChild("n")?.get(0), 704)
    })
  )

  it.effect("of what is no Arrow file are an error that names it", () =>
    Effect.gen(function* () {
      const sink = yield* temporaryBlobs
      const path = yield* sink.path(
        yield* sink.put(new TextEncoder().encode("no table at all, whatever its length may be"))
      )
      const error = yield* Effect.flip(Pages.open(path, "table abc"))
      assert.match(error.message, /^table abc cannot be read as/)
    })
  )
})
