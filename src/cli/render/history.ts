/**
 * The lines that stay while a run goes on, on a terminal: the graph with the plan, then one calm line for each stage or round of a loop.
 *
 * @since 0.1.0
 */
import type { Event } from "../../executor/event.ts"
import { firstCauses } from "./causes.ts"
import { dagLines } from "./dag.ts"
import { fitting, metricPhrases, resultMetrics } from "./metrics.ts"
import { type Row, roundOf } from "./outline.ts"
import { type Progress, roundMates } from "./progress.ts"
import { count, duration } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, pad, printable, width, wrap } from "./width.ts"

type RunFinished = Extract<Event, { readonly _tag: "RunFinished" }>

/** More rows than this are not drawn before a run; `plan` draws them all. */
const mostRows = 60
const mostReasons = 3

/** The lines that an event, which `state` has taken in already, adds. */
export const historyLines = (state: Progress, event: Event, view: View): ReadonlyArray<string> => {
  switch (event._tag) {
    case "StagePlanned":
      return state.planned.size === state.total ? opening(state, view) : []
    case "StageReused":
      return state.planned.get(event.stage)?.action === "reuse" && event.remote === undefined
        ? []
        : whole(state, event.stage, view)
    case "StageProgress":
      return event.resumed === true
        ? [cut(` ${view.style.due("↻")} ${event.stage} goes on from step ${event.step}`, view.columns)]
        : []
    case "StageFinished":
      return [
        ...whole(state, event.stage, view),
        ...(event.uncached === undefined ? [] : [cut(` ${view.style.due("!")} ${event.uncached}`, view.columns)])
      ]
    case "StageFailed":
      return failure(event, view)
    case "RunFinished":
      return [
        ...unfinishedRounds(state, view),
        ...stopped(state, event, view),
        ...skipped(state, view),
        ...closing(state, event, view)
      ]
    default:
      return []
  }
}

const opening = (state: Progress, view: View): ReadonlyArray<string> => {
  const { style } = view
  const rows = state.blocks.flatMap((block) => block.rows)
  const title = cut(`${style.strong(state.pipeline)}  ${style.faint(state.description)}`.trimEnd(), view.columns)
  const head = [title, ...(state.device === "" ? [] : [cut(style.faint(`on ${state.device}`), view.columns)])]
  if (rows.length > mostRows) return [...head, `   ${count(state.total, "stage")}`, ""]
  const causes = firstCauses(state.planned)
  const note = (row: Row) => {
    const plans = row.stages.flatMap((stage) => state.planned.get(stage) ?? [])
    const due = plans.filter(({ action }) => action !== "reuse")
    const sign =
      due.length === 0 ? style.good("✓") : due.some(({ action }) => action === "run") ? style.due("●") : style.due("○")
    const reasons = [...new Set(row.stages.flatMap((stage) => causes.get(stage) ?? []))]
    const more = reasons.length > mostReasons ? [style.faint(`and ${reasons.length - mostReasons} more`)] : []
    return { sign, below: [...reasons.slice(0, mostReasons).map((text) => style.due(printable(text))), ...more] }
  }
  return [...head, "", ...dagLines(state.blocks, note, view), ""]
}

/** The line of a stage, or of its round once every stage of the round is done. */
const whole = (state: Progress, stage: string, view: View): ReadonlyArray<string> => {
  const mates = roundMates(state, stage)
  return mates.every((mate) => state.done.has(mate)) ? doneLine(state, mates, view) : []
}

const doneLine = (state: Progress, stages: ReadonlyArray<string>, view: View): ReadonlyArray<string> => {
  const { style } = view
  const good = stages.filter((stage) => ["reused", "finished"].includes(state.done.get(stage)!.status))
  if (good.length === 0) return []
  const results = good.map((stage) => state.done.get(stage)!)
  const name = nameOf(state, good)
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0)
  const reused = results.every(({ status }) => status === "reused")
  const time = reused ? (results.some(({ remote }) => remote) ? "pulled" : "reused") : duration(seconds)
  const metrics = metricPhrases(resultMetrics(Object.assign({}, ...results.map(({ metrics }) => metrics))))
  const names = Math.min(nameColumns(state), Math.floor(view.columns / 2))
  const start = ` ${style.good("✓")} ${pad(cut(name, names), names)}  ${style.faint(time.padStart(7))}  `
  return [cut(`${start}${reused ? "" : fitting(metrics, view.columns - width(start))}`.trimEnd(), view.columns)]
}

const nameOf = (state: Progress, stages: ReadonlyArray<string>): string => {
  const first = stages[0]!
  const block = state.blockOf.get(first)
  if (block === undefined || block.rounds === 0) return first
  const { round } = roundOf(first)
  const members = new Set(stages)
  const rows = block.rows.filter((row) => row.stages.some((stage) => members.has(stage)))
  return `${rows.map(({ name }) => name).join(" → ")} ${round === undefined ? `×${block.rounds}` : `${round}/${block.rounds}`}`
}

const nameColumns = (state: Progress): number =>
  Math.max(
    0,
    ...state.blocks.map((block) =>
      block.rounds === 0
        ? Math.max(...block.rows.map(({ name }) => width(name)))
        : width(`${block.rows.map(({ name }) => name).join(" → ")} ${block.rounds}/${block.rounds}`)
    )
  )

const failure = (event: Extract<Event, { _tag: "StageFailed" }>, { columns, style }: View): ReadonlyArray<string> => [
  cut(` ${style.bad("✗")} ${style.strong(event.stage)} failed ${style.faint(`(${event.cause})`)}`, columns),
  ...wrap(printable(event.message), columns - 3).map((line) => `   ${line}`)
]

const unfinishedRounds = (state: Progress, view: View): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const seen = new Set<string>()
  for (const [stage, { status }] of state.done) {
    if (seen.has(stage) || status !== "finished") continue
    const mates = roundMates(state, stage)
    for (const mate of mates) seen.add(mate)
    const done = mates.filter((mate) => state.done.has(mate))
    const last = mates.every((mate) => ["finished", "reused"].includes(state.done.get(mate)?.status ?? ""))
    if (!last) lines.push(...doneLine(state, done, view))
  }
  return lines
}

const skipped = (state: Progress, { columns, style }: View): ReadonlyArray<string> => {
  const rows = state.blocks
    .flatMap((block) => block.rows)
    .filter(({ stages }) => stages.some((stage) => state.done.get(stage)?.status === "skipped"))
  if (rows.length === 0) return []
  return [cut(style.faint(` – not run, what they need failed: ${rows.map(({ name }) => name).join(", ")}`), columns)]
}

const stopped = (state: Progress, { status }: RunFinished, { columns, style }: View): ReadonlyArray<string> =>
  status !== "interrupted"
    ? []
    : [...state.running].map(([stage, { step, steps }]) => {
        const at = step === undefined ? "" : ` at step ${step}${steps === undefined ? "" : ` of ${steps}`}`
        return cut(` ${style.due("■")} ${stage} stopped${at}`, columns)
      })

const closing = (state: Progress, event: RunFinished, { columns, style }: View): ReadonlyArray<string> => {
  const colours = { succeeded: style.good("✓"), failed: style.bad("✗"), interrupted: style.due("■") }
  const idle = event.ran + event.failed + event.skipped + state.running.size === 0
  return [...(idle ? [] : [""]), cut(` ${colours[event.status]} ${style.strong(closingText(event))}`, columns)]
}

/** A run's end in words. */
export const closingText = (event: RunFinished): string => {
  const { failed, ran, reused, seconds, skipped, status } = event
  if (status === "succeeded" && ran === 0)
    return `nothing to do: ${count(reused, "stage")} reused in ${duration(seconds)}`
  const parts = [
    [ran, "ran"],
    [reused, "reused"],
    [failed, "failed"],
    [skipped, "not run"]
  ] as const
  const counts = parts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`)
  return `${status} in ${duration(seconds)}${counts.length === 0 ? "" : `: ${counts.join(", ")}`}`
}
