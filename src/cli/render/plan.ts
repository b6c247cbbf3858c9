/**
 * A plan as lines: the graph with what happens to each stage, and why.
 *
 * @since 0.1.0
 */
import type { Plan } from "../../executor/plan.ts"
import type { Graph } from "../../pipeline/graph.ts"
import { dagLines } from "./dag.ts"
import type { Row } from "./outline.ts"
import { initial } from "./progress.ts"
import { count, duration } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, printable, wrap } from "./width.ts"

/** The counts, then one line for each row of the graph with its reasons below it. */
export const planLines = (graph: Graph<unknown>, plan: Plan, view: View): ReadonlyArray<string> => {
  const { style } = view
  const plans = new Map(plan.stages.map((stage) => [stage.stage, stage]))
  /** What reused stages took when they ran, where that is worth saying. */
  const saved = (row: Row): string => {
    const stages = row.stages.flatMap((stage) => plans.get(stage) ?? [])
    const seconds = stages.reduce((sum, { action, seconds = 0 }) => sum + (action === "reuse" ? seconds : 0), 0)
    return seconds >= 1 ? `saves ${duration(seconds)}` : ""
  }
  const note = (row: Row) => {
    const stages = row.stages.flatMap((stage) => plans.get(stage) ?? [])
    const due = stages.filter(({ action }) => action !== "reuse")
    const runs = due.filter(({ action }) => action === "run").length
    const sign = due.length === 0 ? style.good("✓") : runs > 0 ? style.due("●") : style.due("○")
    const seconds = due.flatMap(({ seconds }) => seconds ?? [])
    const some = due.length > 0 && due.length < stages.length ? `${due.length} of ${stages.length}` : ""
    const time = seconds.length === 0 ? "" : `~${duration(seconds.reduce((sum, each) => sum + each, 0))}`
    const reasons = due.flatMap((stage) => stage.reasons)
    const causes = reasons.filter(({ kind }) => kind !== "input-pending" && kind !== "never-ran")
    const because = [...new Set(due.flatMap(({ cause }) => cause?.stage ?? []))]
    const after =
      causes.length > 0 || because.length === 0
        ? ""
        : `because of ${because.slice(0, 2).join(", ")}${because.length > 2 ? " and others" : ""}`
    const places = [...new Set(stages.flatMap(({ remote }) => remote ?? []))]
    const from = places.map((place) => `from ${place}`).join(", ")
    const mapped = due.flatMap(({ batches }) => batches ?? [])
    const total = mapped.reduce((sum, { of }) => sum + of, 0)
    const made = mapped.every((each) => each.made === "changed") ? "those that changed" : "all"
    const batches = total === 0 ? "" : `makes ${made} of ~${total} batches`
    const never = reasons.some(({ kind }) => kind === "never-ran") && due.length > 0 ? "never ran" : ""
    const texts = [...new Set(causes.map(({ message }) => message))]
    const below = texts.flatMap((message) => wrap(printable(message), view.columns - 6).map(style.due))
    const most = 6
    return {
      sign,
      end: [some, never, time, saved(row), from, batches, after].filter((part) => part !== "").map(style.faint),
      below: below.length <= most ? below : [...below.slice(0, most), style.faint(`and ${below.length - most} more`)]
    }
  }
  const { blocks } = initial(graph, "", 0)
  const may = plan.stages.some(({ action }) => action === "maybe")
  return [
    cut(`${style.strong(plan.pipeline)}  ${summary(plan)}`, view.columns),
    "",
    ...dagLines(blocks, note, view),
    ...(may
      ? ["", ...wrap("○ is reused if what it takes turns out the same as before", view.columns).map(style.faint)]
      : [])
  ]
}

const summary = ({ seconds, stages }: Plan): string => {
  const n = (action: string) => stages.filter((stage) => stage.action === action).length
  if (n("reuse") === stages.length) return `nothing to do: ${count(stages.length, "stage")} reused`
  const parts = [
    ["run", "to run"],
    ["maybe", "may run"],
    ["reuse", "reused"]
  ].flatMap(([action, words]) => (n(action!) > 0 ? [`${n(action!)} ${words}`] : []))
  return `${parts.join(", ")}${seconds > 0 ? `; about ${duration(seconds)}` : ""}`
}
