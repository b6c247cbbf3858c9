/**
 * A run as lines of a log: one for each event, progress of a stage at most every few seconds.
 *
 * @since 0.1.0
 */
import type { Event } from "../../executor/event.ts"
import { firstCauses } from "./causes.ts"
import { closingText } from "./history.ts"
import { metricPhrases, resultMetrics } from "./metrics.ts"
import { type Progress, secondsLeft } from "./progress.ts"
import { count, duration } from "./quantity.ts"
import { printable } from "./width.ts"

/** Milliseconds between two lines of progress of a stage. */
const interval = 5_000

/** Of more stages those that were reused as planned are not named. */
const mostNamed = 200

/** What was written last of each stage's progress: when, in milliseconds. */
export type Written = Map<string, number>

/** The lines that an event, which `state` has taken in already, adds at `now`. `written` is brought up to date. */
export const plainLines = (state: Progress, event: Event, now: number, written: Written): ReadonlyArray<string> => {
  switch (event._tag) {
    case "RunStarted":
      return [
        `${event.pipeline}: ${count(event.stages, "stage")}, run ${event.run}${state.device === "" ? "" : `, on ${state.device}`}`
      ]
    case "StagePlanned":
      return state.planned.size === state.total ? [planText(state)] : []
    case "StageReused":
      // The plan has said how many there are; which ones, it is worth the lines only where these are few.
      if (state.total > mostNamed && event.remote === undefined && state.planned.get(event.stage)?.action === "reuse")
        return []
      return [`reused ${event.stage}${event.remote === undefined ? "" : `, from ${event.remote}`}`]
    case "StageWaiting": {
      if (now - (written.get(event.stage) ?? Number.NEGATIVE_INFINITY) < interval) return []
      written.set(event.stage, now)
      const held = duration(event.seconds)
      const at =
        event.step === undefined
          ? ""
          : `, at step ${event.step}${event.steps === undefined ? "" : ` of ${event.steps}`}`
      return [`waiting ${event.stage}: process ${event.pid} on ${event.host} runs it, for ${held} so far${at}`]
    }
    case "StageStarted": {
      written.set(event.stage, now)
      const reasons = event.reasons.map(({ message }) => message).join("; ")
      const elsewhere = event.device !== undefined && !state.device.startsWith(`${event.device}:`)
      return [
        printable(
          `started ${event.stage}${elsewhere ? ` on ${event.device}` : ""}${reasons === "" ? "" : `: ${reasons}`}`
        )
      ]
    }
    case "StageProgress": {
      if (event.resumed === true) return [`resumed ${event.stage} from step ${event.step}`]
      if (now - (written.get(event.stage) ?? Number.NEGATIVE_INFINITY) < interval) return []
      written.set(event.stage, now)
      return [progressText(state, event, now)]
    }
    case "StageFinished":
      return [
        [
          `finished ${event.stage} in ${duration(event.seconds)}`,
          ...batchPhrase(event),
          ...metricPhrases(resultMetrics(event.metrics))
        ].join("  "),
        ...(event.uncached === undefined ? [] : [`  not kept: ${printable(event.uncached)}`])
      ]
    case "StageFailed":
      return [`failed ${event.stage} (${event.cause}): ${printable(event.message).replaceAll("\n", "\n  ")}`]
    case "StageSkipped":
      return [`skipped ${event.stage}: ${event.because} failed`]
    case "RunFinished":
      return [`${event.pipeline}: ${closingText(event)}`]
  }
}

/** `made 3 of 4812 batches`, where some were taken from what was made before. */
const batchPhrase = ({ batches }: Extract<Event, { _tag: "StageFinished" }>): ReadonlyArray<string> =>
  batches === undefined || batches.reused === 0
    ? []
    : [`made ${batches.made} of ${count(batches.made + batches.reused, "batch").replace(/batchs$/, "batches")}`]

const planText = (state: Progress): string => {
  const counts = { reuse: 0, run: 0, maybe: 0 }
  for (const { action } of state.planned.values()) counts[action]++
  const { maybe, reuse, run } = counts
  const causes = [...firstCauses(state.planned)].flatMap(([stage, messages]) =>
    messages.map((message) => `\n  ${stage}: ${printable(message)}`)
  )
  return `plan: ${reuse} reused, ${run} to run, ${maybe} that may be reused${causes.join("")}`
}

const progressText = (state: Progress, event: Extract<Event, { _tag: "StageProgress" }>, now: number): string => {
  const running = state.running.get(event.stage)
  const left = running === undefined ? undefined : secondsLeft(running, state.planned.get(event.stage), now)
  const step =
    event.step === undefined ? [] : [event.steps === undefined ? `${event.step}` : `${event.step}/${event.steps}`]
  return [
    `running ${event.stage}`,
    ...step,
    ...metricPhrases(running?.metrics ?? event.metrics),
    ...(left === undefined ? [] : [`${duration(left)} left`])
  ].join("  ")
}
