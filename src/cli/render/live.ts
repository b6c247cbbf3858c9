/**
 * The lines that change while a run goes on: one for each running stage, and one for the run.
 *
 * @since 0.1.0
 */
import { fitting, metricPhrases } from "./metrics.ts"
import { type Progress, type Running, secondsLeft, totalSecondsLeft } from "./progress.ts"
import { duration } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, pad, width } from "./width.ts"

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

/** A bar of `columns` columns, filled in halves of a column. */
const bar = (share: number, columns: number, { style }: View): string => {
  const halves = Math.round(Math.min(Math.max(share, 0), 1) * columns * 2)
  const full = "━".repeat(Math.floor(halves / 2))
  const half = halves % 2 === 1 ? "╸" : ""
  return style.name(full + half) + style.faint("─".repeat(columns - full.length - half.length))
}

const stageLine = (
  name: string,
  running: Running,
  left: number | undefined,
  names: number,
  now: number,
  view: View
): string => {
  const { columns, style } = view
  const spinner = style.name(frames[Math.floor(now / 100) % frames.length]!)
  const start = ` ${spinner} ${pad(cut(name, names), names)}  `
  const elapsed = duration((now - running.started) / 1000)
  if (running.waiting !== undefined) {
    const { host, pid } = running.waiting
    const at =
      running.step === undefined
        ? ""
        : ` (step ${running.step}${running.steps === undefined ? "" : ` of ${running.steps}`})`
    return cut(`${start}waits for process ${pid} on ${host}, which runs it${at}  ${elapsed}`, columns)
  }
  const time = left === undefined ? elapsed : `${duration(left)} left`
  const { step, steps } = running
  const counted = step !== undefined && steps !== undefined && steps > 0
  const barColumns = columns >= 100 ? 20 : columns >= 64 ? 10 : 0
  const steady = [
    ...(counted && barColumns > 0 ? [bar(step / steps, barColumns, view)] : []),
    ...(counted ? [`${String(step).padStart(String(steps).length)}/${steps}`] : [])
  ].join(" ")
  const room = columns - width(start) - width(steady) - width(time) - 4
  const metrics = fitting(metricPhrases(running.metrics), room)
  return cut(`${start}${[steady, metrics, style.faint(time)].filter((part) => part !== "").join("  ")}`, columns)
}

/** One line for each running stage, at most `rows` with the run's own last. */
export const liveLines = (state: Progress, now: number, rows: number, view: View): ReadonlyArray<string> => {
  const { columns, style } = view
  const running = [...state.running]
  const shown = running.slice(0, Math.max(rows - 2, 1))
  const names = Math.min(Math.max(0, ...shown.map(([name]) => width(name))), Math.floor(columns / 3))
  const left = totalSecondsLeft(state, now)
  const more = running.length > shown.length ? [`and ${running.length - shown.length} more`] : []
  const whole = [
    `${state.done.size} of ${state.total} stages`,
    ...more,
    duration((now - state.started) / 1000),
    ...(left !== undefined && left >= 1 && state.done.size < state.total ? [`about ${duration(left)} left`] : [])
  ]
  return [
    ...shown.map(([name, stage]) =>
      stageLine(name, stage, secondsLeft(stage, state.planned.get(name), now), names, now, view)
    ),
    cut(style.faint(`   ${whole.join(" · ")}`), columns)
  ]
}
