/**
 * Questions asked of a large ledger: `npx node bench/ledger.ts [stages] [runs] [folder]` (10000, 1000). Makes up a store in which a graph of tiny stages was run
 * so often, a leaf or two changed before each run, and asks each question of it in a store that was just opened, as a command does, and once more.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { diff } from "../src/executor/diff.ts"
import { downstream, resolve, runsAsOf, upstream } from "../src/lineage/ledger.ts"
import type { StageRecord } from "../src/lineage/record.ts"
import { addRun } from "../src/lineage/records.ts"
import { newestRun, runStatus } from "../src/lineage/run-status.ts"
import { sha256 } from "../src/store/digest.ts"
import { thisProcess } from "../src/store/holder.ts"
import { open, Store } from "../src/store/store.ts"
import { dagOf, endsOf } from "./dag.ts"
import { type Asked, ofCommands, ofPage } from "./ledger-page.ts"
import { fillTrainings, rowQuestions } from "./ledger-rows.ts"

const [count = "10000", runs = "1000", given] = process.argv.slice(2)
const folder = given ?? fs.mkdtempSync(path.join(tmpdir(), "ptmflow-ledger-"))
const dag = dagOf(Number(count))
const runName = (n: number) => `run-${String(n).padStart(5, "0")}`

/** Stages are changed by turns, each with all that it leads to in the next layer only, so that a run changes some five of them. */
const fill = Effect.gen(function* () {
  const { journal } = yield* Store
  const keys = new Map<string, string>()
  const results = new Map<string, string>()
  const port = { kind: "text", contract: "text" }
  const recordOf = (name: string, parents: ReadonlyArray<string>, run: number): StageRecord => {
    const digest = sha256(`${name} in ${run}`)
    const key = sha256(`key of ${name} in ${run}`)
    const inputs = parents.map((parent, i) => [`in${i}`, parent] as const)
    const record: StageRecord = {
      key,
      recipe: sha256(`recipe of ${name}`),
      preimage: {
        _tag: "StageKey",
        schema: 3,
        operator: { _tag: "Operator", name: `join${parents.length}`, version: 1 },
        code: sha256("code"),
        packages: sha256("packages"),
        params: { name },
        inputs: Object.fromEntries(
          inputs.map(([at, from]) => [at, { _tag: "Input", ...port, digest: results.get(from)! }])
        ),
        outputs: { text: { _tag: "Output", ...port } },
        sources: parents.length === 0 ? [{ _tag: "Source", name: `${name}.txt`, digest: sha256(`${run}`) }] : [],
        numerics: null
      },
      reasons: [{ kind: "never-ran", place: "stage", message: "it never ran" }],
      run: runName(run),
      pipeline: "dag",
      stage: name,
      inputs: Object.fromEntries(inputs.map(([at, from]) => [at, { key: keys.get(from)!, port: "text" }])),
      outputs: { text: { kind: "text", digest, parts: { text: { digest, bytes: 64 } }, meta: {} } },
      metrics: { loss: 1 / (1 + run) },
      device: null,
      time: run,
      seconds: 0.01,
      runSeconds: 0.01
    }
    keys.set(name, key)
    results.set(name, digest)
    return record
  }
  const children = new Map<string, Array<string>>()
  for (const { name, parents } of dag)
    for (const parent of parents) children.set(parent, [...(children.get(parent) ?? []), name])
  const byName = new Map(dag.map((stage) => [stage.name, stage]))
  for (let run = 0; run < Number(runs); run++) {
    const leaf = dag[(run * 7919) % dag.length]!.name
    const changed = run === 0 ? dag : [leaf, ...(children.get(leaf) ?? [])].map((name) => byName.get(name)!)
    const entries = changed.map(({ name, parents }) => {
      const value = recordOf(name, parents, run)
      return { kind: "stage", key: value.key, value: value as never }
    })
    yield* journal.append(entries, { durable: false })
    const end = endsOf(dag)[0]!
    yield* addRun(
      journal,
      {
        run: runName(run),
        pipeline: "dag",
        status: "succeeded",
        time: run,
        seconds: 1,
        settings: [],
        params: {},
        holder: thisProcess(),
        stages: dag.length,
        ran: changed.map(({ name }) => name),
        failures: [],
        skipped: [],
        outputs: { last: { stage: end, port: "text" } }
      },
      dag.map(({ name }) => ({ stage: name, key: keys.get(name)! })),
      { durable: false }
    )
  }
})

const root = path.join(folder, "store")
const inStore = <A, E>(effect: Effect.Effect<A, E, Store>) =>
  Effect.runPromise(Effect.flatMap(open(root), (store) => Effect.provideService(effect, Store, store)))

const last = dag.at(-1)!.name
const first = dag[7]!.name
const middle = runName(Number(runs) >> 1)
const digest = sha256(`${last} in 0`)
const [tuned, otherTuned] = [sha256("tuned in 10"), sha256("tuned in 11")]

const questions: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown, Store>]> = [
  ["what a checkpoint came from, by name", Effect.flatMap(resolve(last), upstream)],
  ["the same, by the digits of its digest", Effect.flatMap(resolve(digest.slice(0, 12)), upstream)],
  ["the same, as of the run in the middle", Effect.flatMap(resolve(last, { asOf: middle }), upstream)],
  ["what came from an artifact", Effect.flatMap(resolve(first), downstream)],
  ["which run made it", Effect.map(resolve(first), ({ key }) => key)],
  [
    "how two checkpoints differ",
    Effect.gen(function* () {
      return yield* diff(yield* resolve(digest.slice(0, 12)), yield* resolve(last))
    })
  ],
  ["the state of the newest run", newestRun],
  [
    "the state as of the run in the middle",
    Effect.gen(function* () {
      const { journal } = yield* Store
      const [run] = yield* runsAsOf(journal, middle)
      return yield* runStatus(run!)
    })
  ],
  ...rowQuestions
]

const before = `${sha256(`key of ${last} in 0`)}:text`
const pageQuestions = [
  ["the list of runs", "api/runs"],
  ["what a checkpoint came from, and what from it", `api/lineage/${last}?depth=50`],
  ["what came from an artifact", `api/lineage/${first}?depth=50`],
  ["how two checkpoints differ", `api/diff?a=${before}&b=${last}`],
  ["which run made it, on which device, how long it took", `api/runs/newest/stage?name=${first}`],
  ["the state of the newest run", "api/runs/newest"],
  ["the state as of the run in the middle", `api/runs/${middle}`],
  ["which checkpoints saw a row of the corpus", `api/seen/${sha256("documents")}?row=12`],
  ["the rows that a checkpoint saw and another did not, in how they differ", `api/diff?a=${tuned}&b=${otherTuned}`]
] as const

const commands = [
  ["--version", ["--version"]],
  ["lineage", ["lineage", last]],
  ["lineage --down", ["lineage", first, "--down"]],
  ["lineage --as-of the run in the middle", ["lineage", last, "--as-of", middle]],
  ["diff", ["diff", digest.slice(0, 12), last]],
  ["show", ["show", first]],
  ["status", ["status"]],
  ["status --as-of the run in the middle", ["status", "--as-of", middle]],
  ["seen, a row of the corpus", ["seen", sha256("documents"), "12"]],
  ["seen, all rows of a checkpoint", ["seen", tuned]],
  ["seen --not", ["seen", tuned, "--not", otherTuned]]
] as const

const timed = async (effect: Effect.Effect<unknown, unknown, Store>) => {
  const began = performance.now()
  await inStore(effect)
  return performance.now() - began
}

try {
  if (!fs.existsSync(root)) {
    await inStore(fill)
    await inStore(fillTrainings(Number(runs)))
  }
  // The first question brings the index up to date.
  await timed(questions[1]![1])
  const size = (name: string) => (fs.statSync(path.join(root, name)).size / 1e6).toFixed(1)
  console.log(`${count} stages, ${runs} runs: journal ${size("records")} MB, ledger ${size("ledger.sqlite")} MB`)
  const tell = ([question, times]: Asked) => {
    const best = Math.min(...times).toFixed(0)
    console.log(`${best.padStart(6)} ms (first ${times[0]!.toFixed(0)})  ${question}`)
  }
  for (const [question, effect] of questions) {
    tell([question, [await timed(effect), await timed(effect), await timed(effect)]])
  }
  console.log("\nof the page's server:")
  for (const asked of await ofPage(root, pageQuestions)) tell(asked)
  console.log("\nof a command, its start included:")
  for (const asked of await ofCommands(root, commands)) tell(asked)
} finally {
  if (given === undefined) fs.rmSync(folder, { recursive: true })
}
