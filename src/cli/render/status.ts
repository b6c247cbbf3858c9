/**
 * A past run as lines: when and how it ended, what was set, and its stages.
 *
 * @since 0.1.0
 */
import type { RunStatus, StageStatus } from "../../lineage/ledger.ts"
import { dagLines } from "./dag.ts"
import { metricPhrases, resultMetrics } from "./metrics.ts"
import { outline, type Row } from "./outline.ts"
import { ago, count, duration } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, printable, wrap } from "./width.ts"

/** The run's lines at `now` (milliseconds). */
export const statusLines = (run: RunStatus, now: number, view: View): ReadonlyArray<string> => {
  const { style } = view
  const stages = new Map(run.stages.map((stage) => [stage.stage, stage]))
  const blocks = outline(run.stages.map(({ operator = "", stage }) => ({ name: stage, operator, from: [] })))
  const colour = { succeeded: style.good, failed: style.bad, interrupted: style.due, running: style.name }[run.status]
  const took = run.seconds === null ? "" : `, took ${duration(run.seconds)}`
  const missing = run.size - run.stages.length
  const note = (row: Row) => {
    const members = row.stages.flatMap((stage) => stages.get(stage) ?? [])
    return { sign: sign(members, view), end: words(members), below: messages(members, view) }
  }
  return [
    cut(`${style.strong(run.pipeline)}  ${colour(run.status)}  started ${ago(run.time, now)}${took}`, view.columns),
    cut(style.faint(`  run ${run.run}`), view.columns),
    ...run.settings.map(({ path, value }) =>
      cut(style.faint(`  --set ${printable(path)}=${printable(value)}`), view.columns)
    ),
    "",
    ...dagLines(blocks, note, view),
    ...(missing > 0 ? [style.faint(`   ${count(missing, "stage")} not reached`)] : [])
  ]
}

const sign = (members: ReadonlyArray<StageStatus>, { style }: View): string => {
  const has = (status: StageStatus["status"]) => members.some((member) => member.status === status)
  if (has("failed")) return style.bad("✗")
  if (has("skipped")) return style.faint("–")
  return has("ran") ? style.good("✓") : style.faint("✓")
}

/** The time of what ran, and the newest result. */
const words = (members: ReadonlyArray<StageStatus>): ReadonlyArray<string> => {
  const ran = members.filter(({ status }) => status === "ran")
  const last = members.findLast(({ status }) => status === "ran" || status === "reused")
  const seconds = ran.reduce((sum, { seconds = 0 }) => sum + seconds, 0)
  const state = ran.length > 0 ? duration(seconds) : (members[0]?.status ?? "")
  return [state.padStart(7), ...metricPhrases(resultMetrics(last?.metrics ?? {}))]
}

const messages = (members: ReadonlyArray<StageStatus>, { columns, style }: View): ReadonlyArray<string> =>
  members.flatMap(({ message }) =>
    message === undefined
      ? []
      : wrap(printable(message), columns - 6)
          .slice(0, 6)
          .map(style.bad)
  )
