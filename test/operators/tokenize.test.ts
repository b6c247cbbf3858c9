import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { Document } from "../../operators/rows.ts"
import { segmentsOf } from "../../operators/segments.ts"
import { tokenize } from "../../operators/tokenize.ts"
import { trainTokenizer } from "../../operators/train-tokenizer.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { makeStage, runInStage } from "./stage.ts"

const sentence = (n: number) =>
  `Sentence ${n} tells of ${["whales", "ships", "storms", "Ahab"][n % 4]} and ${n * n} more things.`
const longText = (sentences: number, from = 0) =>
  Array.from({ length: sentences }, (_, i) => sentence(from + i)).join(" ")

const documents = (texts: Readonly<Record<string, string>>) =>
  Table.fromRows(
    Document,
    Object.entries(texts).map(([id, text]) => ({ id, text, source: id }))
  )

const tokenizerOf = (text: string) =>
  runInStage(
    Effect.map(
      trainTokenizer.run({
        inputs: { documents: documents({ text }) },
        params: Schema.decodeUnknownSync(trainTokenizer.params)({ vocabularySize: 400 }),
        sources: []
      }),
      ({ tokenizer }) => tokenizer
    )
  )
const trained = tokenizerOf(longText(400))

const split = async (texts: Readonly<Record<string, string>>, params: Readonly<Record<string, unknown>> = {}) => {
  const tokenizer = await trained
  return runInStage(
    Effect.gen(function* () {
      const { train, validation } = yield* tokenize.run({
        inputs: { documents: documents(texts), tokenizer },
        params: Schema.decodeUnknownSync(tokenize.params)(params),
        sources: []
      })
      return { train: yield* Table.collect(train), validation: yield* Table.collect(validation) }
    })
  )
}

describe("segments", () => {
  const text = fc
    .array(fc.oneof(fc.integer({ min: 0, max: 99 }).map(sentence), fc.constantFrom("\n", "\n\n", "\n\n\n")), {
      maxLength: 300
    })
    .map((parts) => parts.join(" "))

  it("together are the text, and end where a sentence or a line does", () =>
    fc.assert(
      fc.property(text, fc.integer({ min: 100, max: 2000 }), (long, length) => {
        const segments = segmentsOf({ id: "d", text: long, source: "d" }, length)
        assert.strictEqual(segments.map((segment) => segment.text).join(""), long)
        assert.deepStrictEqual(
          segments.map(({ last }) => last),
          segments.map((_, i) => i === segments.length - 1)
        )
        for (const segment of segments.slice(0, -1)) assert.match(segment.text, /(?:[.!?]|\n)$/)
      }),
      { numRuns: 100 }
    ))

  it("of a document within the length are one, with its id", () => {
    assert.deepStrictEqual(segmentsOf({ id: "d", text: "short.", source: "d" }, 100), [
      { id: "d", text: "short.", last: true }
    ])
  })

  it("are about as long as asked", () => {
    const segments = segmentsOf({ id: "d", text: longText(4000), source: "d" }, 2000)
    const mean = longText(4000).length / segments.length
    assert.isAbove(mean, 1200)
    assert.isBelow(mean, 3500)
    for (const { text } of segments.slice(0, -1)) assert.isAtLeast(text.length, 1000)
  })

  it("change only near an edit", () => {
    const before = new Set(segmentsOf({ id: "d", text: longText(4000), source: "d" }, 2000).map(({ id }) => id))
    const edited = longText(2000).concat(" A new one.", " ", longText(2000, 2000))
    const fresh = segmentsOf({ id: "d", text: edited, source: "d" }, 2000).filter(({ id }) => !before.has(id))
    assert.isAtMost(fresh.length, 3)
    assert.isAtLeast(fresh.length, 1)
  })
})

describe("tokenize", () => {
  const corpus = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`doc ${i}`, longText(1 + (i % 5), i)]))

  it("gives every document once, on one side, ended by the token that ends a text", async () => {
    const { special, ...tokenizer } = await trained
    const { train, validation } = await split(corpus)
    const rows = [...train, ...validation]
    assert.deepStrictEqual(new Set(rows.map(({ id }) => id)), new Set(Object.keys(corpus)))
    assert.strictEqual(rows.length, 400)
    for (const { bytes, id, tokens } of rows) {
      assert.strictEqual(tokens.at(-1), special.endOfText)
      assert.strictEqual(tokenizer.decode(tokens), corpus[id])
      assert.strictEqual(bytes, Buffer.byteLength(corpus[id]!))
    }
    assert.isAbove(validation.length, 8)
    assert.isBelow(validation.length, 40)
  })

  it("ends only the last segment of a long document", async () => {
    const { special, ...tokenizer } = await trained
    const text = longText(3000)
    const { train, validation } = await split({ book: text }, { segmentLength: 1000, validationFraction: 0.2 })
    const rows = [...train, ...validation]
    assert.strictEqual(rows.filter(({ tokens }) => tokens.includes(special.endOfText!)).length, 1)
    assert.strictEqual(
      rows.reduce((sum, { bytes }) => sum + bytes, 0),
      Buffer.byteLength(text)
    )
    assert.isAbove(validation.length, 0)
    for (const { tokens } of validation) assert.include(text, tokenizer.decode(tokens))
  })

  it("leaves a document on its side when others come", async () => {
    const before = await split(corpus)
    const after = await split({ ...corpus, "another 1": "More.", "another 2": "And more." })
    const ids = (rows: ReadonlyArray<{ readonly id: string }>) => rows.map(({ id }) => id)
    assert.includeMembers(ids(after.train), ids(before.train))
    assert.includeMembers(ids(after.validation), ids(before.validation))
  })

  it("leaves no side empty where there are two segments", () =>
    fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 2, maxLength: 4 }),
        fc.constantFrom(0.001, 0.5, 0.999),
        async (ids, validationFraction) => {
          const { train, validation } = await split(Object.fromEntries(ids.map((id) => [`d${id}`, "Some text."])), {
            validationFraction
          })
          assert.isAbove(train.length, 0)
          assert.isAbove(validation.length, 0)
          assert.strictEqual(train.length + validation.length, ids.length)
        }
      ),
      { numRuns: 40 }
    ))

  it("says so where there is but one segment, or none", async () => {
    const refusal = async (texts: Readonly<Record<string, string>>) =>
      split(texts).then(
        () => assert.fail("it should have been refused"),
        (error: unknown) => String(error)
      )
    assert.include(await refusal({ only: "One text." }), "the text is one segment")
    assert.include(await refusal({ empty: "" }), "there is no text")
  })

  it("reports how far it is, every document once for each side", async () => {
    const { reports, stage } = makeStage()
    const tokenizer = await trained
    await Effect.runPromise(
      Effect.gen(function* () {
        const { train, validation } = yield* tokenize.run({
          inputs: { documents: documents(corpus), tokenizer },
          params: Schema.decodeUnknownSync(tokenize.params)({}),
          sources: []
        })
        yield* Table.collect(train)
        yield* Table.collect(validation)
      }).pipe(Effect.provideService(Stage, stage))
    )
    assert.deepStrictEqual(reports.at(-1), { step: 800, steps: 800 })
  })
})
