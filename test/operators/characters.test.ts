import { assert, describe, it } from "@effect/vitest"
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { characterTokenizer } from "../../operators/character-tokenizer.ts"
import { Document } from "../../operators/rows.ts"
import { tokenize } from "../../operators/tokenize.ts"
import { tokenizeByPosition } from "../../operators/tokenize-by-position.ts"
import { load } from "../../operators/tokenizer/load.ts"
import { type Tokenizer, TokenizerPort } from "../../operators/tokenizer/port.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { temporaryBlobs } from "../table/blobs.ts"
import { makeStage, runInStage } from "./stage.ts"

const documentsOf = (texts: ReadonlyArray<string>) =>
  Table.fromRows(
    Document,
    texts.map((text, i) => ({ id: `d${i}`, text, source: "test" }))
  )

const make = (texts: ReadonlyArray<string>) =>
  Effect.map(
    characterTokenizer.run({ inputs: { documents: documentsOf(texts) }, params: {}, sources: [] }),
    ({ tokenizer }) => tokenizer
  )

const split = (texts: ReadonlyArray<string>, tokenizer: Tokenizer, validationFraction: number) =>
  Effect.gen(function* () {
    const { train, validation } = yield* tokenizeByPosition.run({
      inputs: { documents: documentsOf(texts), tokenizer },
      params: { validationFraction },
      sources: []
    })
    return { train: yield* Table.collect(train), validation: yield* Table.collect(validation) }
  })

const joined = (rows: ReadonlyArray<{ readonly tokens: Int32Array }>) => rows.flatMap(({ tokens }) => [...tokens])

const anyText = fc
  .array(fc.constantFrom("a", "Z", "0", "\n", " ", "é", "日", "🐳", "\u200d", "\u{10ffff}", '"'), { maxLength: 40 })
  .map((parts) => parts.join(""))

describe("a tokenizer of characters", () => {
  it("has a token for each distinct character, by code, and gives back any text of them", () =>
    fc.assert(
      fc.asyncProperty(anyText, anyText, async (a, b) => {
        const tokenizer = await runInStage(make([`x${a}`, b]))
        const characters = [...new Set(`x${a}${b}`)].toSorted((p, q) => p.codePointAt(0)! - q.codePointAt(0)!)
        assert.strictEqual(tokenizer.vocabularySize, characters.length + 1)
        assert.strictEqual(tokenizer.special.endOfText, characters.length)
        assert.deepStrictEqual(
          [...tokenizer.encode(b)],
          [...b].map((character) => characters.indexOf(character))
        )
        assert.strictEqual(tokenizer.decode(tokenizer.encode(a)), a)
      }),
      { numRuns: 50 }
    ))

  it("is not cut at the end of a piece: a pair of UTF-16 units stays one character", async () => {
    const text = `${"a".repeat(65_535)}🐳b`
    const tokenizer = await runInStage(make([text]))
    assert.strictEqual(tokenizer.vocabularySize, 4)
    assert.strictEqual(tokenizer.encode(text).length, 65_537)
  })

  it("is what Hugging Face's tokenizers reads from its file", async () => {
    const text = "First Citizen:\nBefore we proceed 🐳 any further, hear me speak. é 日本"
    const tokenizer = await runInStage(make([text]))
    const other = new HuggingFaceTokenizer(JSON.parse(tokenizer.json), {})
    assert.deepStrictEqual(other.encode(text, { add_special_tokens: false }).ids, [...tokenizer.encode(text)])
    assert.strictEqual(other.decode([...tokenizer.encode(text)]), text)
  })

  it.effect("comes back from the store, special token included", () =>
    Effect.gen(function* () {
      const tokenizer = yield* make(["ba"])
      const blobs = yield* temporaryBlobs
      const back = yield* TokenizerPort.decode(yield* TokenizerPort.encode(tokenizer, blobs), blobs)
      assert.deepStrictEqual([...back.encode("abba")], [0, 1, 1, 0])
      assert.strictEqual(back.decode([0, 2, 1]), "ab")
      assert.strictEqual(back.decode([0, 2, 1], { keepSpecial: true }), "a<|endoftext|>b")
      assert.throws(() => back.decode([3]), RangeError)
    }).pipe(Effect.provideService(Stage, makeStage().stage))
  )

  it("says which character it does not know, and where", async () => {
    const tokenizer = await runInStage(make(["abc\n"]))
    assert.throws(
      () => tokenizer.encode("ab\nca🐳"),
      /line 2, column 3: the character "🐳" \(U\+1F433\) is not one of the 4/
    )
    const unknown = documentsOf(["ab", "abc\nabd"])
    const error = await runInStage(
      Effect.flip(
        Effect.flatMap(
          tokenize.run({
            inputs: { documents: unknown, tokenizer },
            params: Schema.decodeUnknownSync(tokenize.params)({ validationFraction: 0.5 }),
            sources: []
          }),
          ({ train, validation }) => Effect.andThen(Table.collect(train), Table.collect(validation))
        )
      )
    )
    assert.match(error.message, /line 2, column 3: the character "d"/)
  })

  it("refuses documents without text, and files of words", async () => {
    const { message } = await runInStage(Effect.flip(make(["", ""])))
    assert.match(message, /there is no text/)
    const file = JSON.parse((await runInStage(make(["ab"]))).json)
    file.model.vocab["word"] = 7
    const words = await Effect.runPromise(Effect.flip(load(JSON.stringify(file))))
    assert.strictEqual(words.place, "model.vocab")
    assert.match(words.message, /"word" is not one character/)
  })
})

describe("tokenizing by position", () => {
  it("keeps the end of the text for validation, whatever the documents and pieces are", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(anyText, { minLength: 1, maxLength: 5 }),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        async (texts, fraction) => {
          const text = texts.join("")
          const [tokenizer, { train, validation }] = await runInStage(
            Effect.gen(function* () {
              const tokenizer = yield* make([`x${text}`])
              return [tokenizer, yield* split(texts, tokenizer, fraction)] as const
            })
          )
          const all = [...tokenizer.encode(text)]
          assert.deepStrictEqual([...joined(train), ...joined(validation)], all)
          const units = tokenizer.decode(joined(train)).length
          const cut = Math.floor(text.length * (1 - fraction))
          assert.isTrue(units === cut || units === cut + 1, `${units} of ${text.length} for ${fraction}`)
        }
      ),
      { numRuns: 50 }
    ))

  it("cuts long texts at line ends, and counts their bytes", async () => {
    const text = Array.from({ length: 5_000 }, (_, i) => `line ${i} é\n`).join("")
    const { train, validation } = await runInStage(
      Effect.flatMap(make([text]), (tokenizer) => split([text], tokenizer, 0.1))
    )
    assert.isAbove(train.length, 1)
    const bytes = [...train, ...validation].reduce((sum, row) => sum + row.bytes, 0)
    assert.strictEqual(bytes, Buffer.byteLength(text))
  })

  it("names the document and its line where a character is unknown", async () => {
    const long = `${"ab\n".repeat(30_000)}aéb`
    const tokenizer = await runInStage(make(["ab\n"]))
    const error = await runInStage(Effect.flip(split(["ab", long], tokenizer, 0.1)))
    assert.include(JSON.stringify(error), "documents, d1")
    assert.match(error.message, /line 30001, column 2: the character "é" \(U\+00E9\)/)
  })
})
