/**
 * Time of a run in which nothing changed, beyond imports: `npx node bench/noop.ts [stages] [corpus MB]`.
 * The first run, which fills a new store, is not the figure; then one process after another, each prints what its no-op run took.
 * On two idle cores of an EPYC (2026-11): 1,000 stages in about 210 ms, 80 stages over 12 MB in 64 files in about 65 ms.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { run } from "../src/executor/run.ts"
import * as Operator from "../src/operator/operator.ts"
import type { Output } from "../src/pipeline/output.ts"
import * as Pipeline from "../src/pipeline/pipeline.ts"
import { sha256 } from "../src/store/digest.ts"
import * as Store from "../src/store/store.ts"
import { text } from "./text-port.ts"

export const read = Operator.make("read", {
  description: "Reads a folder",
  params: Schema.Struct({ folder: Schema.String }),
  inputs: {},
  outputs: { text },
  sources: ({ folder }) =>
    Effect.sync(() => fs.readdirSync(folder).map((name) => ({ name, path: path.join(folder, name) }))),
  run: ({ sources }) =>
    Effect.sync(() => ({ text: sha256(sources.map((each) => fs.readFileSync(each.path, "utf8")).join("")) }))
})

export const combine = Operator.make("combine", {
  description: "Digests two texts",
  params: Schema.Struct({
    salt: Schema.Number,
    share: Schema.Number.pipe(Schema.withDecodingDefault(Effect.succeed(0.5)))
  }),
  inputs: { left: text, right: text },
  outputs: { text },
  run: ({ inputs, params }) => Effect.succeed({ text: sha256(`${params.salt} ${inputs.left} ${inputs.right}`) })
})

const [stages = "1000", megabytes = "12", folder] = process.argv.slice(2)

export const pipeline = Pipeline.make("noop", {}, (p) => {
  const made: Array<Output<string, never>> = [p.add(read, { params: { folder: path.join(folder!, "corpus") } }).text]
  let seed = 1
  const pick = () => {
    seed = (seed * 48271) % 2147483647
    return made[Math.floor((seed / 2147483647) * made.length)]!
  }
  for (let i = 1; i < Number(stages); i++) {
    made.push(
      p.add(combine, { name: `combine${i}`, inputs: { left: made.at(-1)!, right: pick() }, params: { salt: i } }).text
    )
  }
  return { last: made.at(-1)! }
})

const once = async () => {
  const started = performance.now()
  const program = Effect.flatMap(Pipeline.build(pipeline), (graph) => {
    const built = performance.now()
    return Effect.map(run(graph), (report) => ({ report, built }))
  })
  const { built, report } = await Effect.runPromise(
    program.pipe(Effect.provide(Store.layer(path.join(folder!, "store"))))
  )
  const ran = report.stages.filter(({ status }) => status === "ran").length
  console.log(
    `${report.stages.length} stages, ${ran} ran: ${(performance.now() - started).toFixed(0)} ms, of which building the graph ${(built - started).toFixed(0)} ms`
  )
}

if (folder === undefined) {
  const made = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-noop-"))
  try {
    fs.mkdirSync(path.join(made, "corpus"))
    for (let i = 0; i < 64; i++) {
      fs.writeFileSync(path.join(made, "corpus", `${i}.txt`), "some prose ".repeat((Number(megabytes) << 20) / 64 / 11))
    }
    for (let i = 0; i < 4; i++) {
      execFileSync(process.execPath, [fileURLToPath(import.meta.url), stages, megabytes, made], { stdio: "inherit" })
    }
  } finally {
    fs.rmSync(made, { recursive: true })
  }
} else await once()
