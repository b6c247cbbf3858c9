/**
 * A run's stages and curves, brought up to date with each entry of its log: by the server when it is asked, by the page as events come.
 *
 * @since 0.1.0
 */
import type { LogEntry } from "../lineage/run-log.ts"
import type { Series, StageView } from "./answers.ts"

/** A stage of which nothing is known yet. */
export const pending = (stage: string, operator: string, inputs: StageView["inputs"]): StageView => ({
  stage,
  operator,
  state: "pending",
  inputs,
  key: null,
  step: null,
  steps: null,
  seconds: null,
  time: null,
  message: null,
  metrics: {}
})

/** The stage after an entry that is about it. */
export const advance = (stage: StageView, entry: LogEntry): StageView => {
  switch (entry._tag) {
    case "Reused":
      return { ...stage, state: "reused", key: entry.key, time: entry.time }
    case "Waiting":
      return { ...stage, state: "waiting", message: `waits for ${entry.holder}`, time: entry.time }
    case "Started":
      return {
        ...stage,
        state: "running",
        key: entry.key,
        message: null,
        time: entry.time
      }
    case "Progress":
      return {
        ...stage,
        state: "running",
        step: entry.step ?? stage.step,
        steps: entry.steps ?? stage.steps,
        seconds: entry.seconds,
        metrics: { ...stage.metrics, ...entry.metrics }
      }
    case "Finished":
      return {
        ...stage,
        state: "ran",
        key: entry.key,
        seconds: entry.seconds,
        metrics: { ...stage.metrics, ...entry.metrics }
      }
    case "Failed":
      return { ...stage, state: "failed", message: `${entry.cause}: ${entry.message}` }
    case "Skipped":
      return { ...stage, state: "skipped", message: `needs ${entry.because}, which failed` }
    default:
      return stage
  }
}

/** The name of a series among those of its run. */
export const seriesId = (stage: string, metric: string): string => `${stage}\n${metric}`

/** A series that grows. */
export interface Growing extends Series {
  readonly points: Array<Series["points"][number]>
}

/** Adds the values of an entry to the series. Those that a stage ends with are added where it reported none before. */
export const collect = (series: Map<string, Growing>, entry: LogEntry): void => {
  if (entry._tag !== "Progress" && entry._tag !== "Finished") return
  const { metrics, stage, time } = entry
  const [step, steps] = entry._tag === "Progress" ? [entry.step ?? null, entry.steps ?? null] : [null, null]
  for (const [metric, value] of Object.entries(metrics)) {
    if (value === null) continue
    const id = seriesId(stage, metric)
    const known = series.get(id)
    if (known === undefined) series.set(id, { stage, metric, points: [[step, steps, value, time]] })
    else if (entry._tag === "Progress") known.points.push([step, steps, value, time])
  }
}
