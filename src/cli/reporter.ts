/**
 * Shows a run while it goes on: rewriting lines on a terminal, as a log in a pipe, or as JSON lines.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Event } from "../executor/event.ts"
import { canRewrite, viewOf } from "./output.ts"
import { withoutStack } from "./render/failure.ts"
import { historyLines } from "./render/history.ts"
import { liveLines } from "./render/live.ts"
import { plainLines } from "./render/plain.ts"
import { fold, initial, type ShownGraph } from "./render/progress.ts"
import * as Screen from "./screen.ts"
import { takeOver } from "./takeover.ts"

/** Hears every event of a run. */
export type OnEvent = (event: Event) => Effect.Effect<void>

/** What shows a run of this graph on this device (empty: none), until the scope closes. */
export const make = (graph: ShownGraph, device: string, json: boolean): Effect.Effect<OnEvent, never, Scope.Scope> =>
  json ? jsonReporter : canRewrite() ? terminalReporter(graph, device) : logReporter(graph, device)

/** Hears each event with its time, in milliseconds since 1970: one operation an event, as a run may reuse thousands of stages. */
const timed =
  (hear: (event: Event, now: number) => void): OnEvent =>
  (event) =>
    Effect.clockWith((clock) => {
      hear(event, clock.currentTimeMillisUnsafe())
      return Effect.void
    })

/** A defect's message has a stack: a person is told the first place in code of their own. */
const brief = (event: Event): Event => {
  if (event._tag !== "StageFailed") return event
  const { message, place } = withoutStack(event.message, process.cwd())
  return { ...event, message: place === "" ? message : `${message}\nat ${place}` }
}

/** Standard output carries events alone: what other code writes there goes to standard error. */
const jsonReporter: Effect.Effect<OnEvent, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => takeOver(process.stdout, (text) => process.stderr.write(text))),
    ({ release }) => Effect.sync(release)
  ),
  ({ write }) => {
    const encode = Schema.encodeSync(Schema.toCodecJson(Event))
    return timed((event, time) => write(`${JSON.stringify({ time, ...(encode(event) as object) })}\n`))
  }
)

const logReporter = Effect.fnUntraced(function* (graph: ShownGraph, device: string) {
  const state = initial(graph, device, yield* Clock.currentTimeMillis)
  const written = new Map<string, number>()
  return timed((event, now) => {
    fold(state, event, now)
    const lines = plainLines(state, brief(event), now, written)
    if (lines.length > 0) process.stdout.write(`${lines.join("\n")}\n`)
  })
})

/** Milliseconds between two looks at the lines that change. */
const frame = 100

const terminalReporter = Effect.fnUntraced(function* (graph: ShownGraph, device: string) {
  const state = initial(graph, device, yield* Clock.currentTimeMillis)
  const { style } = viewOf(process.stdout)
  const screen = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const out = takeOver(process.stdout, (text) => opened.foreign(text))
      const errors =
        process.stderr.isTTY === true ? takeOver(process.stderr, (text) => opened.foreign(text)) : undefined
      const opened = Screen.open({
        get columns() {
          return process.stdout.columns
        },
        get rows() {
          return process.stdout.rows
        },
        write: out.write
      })
      const close = () => {
        opened.close()
        out.release()
        errors?.release()
      }
      process.once("exit", close)
      return { ...opened, close }
    }),
    ({ close }) =>
      Effect.sync(() => {
        process.removeListener("exit", close)
        close()
      })
  )
  const view = () => ({ columns: screen.columns() - 1, style })
  const redraw = (now: number) =>
    screen.draw(state.running.size > 0 ? liveLines(state, now, screen.rows(), view()) : [])
  yield* Effect.forkScoped(Effect.repeat(Effect.map(Clock.currentTimeMillis, redraw), Schedule.spaced(frame)))
  return timed((event, now) => {
    fold(state, event, now)
    if (event._tag === "StageProgress" && event.resumed !== true) return
    screen.print(historyLines(state, brief(event), view()))
    redraw(now)
  })
})
