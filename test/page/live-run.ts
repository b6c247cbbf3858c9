/** A run of this very process, as the store and its log show one while it goes on: stages are what the test says they are. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type { RunRecord } from "../../src/lineage/record.ts"
import { addRun } from "../../src/lineage/records.ts"
import { type LogEntry, logFolder, logLine } from "../../src/lineage/run-log.ts"
import { thisProcess } from "../../src/store/holder.ts"
import { Store } from "../../src/store/store.ts"

/** Stages of a loop: `rounds` rounds of `width` rollouts, their scores, and an update that takes all of them. */
export const loop = (rounds: number, width: number): Extract<LogEntry, { readonly _tag: "Graph" }>["stages"] => {
  const start = { stage: "pretrain", operator: "pretrain", inputs: {} }
  const all = Array.from({ length: rounds }, (_, at) => {
    const round = at + 1
    const policy =
      round === 1 ? { stage: "pretrain", port: "checkpoint" } : { stage: `ppo.${round - 1}`, port: "policy" }
    const parts = Array.from({ length: width }, (_, part) => [
      { stage: `rollout.shard-${part}.${round}`, operator: "rollout", inputs: { policy } },
      {
        stage: `score.shard-${part}.${round}`,
        operator: "score",
        inputs: { completions: { stage: `rollout.shard-${part}.${round}`, port: "completions" } }
      }
    ]).flat()
    const scored = Array.from({ length: width }, (_, part) => [
      `scored${part}`,
      { stage: `score.shard-${part}.${round}`, port: "scored" }
    ])
    return [...parts, { stage: `ppo.${round}`, operator: "ppo", inputs: { policy, ...Object.fromEntries(scored) } }]
  }).flat()
  return [start, ...all]
}

/** Begins the run; entries are added to its log as they come, and it ends when it is told to. */
export const beginRun = Effect.fnUntraced(function* (run: string, stages: ReturnType<typeof loop>) {
  const { folder, journal } = yield* Store
  const time = Date.now()
  const record = (status: RunRecord["status"]) =>
    addRun(
      journal,
      {
        run,
        pipeline: "loop",
        status,
        time,
        seconds: status === "running" ? null : 1,
        settings: [],
        params: {},
        holder: thisProcess(),
        stages: stages.length,
        ran: [],
        failures: [],
        skipped: [],
        outputs: {}
      },
      [],
      { durable: false }
    )
  yield* record("running")
  fs.mkdirSync(logFolder(folder), { recursive: true })
  const add = (...entries: ReadonlyArray<LogEntry>) =>
    fs.appendFileSync(path.join(logFolder(folder), run), `\n${entries.map((entry) => logLine(run, entry)).join("")}`)
  add({ _tag: "Graph", time, stages })
  return { add, end: record("succeeded") }
})
