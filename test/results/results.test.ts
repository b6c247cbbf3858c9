import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { afterAll, beforeAll, expect, test } from "vitest"
import { TokenSequence } from "../../operators/rows.ts"
import charGpt from "../../pipelines/char-gpt.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import * as Safetensors from "../../src/engine/safetensors.ts"
import { run } from "../../src/executor/run.ts"
import * as RunLog from "../../src/executor/run-log.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open } from "../../src/results/index.ts"
import { layer } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"
import counting from "../cli/pipelines/counting.ts"
import { Document, documents } from "../executor/tables.ts"

const root = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-results-"))
const store = path.join(root, "store")
const words = ["whale ", "storm ", "Ahab, "]
const text = Array.from({ length: 1_000 }, (_, i) => words[(i * i * 7 + (i >> 3)) % 3]).join("")
const small = { layers: 1, heads: 2, width: 16, context: 16, batch: 4, steps: 30 }

const count = 20_000
const wide = Pipeline.make("wide", { description: "A table of several batches", params: Schema.Struct({}) }, (p) =>
  p.add(documents, { params: { count, batchRows: 1000 } })
)

beforeAll(async () => {
  fs.writeFileSync(path.join(root, "text.txt"), text)
  const settings = Object.entries({ ...small, text: path.join(root, "text.txt") })
  await Effect.gen(function* () {
    const graph = yield* Pipeline.build(
      charGpt,
      settings.map(([path, value]) => ({ path, value: String(value) }))
    )
    const counted = yield* Pipeline.build(counting, [])
    for (const each of [yield* Pipeline.build(wide, []), counted, counted, graph, graph]) {
      // With its log, as the command line runs it.
      yield* Effect.scoped(Effect.flatMap(RunLog.make(store, each), (onEvent) => run(each, { onEvent })))
    }
  }).pipe(Effect.provide(layer(store)), Effect.provide(cpu({ threads: 1 })), Effect.runPromise)
}, 180_000)
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

/** What a promise is rejected with. */
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error as { readonly _tag: string; readonly message: string; readonly candidates?: ReadonlyArray<string> }
  )

test("runs are there, newest first, with the artifacts of their stages", async () => {
  await using results = await open(store)
  const all = await results.runs()
  const [again, first] = all
  expect(all.map(({ pipeline }) => pipeline)).toEqual(["char-gpt", "char-gpt", "counting", "counting", "wide"])
  expect(again!.stages.map(({ status }) => status)).toEqual(Array(4).fill("reused"))
  expect(first!.stages.map(({ status }) => status)).toEqual(Array(4).fill("ran"))
  expect((await results.run(first!.run)).run).toBe(first!.run)
  const made = await results.artifact("pretrain.checkpoint")
  expect(first!.stages.find(({ stage }) => stage === "pretrain")?.artifacts["checkpoint"]).toEqual(made.artifact)
  expect(await results.artifact(made.artifact.digest.slice(0, 8))).toEqual(made)
})

test("a table is read batch by batch, as often as it is asked for", async () => {
  await using results = await open(store)
  const { digest } = (await results.runs()).at(-1)!.stages[0]!.artifacts["documents"]!
  const table = await results.table(digest)
  expect(table.rows).toBe(count)
  expect(table.schema.fields.map(({ name }) => name)).toEqual(Object.keys(Document.fields))
  for (let time = 0; time < 2; time++) {
    let rows = 0
    let batches = 0
    for await (const batch of table.batches()) {
      const ids = batch.getChild("id")!
      for (let i = 0; i < batch.numRows; i++) expect(Number(ids.get(i))).toBe(++rows)
      batches++
    }
    expect(rows).toBe(count)
    expect(batches).toBeGreaterThan(1)
  }
  // Going away after the first batch is no error.
  for await (const batch of table.batches()) {
    expect(batch.numRows).toBeLessThan(count)
    break
  }
})

test("the history of a run is what its stages did and reported, in order; of a reused one that it was reused", async () => {
  await using results = await open(store)
  const [again, first] = await results.runs()
  const { entries } = await results.history(first!.run)
  const of = (stage: string) => entries.flatMap((entry) => ("stage" in entry && entry.stage === stage ? [entry] : []))
  const pretrain = of("pretrain")
  expect([pretrain[0]!._tag, pretrain.at(-1)!._tag, entries[0]!._tag, entries.at(-1)!._tag]).toEqual([
    "Started",
    "Finished",
    "Graph",
    "Ended"
  ])
  const { reports } = await results.metrics("pretrain")
  const told = pretrain.flatMap((entry) => (entry._tag === "Progress" ? [entry.metrics] : []))
  expect(told).toEqual(reports.map(({ metrics }) => metrics))
  expect(entries.map(({ time }) => time)).toEqual(entries.map(({ time }) => time).toSorted((a, b) => a - b))
  const reused = await results.history(again!.run)
  expect(reused.run.run).toBe(again!.run)
  expect(reused.entries.flatMap(({ _tag }) => (_tag === "Graph" || _tag === "Ended" ? [] : [_tag]))).toEqual(
    again!.stages.map(() => "Reused")
  )
})

test("typed rows, through a port: the tokens of a run are its text", async () => {
  await using results = await open(store)
  const { tokenizer } = await results.checkpoint("pretrain")
  const rows = await Effect.runPromise(
    Table.collect(await results.read(Table.of(TokenSequence), "tokenize-by-position.train"))
  )
  expect(rows.map(({ tokens }) => tokenizer.decode(tokens)).join("")).toBe(text.slice(0, text.length * 0.9))
})

test("a checkpoint has its weights by name: those of its safetensors file", async () => {
  await using results = await open(store)
  const { artifact, config, weights } = await results.checkpoint("pretrain")
  expect(config).toMatchObject({ family: "gpt2", layers: 1, width: 16, context: 16 })
  const { digest } = artifact.parts["model.safetensors"]!
  const file = Safetensors.decode(fs.readFileSync(path.join(store, "objects", digest.slice(0, 2), digest)))
  expect([...weights.keys()].toSorted()).toEqual([...file.keys()].toSorted())
  for (const [name, { shape, values }] of file) expect(weights.get(name)).toEqual({ shape, values })
})

test("a checkpoint continues a text, the same with the same seed", async () => {
  await using results = await open(store)
  const model = await results.checkpoint("pretrain")
  const draw = async (seed: number) =>
    (await results.generate(model, "whale ", { tokens: 8, seed, count: 2 })).completions.map(({ text }) => text)
  const drawn = await draw(1)
  expect(drawn).toHaveLength(2)
  expect(await draw(1)).toEqual(drawn)
  expect(await draw(2)).not.toEqual(drawn)
  // The likeliest token has a log-probability of at least -ln(vocabulary) under the softmax.
  const { completions, limit } = await results.generate(model, "whale ", { tokens: 99, topK: 1 })
  expect(limit).toBe(10)
  for (const value of completions[0]!.logProbabilities) expect(value).toBeGreaterThan(-Math.log(20))
  expect(await refusal(results.generate(model, "whale whale whale "))).toMatchObject({
    _tag: "ContinuationError",
    message: "the prompt has 18 tokens and the model reads 16: there is no room for an answer"
  })
  expect(await refusal(results.generate(model, "Zebra"))).toMatchObject({ _tag: "ContinuationError", place: "prompt" })
})

test("metrics are those that the stage reported, of a reused stage too", async () => {
  await using results = await open(store)
  const [again, first] = (await results.runs()).filter(({ pipeline }) => pipeline === "counting")
  expect(again!.stages.every(({ status }) => status === "reused")).toBe(true)
  for (const { run } of [again!, first!]) {
    const { last, reports } = await results.metrics("count", run)
    expect(reports.map(({ metrics, step }) => [step, metrics])).toEqual(
      [1, 2, 3, 4, 5].map((step) => [step, { loss: 1 / step, tokensPerSecond: 1000 }])
    )
    expect(last).toEqual({ loss: 1 / 5, tokensPerSecond: 1000 })
  }
  const { last } = await results.metrics("pretrain")
  expect(last["validationLoss"]).toBeLessThan(last["validationLossBefore"]!)
})

test("which rows a model saw, and that it is what its record says", async () => {
  await using results = await open(store)
  const [text] = await results.seen("pretrain")
  expect(text).toMatchObject({ stage: "tokenize-by-position", port: "train", learned: true, rows: [[0, 0]], total: 1 })
  const { checkpoints } = await results.rowSeen("documents", 0)
  expect(checkpoints.map(({ stage }) => stage)).toEqual(["pretrain"])
  const { of, updates } = checkpoints[0]!.learned[0]!
  expect(updates).toEqual([[1, of]])
  expect(await results.seen("pretrain", "pretrain")).toEqual([])
  const { proven, stages } = await results.verify(charGpt, "pretrain", { sample: { share: 0.2, seed: 1 } })
  expect(proven).toBe(true)
  expect(stages[0]!.sampled).toMatchObject({ of: "updates", total: of })
})

test("what is not there is told with what there is", async () => {
  await using results = await open(store)
  const [newest] = await results.runs()
  expect((await refusal(results.run("1999")))?.candidates).toContain(newest!.run)
  const unknown = await refusal(results.table("pretrain.checkpiont"))
  expect(unknown).toMatchObject({ _tag: "LineageError" })
  expect(unknown?.candidates).toContain("tokenize-by-position.train")
  const kind = await refusal(results.checkpoint("tokenize-by-position.train"))
  expect(kind?.message).toMatch(
    /^tokenize-by-position\.train is a table, not a checkpoint; there is pretrain\.checkpoint/
  )
  expect((await refusal(results.metrics("pretrian")))?.candidates).toContain("pretrain")
  await using empty = await open(path.join(root, "nothing"))
  expect(await empty.runs()).toEqual([])
  expect((await refusal(empty.run()))?.message).toContain("nothing has run yet")
  expect(fs.existsSync(path.join(root, "nothing"))).toBe(false)
})

test("the example looks at a store", () => {
  const example = fileURLToPath(new URL("../../docs/examples/look.ts", import.meta.url))
  const { stderr, stdout } = spawnSync(process.execPath, [example, store], { encoding: "utf8" })
  expect(stderr).toBe("")
  expect(stdout.match(/char-gpt succeeded/g)).toHaveLength(2)
  expect(stdout).toMatch(/^1 rows, the first: \S*text\.txt/m)
  expect(stdout).toMatch(/^wte\.weight \[ \d+, 16 \] [\d.]+$/m)
  expect(stdout).toMatch(/^".+" [\d.]+$/m)
})

test("a damaged blob is told, and not read", async () => {
  const copy = path.join(root, "damaged")
  fs.cpSync(store, copy, { recursive: true })
  await using results = await open(copy)
  const { artifact } = await results.artifact("tokenize-by-position.train")
  const { digest } = artifact.parts["table.arrow"]!
  const file = path.join(copy, "objects", digest.slice(0, 2), digest)
  const bytes = fs.readFileSync(file)
  bytes[bytes.length >> 1]! ^= 1
  fs.chmodSync(file, 0o644)
  fs.writeFileSync(file, bytes)
  const error = await refusal(results.table("tokenize-by-position.train"))
  expect(error).toMatchObject({ _tag: "ArtifactError", place: digest })
  expect(error?.message).toContain("its bytes have another digest")
})
