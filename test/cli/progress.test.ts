/** What a run looks like, from events as an executor gives them. */
import { expect, test } from "vitest"
import { historyLines } from "../../src/cli/render/history.ts"
import { liveLines } from "../../src/cli/render/live.ts"
import { plainLines } from "../../src/cli/render/plain.ts"
import { fold, initial, type Progress } from "../../src/cli/render/progress.ts"
import { styleOf } from "../../src/cli/render/view.ts"
import { width } from "../../src/cli/render/width.ts"
import type { Event } from "../../src/executor/event.ts"
import type { AnyOperator } from "../../src/operator/operator.ts"

const node = (name: string, ...from: ReadonlyArray<string>) => ({
  name,
  operator: { name: name.split(".")[0]! } as AnyOperator,
  params: {},
  paramsJson: {},
  paramsTree: {},
  seedsTree: {},
  inputs: Object.fromEntries(from.map((stage, i) => [`in${i}`, { stage, port: "out" }]))
})
const stages = [
  node("tokens"),
  node("pretrain", "tokens"),
  ...[1, 2].flatMap((i) => [node(`rollout.${i}`, i === 1 ? "pretrain" : "ppo.1"), node(`ppo.${i}`, `rollout.${i}`)]),
  node("summary", "ppo.2")
]
const graph = { pipeline: "recipe", description: "A recipe", stages }

const about = (stage: string) => ({ stage, operator: stage.split(".")[0]! })
const planned = (stage: string, action: "reuse" | "run" | "maybe", seconds?: number): Event => ({
  _tag: "StagePlanned",
  ...about(stage),
  action,
  reasons: action === "run" ? [{ kind: "parameter", place: "steps", message: "parameter steps: 5 -> 6" }] : [],
  ...(seconds === undefined ? {} : { seconds })
})
const reused = (stage: string): Event => ({
  _tag: "StageReused",
  ...about(stage),
  key: "k",
  artifacts: {},
  metrics: {}
})
const started = (stage: string): Event => ({ _tag: "StageStarted", ...about(stage), key: "k", reasons: [] })
const progress = (stage: string, step: number, metrics: Record<string, number>, resumed?: true): Event => ({
  _tag: "StageProgress",
  ...about(stage),
  step,
  ...(resumed ? { resumed } : { steps: 100 }),
  metrics,
  seconds: 0
})
const finished = (stage: string, seconds: number, metrics: Record<string, number>): Event => ({
  _tag: "StageFinished",
  ...about(stage),
  key: "k",
  artifacts: {},
  metrics,
  seconds,
  runSeconds: seconds
})
const failed = (stage: string, message: string): Event => ({
  _tag: "StageFailed",
  ...about(stage),
  cause: "OperatorError",
  message
})
const skipped = (stage: string, because: string): Event => ({ _tag: "StageSkipped", ...about(stage), because })
const ended = (status: "succeeded" | "failed" | "interrupted", counts: Partial<Event> = {}): Event => ({
  _tag: "RunFinished",
  run: "r",
  pipeline: "recipe",
  status,
  reused: 0,
  ran: 0,
  failed: 0,
  skipped: 0,
  seconds: 61,
  ...(counts as object)
})

const plan = (first: "reuse" | "run", rest: "run" | "maybe" | "reuse", seconds?: number) =>
  stages.map(({ name }) => (name === "tokens" ? planned(name, first) : planned(name, rest, seconds)))
const view = { columns: 80, style: styleOf(false) }

/** The lines that stay after all events, one second apart, and the state. */
const history = (events: ReadonlyArray<Event>, columns = 80) => {
  const state = initial(graph, "cpu: 2 threads", 0)
  const lines = events.flatMap((event, second) => {
    fold(state, event, second * 1000)
    return historyLines(state, event, { ...view, columns })
  })
  return { lines, state, now: (events.length - 1) * 1000 }
}
const live = (state: Progress, now: number, columns = 80, rows = 24) =>
  liveLines(state, now, rows, { ...view, columns })

test("a run opens with the graph, what is reused in it, and why the rest runs", () => {
  expect(history(plan("reuse", "run")).lines).toEqual([
    "recipe  A recipe",
    "on cpu: 2 threads",
    "",
    "  ✓ tokens",
    "  ● pretrain  ← tokens",
    "    parameter steps: 5 -> 6",
    "╭ ● rollout   ← pretrain then ppo  ×2",
    "│   parameter steps: 5 -> 6",
    "╰ ● ppo       ← rollout            ×2",
    "    parameter steps: 5 -> 6",
    "  ● summary   ← ppo",
    "    parameter steps: 5 -> 6",
    ""
  ])
})

test("a running stage has a bar, its step, its metrics as far as they fit, and the time left by its pace", () => {
  const metrics = { learningRate: 1e-3, gradientNorm: 2, loss: 3.21, tokensPerSecond: 12345 }
  const events = [...plan("reuse", "run"), reused("tokens"), started("pretrain")]
  const { now, state } = history([...events, progress("pretrain", 10, metrics), progress("pretrain", 20, metrics)])
  // Ten steps took the one second between the two reports.
  expect(live(state, now)).toEqual([
    expect.stringMatching(/^ . pretrain {2}━━─{8} {2}20\/100 {2}loss 3\.210 {2}12\.3k tokens\/s {2}8\.0 s left$/),
    "   1 of 7 stages · 10 s"
  ])
  for (const columns of [20, 40, 64, 80, 100, 120, 200]) {
    for (const line of live(state, now, columns)) expect(width(line)).toBeLessThanOrEqual(columns)
  }
  expect(live(state, now, 120)[0]).toContain("learning rate 0.001000")
  expect(live(state, now, 40)[0]).not.toContain("━")
})

test("a stage that goes on says from where, and its pace is counted from its first step of this run", () => {
  const events = [...plan("reuse", "run"), reused("tokens"), started("pretrain"), progress("pretrain", 50, {}, true)]
  const { lines, now, state } = history([...events, progress("pretrain", 60, {}), progress("pretrain", 61, {})])
  expect(lines.at(-1)).toBe(" ↻ pretrain goes on from step 50")
  expect(live(state, now)[0]).toMatch(/61\/100 {2}39 s left$/)
})

test("a stage that reports no steps is judged by what it took last time, and so is the run", () => {
  const events = [...plan("reuse", "run", 20), reused("tokens"), started("pretrain")]
  const { now, state } = history(events)
  expect(live(state, now + 5000)[0]).toMatch(/pretrain {2}15 s left$/)
  expect(live(state, now + 5000)[1]).toMatch(/about 1m 55s left$/)
})

test("more running stages than rows: the rest are counted", () => {
  const { now, state } = history([...plan("run", "run"), ...stages.map(({ name }) => started(name))])
  expect(live(state, now, 80, 5)).toHaveLength(4)
  expect(live(state, now, 80, 5).at(-1)).toContain("and 4 more")
})

test("a finished stage is one line, a round of a loop one line once all of it is there", () => {
  const events = [
    ...plan("reuse", "maybe"),
    reused("tokens"),
    started("pretrain"),
    finished("pretrain", 75, { validationLoss: 3.2, tokensPerSecond: 9000 }),
    finished("rollout.1", 2, { tokensPerAnswer: 12.25 }),
    finished("ppo.1", 3, { reward: 1.5 }),
    reused("rollout.2"),
    reused("ppo.2"),
    finished("summary", 0.01, {}),
    ended("succeeded", { ran: 4, reused: 3 } as Partial<Event>)
  ]
  expect(history(events).lines.slice(9)).toEqual([
    " ✓ pretrain            1m 15s  validation loss 3.200",
    " ✓ rollout → ppo 1/2    5.0 s  reward 1.500  tokens per answer 12.25",
    " ✓ rollout → ppo 2/2   reused",
    " ✓ summary              10 ms",
    "",
    " ✓ succeeded in 1m 01s: 4 ran, 3 reused"
  ])
})

test("a failure is told in full and in its columns; what finished of its round is not lost", () => {
  const message = `the loss is NaN at step 3: lower learningRate (0.01) or raise warmup (5), as ${"very ".repeat(20)}often`
  const events = [
    ...plan("reuse", "run"),
    reused("tokens"),
    finished("pretrain", 1, {}),
    finished("rollout.1", 2, {}),
    failed("ppo.1", message),
    ...["rollout.2", "ppo.2", "summary"].map((stage) => skipped(stage, "ppo.1")),
    ended("failed", { ran: 2, reused: 1, failed: 1, skipped: 3 } as Partial<Event>)
  ]
  const { lines } = history(events, 60)
  expect(lines).toContain(" ✗ ppo.1 failed (OperatorError)")
  expect(lines.join(" ").replaceAll(/\s+/g, " ")).toContain(message)
  expect(lines).toContainEqual(expect.stringMatching(/^ ✓ rollout 1\/2 +2\.0 s$/))
  expect(lines).toContain(" – not run, what they need failed: rollout, ppo, summary")
  expect(lines.at(-1)).toBe(" ✗ failed in 1m 01s: 2 ran, 1 reused, 1 failed, 3 not run")
  for (const line of lines) expect(width(line)).toBeLessThanOrEqual(60)
})

test("an interrupted run says where its stages stopped", () => {
  const events = [...plan("reuse", "run"), started("pretrain"), progress("pretrain", 7, {}), ended("interrupted")]
  expect(history(events).lines.slice(-3)).toEqual([
    " ■ pretrain stopped at step 7 of 100",
    "",
    " ■ interrupted in 1m 01s"
  ])
})

test("where there is nothing to do the end says so", () => {
  const events = [
    ...plan("reuse", "reuse"),
    ...stages.map(({ name }) => reused(name)),
    ended("succeeded", { reused: 7 } as Partial<Event>)
  ]
  expect(history(events).lines.slice(-2)).toEqual(["", " ✓ nothing to do: 7 stages reused in 1m 01s"])
})

test("a waiting stage names the process that runs it", () => {
  const waiting: Event = { _tag: "StageWaiting", ...about("pretrain"), pid: 4321, host: "box", seconds: 12 }
  const { now, state } = history([...plan("reuse", "run"), waiting])
  expect(live(state, now)[0]).toContain("pretrain  waits for process 4321 on box")
})

test("a log has one line for each event, and of progress one in five seconds", () => {
  const state = initial(graph, "cpu: 2 threads", 0)
  const written = new Map<string, number>()
  const log = (event: Event, now: number) => {
    fold(state, event, now)
    return plainLines(state, event, now, written)
  }
  const run: Event = { _tag: "RunStarted", run: "r1", pipeline: "recipe", stages: 7, time: 0 }
  expect(log(run, 0)).toEqual(["recipe: 7 stages, run r1, on cpu: 2 threads"])
  const [opening] = plan("reuse", "run").flatMap((event) => log(event, 0))
  expect(opening).toMatch(/^plan: 1 reused, 6 to run, 0 that may be reused\n {2}pretrain: parameter steps: 5 -> 6\n/)
  expect(log(started("pretrain"), 0)).toEqual(["started pretrain"])
  const at = Array.from({ length: 100 }, (_, i) => (i + 1) * 200)
  const lines = at.flatMap((now, i) => log(progress("pretrain", i + 1, { loss: 2 }), now))
  expect(lines).toHaveLength(4)
  expect(lines[1]).toBe("running pretrain  50/100  loss 2  10 s left")
  expect(log(finished("pretrain", 20, { loss: 1.5 }), 20_000)).toEqual(["finished pretrain in 20 s  loss 1.500"])
  expect(log(failed("ppo.1", "a\u001b[31mb\nc"), 20_000)).toEqual(["failed ppo.1 (OperatorError): a\\x1b[31mb\n  c"])
})
