/** Encoding with GPT-4's vocabulary, against the tokenizers of npm. */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import { load } from "../../operators/tokenizer/load.ts"
import { Bench, type Case, type Group } from "../bench.ts"
import { compare } from "../compare.ts"

const libraries = ["tiktoken", "gpt-tokenizer", "@huggingface/tokenizers", "@anush008/tokenizers"]

const prepare = join(import.meta.dirname, "../peers/tokenizers/prepare.mjs")

/** A folder with the tokenizer and the texts, as long as it is needed; without the peers' packages there is none. */
const folder = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = await mkdtemp(join(tmpdir(), "ptmflow-bench-"))
    await promisify(execFile)(process.execPath, [prepare, path]).catch(() => {})
    return path
  }),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const textOf = (file: string) => Effect.promise(() => readFile(file, "utf8").catch(() => undefined))

const caseOf = (language: "english" | "chinese"): Case => ({
  name: language,
  run: Effect.gen(function* () {
    const { peers, threads } = yield* Bench
    const path = yield* folder
    const request = {
      work: "encode",
      threads,
      tokenizer: join(path, "tokenizer.json"),
      texts: join(path, `${language}.json`)
    }
    const [file, json] = [yield* textOf(request.texts), yield* textOf(request.tokenizer)]
    const texts: ReadonlyArray<string> = file === undefined ? [] : JSON.parse(file)
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    const tokens = json === undefined ? 0 : yield* Effect.orDie(tokensOf(json, texts))
    return yield* Effect.forEach(libraries, (library) =>
      compare({
        name: `tokenizer/${language} ${library}`,
        work: `encoding ${(bytes / 1e6).toFixed(1)} MB, ${language}, GPT-4's vocabulary`,
        unit: "MB/s",
        units: bytes / 1e6,
        flops: null,
        target: { kind: "ratio", value: 1 },
        ours: { variant: "", request },
        peer: { name: library, peer: peers.tokenizers, variants: [{ name: "", request: { ...request, library } }] },
        expected: { tokens }
      })
    )
  }).pipe(Effect.scoped)
})

const tokensOf = (json: string, texts: ReadonlyArray<string>) =>
  Effect.map(load(json), ({ encode }) => texts.reduce((sum, text) => sum + encode(text).length, 0))

export const tokenizer: Group = {
  name: "tokenizer",
  description: "encoding of English and Chinese, against the tokenizers of npm",
  byDefault: true,
  cases: [caseOf("english"), caseOf("chinese")]
}
