/**
 * A past run as lines: when and how it ended, what was set, and its stages.
 *
 * @since 0.1.0
 */
import type { RunStatus, StageStatus } from "../../lineage/run-status.ts"
import { dagLines } from "./dag.ts"
import { metricPhrases, resultMetrics } from "./metrics.ts"
import { outline, type Row } from "./outline.ts"
import { ago, count, duration } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, pad, printable, width, wrap } from "./width.ts"

/** A run before the newest, in short. `ran` and `failed` count stages. */
export interface EarlierRun extends Pick<RunStatus, "run" | "pipeline" | "status" | "time" | "seconds" | "settings"> {
  readonly ran: number
  readonly failed: number
}

/** The newest run's lines at `now` (milliseconds), then one for each earlier run. */
export const statusLines = (
  run: RunStatus,
  earlier: ReadonlyArray<EarlierRun>,
  now: number,
  view: View
): ReadonlyArray<string> => {
  const { style } = view
  const stages = new Map(run.stages.map((stage) => [stage.stage, stage]))
  const blocks = outline(run.stages.map(({ stage }) => ({ name: stage, operator: "", from: [] })))
  const missing = run.size - run.stages.length
  const note = (row: Row) => {
    const members = row.stages.flatMap((stage) => stages.get(stage) ?? [])
    return { sign: sign(members, view), end: words(members), below: messages(members, view) }
  }
  return [
    cut(`${style.strong(run.pipeline)}  ${stateOf(run, view)}  ${whenOf(run, now)}`, view.columns),
    cut(style.faint(`  run ${run.run}`), view.columns),
    ...run.devices.map((device) => cut(style.faint(`  on ${device}`), view.columns)),
    ...run.settings.map(({ path, value }) =>
      cut(style.faint(`  --set ${printable(path)}=${printable(value)}`), view.columns)
    ),
    "",
    ...dagLines(blocks, note, view),
    ...(missing > 0 ? [style.faint(`   ${count(missing, "stage")} not reached`)] : []),
    ...(earlier.length === 0 ? [] : ["", style.strong("Earlier"), ...earlierLines(earlier, now, view)])
  ]
}

const stateOf = ({ status }: Pick<RunStatus, "status">, { style }: View): string =>
  ({ succeeded: style.good, failed: style.bad, interrupted: style.due, running: style.name })[status](status)

const whenOf = ({ seconds, time }: Pick<RunStatus, "seconds" | "time">, now: number): string =>
  `${ago(time, now)}${seconds === null ? "" : `, took ${duration(seconds)}`}`

const earlierLines = (runs: ReadonlyArray<EarlierRun>, now: number, view: View): ReadonlyArray<string> => {
  const rows = runs.map((run) => {
    const counts = [...(run.ran > 0 ? [`${run.ran} ran`] : []), ...(run.failed > 0 ? [`${run.failed} failed`] : [])]
    const settings = run.settings.map(({ path, value }) => `--set ${printable(path)}=${printable(value)}`)
    const words = [counts.length === 0 ? "all reused" : counts.join(", "), view.style.faint(settings.join(" "))]
    return [run.pipeline, stateOf(run, view), whenOf(run, now), words.join("  ")] as const
  })
  const columns = [0, 1, 2].map((column) => Math.max(...rows.map((row) => width(row[column]!))))
  return rows.map((row) => {
    const cells = row.map((cell, column) => (column < 3 ? pad(cell, columns[column]!) : cell))
    return cut(`  ${cells.join("  ")}`, view.columns).trimEnd()
  })
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
