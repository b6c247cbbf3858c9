import { assert, describe, it } from "@effect/vitest"
import * as arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { ArtifactError } from "../../src/operator/artifact.ts"
import * as Table from "../../src/table/index.ts"
import { temporaryBlobs } from "./blobs.ts"

const Everything = Schema.Struct({
  text: Schema.String,
  flag: Schema.Boolean,
  small: Schema.Int.check(Schema.isInt32()),
  whole: Schema.Int,
  real: Schema.Number,
  big: Schema.BigInt,
  label: Schema.Literals(["chosen", "rejected"]),
  note: Schema.optionalKey(Schema.String),
  score: Schema.NullOr(Schema.Number),
  maybe: Schema.UndefinedOr(Schema.Boolean),
  words: Schema.Array(Schema.String),
  tokens: Table.Int32List,
  values: Table.Float32List,
  lists: Schema.NullOr(Schema.Array(Schema.NullOr(Table.Int32List))),
  nested: Schema.Struct({
    name: Schema.String,
    inner: Schema.NullOr(Schema.Struct({ n: Schema.Int, s: Schema.optionalKey(Schema.String) }))
  }),
  steps: Schema.Array(Schema.Struct({ reward: Schema.Number, done: Schema.Boolean }))
})
type Everything = typeof Everything.Type

const text = fc.string({ unit: "binary", maxLength: 12 }).map((s) => s.toWellFormed())
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const tokens = fc.array(int32, { maxLength: 6 }).map((ids) => Int32Array.from(ids))
const everything: fc.Arbitrary<Everything> = fc
  .record({
    text,
    flag: fc.boolean(),
    small: int32,
    whole: fc.maxSafeInteger(),
    real: fc.double(),
    big: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    label: fc.constantFrom("chosen", "rejected"),
    score: fc.option(fc.double()),
    maybe: fc.option(fc.boolean(), { nil: undefined }),
    words: fc.array(text, { maxLength: 4 }),
    tokens,
    values: fc.array(fc.float(), { maxLength: 4 }).map((x) => Float32Array.from(x)),
    lists: fc.option(fc.array(fc.option(tokens), { maxLength: 3 })),
    nested: fc.record({
      name: text,
      inner: fc.option(fc.oneof(fc.record({ n: fc.maxSafeInteger(), s: text }), fc.record({ n: fc.maxSafeInteger() })))
    }),
    steps: fc.array(fc.record({ reward: fc.double(), done: fc.boolean() }), { maxLength: 3 })
  })
  .chain((row) => fc.option(text, { nil: undefined }).map((note) => (note === undefined ? row : { ...row, note })))

const run = <A, E>(effect: Effect.Effect<A, E, never>) => Effect.runPromise(effect)

/** Rows written through the port and read back, with the artifact. */
const throughPort = <Row>(rowSchema: Table.RowSchema<Row>, table: Table.Table<Row>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const blobs = yield* temporaryBlobs
      const port = Table.of(rowSchema)
      const artifact = yield* port.encode(table, blobs)
      const back = yield* port.decode(artifact, blobs)
      return { artifact, rows: yield* Table.collect(back), digest: back.digest, numRows: back.numRows }
    })
  )

const digestOf = <Row>(rowSchema: Table.RowSchema<Row>, table: Table.Table<Row>) =>
  Effect.map(throughPort(rowSchema, table), ({ artifact }) => artifact.digest)

describe("Table", () => {
  it("gives back the rows it was given, in memory and through an Arrow file", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(everything, { maxLength: 20 }),
        fc.integer({ min: 1, max: 7 }),
        async (rows, batchRows) => {
          const table = Table.fromRows(Everything, rows, { batchRows })
          assert.deepStrictEqual(await run(Table.collect(table)), rows)
          const through = await run(throughPort(Everything, table))
          assert.deepStrictEqual(through.rows, rows)
          assert.strictEqual(through.numRows, rows.length)
        }
      ),
      { numRuns: 60 }
    ))

  it("has Arrow batches that Arrow itself reads as the same values", async () => {
    const rows = [
      { id: "a", tokens: Int32Array.of(1, 2), score: null },
      { id: "ü", tokens: Int32Array.of(), score: 0.5 }
    ]
    const Row = Schema.Struct({ id: Schema.String, tokens: Table.Int32List, score: Schema.NullOr(Schema.Number) })
    const batches = await run(Stream.runCollect(Table.fromRows(Row, rows).batches))
    const read = arrow.tableFromIPC(arrow.tableToIPC(new arrow.Table(batches)))
    assert.strictEqual(String(read.schema), "Schema<{ 0: id: Utf8, 1: tokens: List<Int32>, 2: score: Float64 }>")
    assert.deepStrictEqual(
      read.toArray().map((row) => ({ id: row.id, tokens: [...row.tokens], score: row.score })),
      rows.map((row) => ({ ...row, tokens: [...row.tokens] }))
    )
  })

  it("has a digest that depends on the rows and not on the batches", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(everything, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(),
        async (rows, batchRows, at) => {
          const whole = await run(digestOf(Everything, Table.fromRows(Everything, rows)))
          const cut = Table.fromRows(Everything, Stream.fromIterable(rows), { batchRows })
          assert.strictEqual(await run(digestOf(Everything, cut)), whole)
          const changed = rows.with(at % rows.length, {
            ...rows[at % rows.length]!,
            text: "another text, longer than any"
          })
          assert.notStrictEqual(await run(digestOf(Everything, Table.fromRows(Everything, changed))), whole)
          assert.notStrictEqual(await run(digestOf(Everything, Table.fromRows(Everything, rows.slice(1)))), whole)
        }
      ),
      { numRuns: 25 }
    ))

  it("tells null from empty, and where a text ends, in its digest", async () => {
    const Row = Schema.Struct({ a: Schema.NullOr(Schema.String), b: Schema.String })
    const digest = (a: string | null, b: string) => run(digestOf(Row, Table.fromRows(Row, [{ a, b }])))
    const digests = await Promise.all([digest(null, "xy"), digest("", "xy"), digest("x", "y"), digest("xy", "")])
    assert.strictEqual(new Set(digests).size, 4)
  })

  it("has the same digest for a dictionary, a slice and a wider type of the same values", async () => {
    const Row = Schema.Struct({ word: Schema.NullOr(Schema.String), n: Schema.Int })
    const rows = [
      { word: "a", n: 1 },
      { word: null, n: 2 },
      { word: "b", n: 3 },
      { word: "a", n: 4 }
    ]
    const word = arrow.vectorFromArray(
      ["z", "a", null, "b", "a"],
      new arrow.Dictionary(new arrow.Utf8(), new arrow.Int16())
    )
    const n = arrow.vectorFromArray([0, 1, 2, 3, 4], new arrow.Int8())
    const batch = new arrow.Table({ n, extra: n, word }).slice(1, 5).batches
    const foreign = Table.fromBatches(Row, batch)
    assert.deepStrictEqual(await run(Table.collect(foreign)), rows)
    assert.strictEqual(await run(digestOf(Row, foreign)), await run(digestOf(Row, Table.fromRows(Row, rows))))
  })
})

describe("the type of a table", () => {
  it("lets a table with more columns pass for one with fewer, and not the other way", () => {
    const Wide = Schema.Struct({ id: Schema.String, text: Schema.String })
    const wide = Table.fromRows(Wide, [{ id: "1", text: "a" }])
    const narrow: Table.Table<{ readonly text: string }> = wide
    // @ts-expect-error a column is missing
    const back: Table.Table<typeof Wide.Type> = narrow
    assert.strictEqual(back as unknown, wide)
  })
})

describe("a table refuses (row 23)", () => {
  const refusal = <Row>(rowSchema: Table.RowSchema<Row>, rows: ReadonlyArray<unknown>) =>
    run(
      Effect.flip(
        Table.collect(Table.fromRows(rowSchema, rows as ReadonlyArray<Row>, { batchRows: 2, name: "rankings" }))
      )
    )

  it("a malformed row, by column, row and value", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(everything, { minLength: 1, maxLength: 9 }),
        fc.nat(),
        fc.integer({ min: 0, max: 6 }),
        async (rows, n, which) => {
          const at = n % rows.length
          const [column, value] = (
            [
              ["text", 7],
              ["small", 2 ** 31],
              ["whole", 0.5],
              ["label", "best"],
              ["nested.name", null],
              ["steps[1].reward", "high"],
              ["tokens[0]", 1.5]
            ] as const
          )[which]!
          const wrong: Record<string, unknown> = { ...rows[at] }
          if (column === "nested.name") wrong["nested"] = { name: value, inner: null }
          else if (column === "steps[1].reward")
            wrong["steps"] = [
              { reward: 1, done: true },
              { reward: value, done: true }
            ]
          else if (column === "tokens[0]") wrong["tokens"] = [value]
          else wrong[column] = value
          const error = await refusal(Everything, rows.with(at, wrong as never))
          assert.instanceOf(error, Table.TableError)
          assert.deepInclude(error, { column, row: at, value: JSON.stringify(value), table: "rankings" })
          assert.include(error.message, `rankings: column "${column}", row ${at}: ${JSON.stringify(value)} is not `)
        }
      ),
      { numRuns: 60 }
    ))

  it("a value that the schema's own checks refuse, also when it comes from a file", async () => {
    const Loose = Schema.Struct({ p: Schema.Number })
    const Strict = Schema.Struct({ p: Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1 })) })
    const error = await refusal(Strict, [{ p: 0.5 }, { p: 1 }, { p: 0 }, { p: 1.5 }])
    assert.deepInclude(error, { column: "p", row: 3, value: "1.5" })
    const batches = await run(Stream.runCollect(Table.fromRows(Loose, [{ p: 1 }, { p: -1 }]).batches))
    const foreign = await run(Effect.flip(Table.collect(Table.fromBatches(Strict, batches))))
    assert.deepInclude(foreign, { column: "p", row: 1, value: "-1" })
  })

  it("a row that the struct's own check refuses", async () => {
    const Span = Schema.Struct({ from: Schema.Int, to: Schema.Int }).check(
      Schema.makeFilter(({ from, to }) => from <= to, { expected: "a span that does not end before it begins" })
    )
    const rows = [
      { from: 0, to: 3 },
      { from: 5, to: 4 }
    ]
    const error = await refusal(Span, rows)
    assert.deepInclude(error, { column: "*", row: 1, value: '{"from":5,"to":4}' })
    assert.include(error.message, "a span that does not end before it begins")
  })

  it("half of a surrogate pair, which UTF-8 cannot hold", async () => {
    const error = await refusal(Schema.Struct({ text: Schema.String }), [{ text: "fine" }, { text: "\ud83d" }])
    assert.deepInclude(error, { column: "text", row: 1 })
  })

  it("a batch whose column has another type, and one with text that is not UTF-8", async () => {
    const Row = Schema.Struct({ text: Schema.String })
    const dates = new arrow.Table({ text: arrow.vectorFromArray([new Date(0)], new arrow.DateMillisecond()) })
    const wrongType = await run(Effect.flip(Table.collect(Table.fromBatches(Row, dates.batches))))
    assert.strictEqual(wrongType.message, 'table: column "text" is Date64<MILLISECOND>, and utf8 is wanted')
    const bytes = arrow.makeData({
      type: new arrow.Utf8(),
      length: 3,
      valueOffsets: Int32Array.of(0, 1, 2, 4),
      data: Uint8Array.of(0x61, 0xc3, 0xa9, 0x61)
    })
    const torn = new arrow.Table({ text: new arrow.Vector([bytes]) })
    const notUtf8 = await run(Effect.flip(Table.collect(Table.fromBatches(Row, torn.batches))))
    assert.deepInclude(notUtf8, { column: "text", row: 1, value: '"bytes c3"' })
  })

  it("a null where none may be", async () => {
    const Row = Schema.Struct({ n: Schema.Int })
    const batches = new arrow.Table({ n: arrow.vectorFromArray([1, null, 3], new arrow.Int32()) }).batches
    const error = await run(Effect.flip(Table.collect(Table.fromBatches(Row, batches))))
    assert.deepInclude(error, { column: "n", row: 1, value: "null" })
  })

  it("an artifact without a wanted column, and names those present; more columns than wanted fit", async () => {
    const Written = Schema.Struct({ id: Schema.String, text: Schema.String, lang: Schema.String })
    const Narrow = Schema.Struct({ text: Schema.String })
    const Other = Schema.Struct({ text: Schema.String, reward: Schema.Number })
    await run(
      Effect.scoped(
        Effect.gen(function* () {
          const blobs = yield* temporaryBlobs
          const rows = [{ id: "1", text: "a", lang: "en" }]
          const artifact = yield* Table.of(Written).encode(Table.fromRows(Written, rows), blobs)
          const narrow = yield* Table.of(Narrow).decode(artifact, blobs)
          assert.deepStrictEqual(yield* Table.collect(narrow), [{ text: "a" }])
          const error = yield* Effect.flip(Table.of(Other).decode(artifact, blobs))
          assert.strictEqual(error.place, 'column "reward"')
          assert.include(error.message, 'no column "reward" (float64); there are: id, text, lang')
        })
      )
    )
  })

  it("a file that is cut off", async () => {
    const Row = Schema.Struct({ n: Schema.Int })
    await run(
      Effect.scoped(
        Effect.gen(function* () {
          const blobs = yield* temporaryBlobs
          const artifact = yield* Table.of(Row).encode(Table.fromRows(Row, [{ n: 1 }]), blobs)
          const bytes = yield* blobs.bytes(artifact.parts["table.arrow"]!)
          const half = yield* blobs.put(bytes.subarray(0, bytes.length - 40))
          const table = yield* Table.of(Row).decode({ ...artifact, parts: { "table.arrow": half } }, blobs)
          assert.instanceOf(yield* Effect.flip(Table.collect(table)), ArtifactError)
        })
      )
    )
  })

  it("a row schema with a field that has no Arrow type", () => {
    assert.throws(() => Table.of(Schema.Struct({ when: Schema.Date })), /column "when".*has no Arrow type/)
    assert.throws(
      () => Table.of(Schema.Struct({ n: Schema.NumberFromString }) as never),
      /encoded and decoded values differ/
    )
  })
})
