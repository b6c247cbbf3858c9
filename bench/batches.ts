/**
 * One document inserted among many: `npx node bench/batches.ts [documents] [folder]`. Tokenizes a made-up corpus (about 130 characters a document), then
 * the same with one document more in the middle, then that corpus again in a new store, and compares the digests.
 * Prints for each run the stage's time, and how many batches of documents were encoded and how many were taken from the run before. Each batch counts
 * twice, as the training and the validation side are maps of their own.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Document } from "../operators/rows.ts"
import { tokenize } from "../operators/tokenize.ts"
import { trainTokenizer } from "../operators/train-tokenizer.ts"
import { run } from "../src/executor/run.ts"
import * as Operator from "../src/operator/operator.ts"
import * as Pipeline from "../src/pipeline/pipeline.ts"
import * as Store from "../src/store/store.ts"
import * as Table from "../src/table/index.ts"

const words = "whale sea ship captain storm harpoon deck sail night wind water white hand eye old long great man".split(
  " "
)

/** A document that is a function of its number. */
const documentOf = (n: number) => {
  let seed = (n * 2654435761 + 12345) >>> 0
  let text = `Document ${n}:`
  for (let i = 0; i < 22; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    text += ` ${words[seed % words.length]!}`
  }
  return { id: `d${n}`, text: `${text}.`, source: "made up" }
}

export const corpus = Operator.make("corpus", {
  description: "Documents made of their numbers, one more at a place of it",
  params: Schema.Struct({ documents: Schema.Int, extraAt: Schema.NullOr(Schema.Int) }),
  inputs: {},
  outputs: { documents: Table.of(Document) },
  run: ({ params: { documents, extraAt } }) => {
    const rows = Stream.range(0, documents - 1).pipe(
      Stream.map((n) => (n === extraAt ? [documentOf(documents), documentOf(n)] : [documentOf(n)])),
      Stream.flattenIterable
    )
    return Effect.succeed({ documents: Table.fromRows(Document, rows) })
  }
})

const pipeline = Pipeline.make(
  "batches",
  { params: Schema.Struct({ documents: Schema.Int, extra: Schema.Boolean }) },
  (p, { documents: count, extra }) => {
    const sample = p.add(corpus, { name: "sample", params: { documents: 2000, extraAt: null } })
    const { tokenizer } = p.add(trainTokenizer, { inputs: sample, params: { vocabularySize: 512 } })
    const { documents } = p.add(corpus, { params: { documents: count, extraAt: extra ? count >> 1 : null } })
    return p.add(tokenize, { inputs: { documents, tokenizer } })
  }
)

const [count = "1000000", given] = process.argv.slice(2)
const folder = given ?? fs.mkdtempSync(path.join(tmpdir(), "ptmflow-batches-"))

const measure = async (title: string, store: string, extra: boolean) => {
  const settings = [
    { path: "documents", value: count },
    { path: "extra", value: String(extra) }
  ]
  const graph = Pipeline.build(pipeline, settings)
  const program = Effect.flatMap(graph, (built) => run(built))
  const { stages } = await Effect.runPromise(Effect.provide(program, Store.layer(path.join(folder, store))))
  const stage = stages.find((each) => each.stage === "tokenize")!
  const { made, reused } = stage.batches!
  const before = stages.find((each) => each.stage === "corpus")!
  console.log(
    `${title}: corpus ${before.seconds.toFixed(1)} s, tokenize ${stage.seconds.toFixed(1)} s, ${made} batches made, ${reused} reused`
  )
  return Object.values(stage.artifacts).map(({ digest }) => digest)
}

try {
  await measure(`${count} documents`, "one", false)
  const edited = await measure("one more in the middle", "one", true)
  const index = fs.statSync(path.join(folder, "one", "batches.sqlite")).size
  const full = await measure("all of it in a new store", "two", true)
  console.log(`index: 1 file, ${index} bytes; results ${edited.join() === full.join() ? "are equal" : "DIFFER"}`)
} finally {
  if (given === undefined) fs.rmSync(folder, { recursive: true })
}
