/**
 * `ptmflow attach` and `ptmflow stop`: what a detached run does, as if it were run here, and its end.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Event } from "../executor/event.ts"
import type { Artifact } from "../operator/artifact.ts"
import { isAlive } from "../store/holder.ts"
import { layer as storeLayer } from "../store/store.ts"
import { type About, filesOf, findDetached } from "./detached.ts"
import { CommandError } from "./failure.ts"
import { program } from "./invocation.ts"
import { printJson, printLines } from "./output.ts"
import * as Reporter from "./reporter.ts"
import { showOutputs } from "./run.ts"

/** Milliseconds between two looks at the events. */
const PAUSE = 200

/** An event as a detached run wrote it, and when. */
const Line = Schema.fromJsonString(Schema.Struct({ time: Schema.Number }))
const decodeTime = Schema.decodeUnknownOption(Line)
const decodeEvent = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.toCodecJson(Event)))

/** What was typed. */
export interface AttachInput {
  readonly run: string
  readonly store: string
  readonly json: boolean
}

/** The lines that are added to a file, one by one, until `until` says that the last was seen, or the process that writes them is gone. */
const follow = Effect.fnUntraced(function* <E, R>(
  file: string,
  isGone: () => boolean,
  onLine: (line: string) => Effect.Effect<boolean, E, R>
): Effect.fn.Return<boolean, E, R> {
  let position = 0
  let rest = ""
  const descriptor = fs.openSync(file, "r")
  const buffer = Buffer.allocUnsafe(1 << 16)
  const decoder = new TextDecoder()
  try {
    while (true) {
      const gone = isGone()
      for (let count = -1; count !== 0; ) {
        count = fs.readSync(descriptor, buffer, 0, buffer.byteLength, position)
        position += count
        const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split("\n")
        rest = lines.pop()!
        for (const line of lines) if (yield* onLine(line)) return true
      }
      if (gone) return false
      yield* Effect.sleep(PAUSE)
    }
  } finally {
    fs.closeSync(descriptor)
  }
})

/** Shows a detached run from its beginning on, until its end; its exit code is that of the run. */
export const attach = Effect.fnUntraced(function* (input: AttachInput) {
  const about = yield* findDetached(input.store, input.run)
  const files = filesOf(input.store, about.name)
  const artifacts = new Map<string, { readonly [port: string]: Artifact }>()
  let status = ""
  const isGone = () => isAlive(about.holder) === false
  const shown = Effect.gen(function* () {
    const onEvent = yield* at(about.time, Reporter.make(about, "", false))
    return yield* follow(files.events, isGone, (line) => {
      const event = Option.getOrUndefined(decodeEvent(line))
      if (event === undefined) return Effect.succeed(false)
      if (event._tag === "StageReused" || event._tag === "StageFinished") artifacts.set(event.stage, event.artifacts)
      if (event._tag === "RunFinished") status = event.status
      const { time } = Option.getOrElse(decodeTime(line), () => ({ time: about.time }))
      return Effect.as(at(time, onEvent(event)), event._tag === "RunFinished")
    })
  })
  const written = follow(files.events, isGone, (line) => {
    const event = Option.getOrUndefined(decodeEvent(line))
    if (event?._tag === "RunFinished") status = event.status
    return Effect.as(printLines([line]), event?._tag === "RunFinished")
  })
  const goesOn = printLines(["", `The run goes on. To see it again: ${program()} attach ${about.name}`])
  const whole = yield* Effect.scoped(input.json ? written : shown).pipe(
    Effect.onInterrupt(() => (input.json ? Effect.void : goesOn))
  )
  if (!whole) return yield* cutOff(about, files.errors)
  if (status !== "succeeded") process.exitCode = status === "failed" ? 1 : 130
  if (input.json || status !== "succeeded") return
  const outputs = Object.entries(about.outputs).flatMap(([name, { port, stage }]) => {
    const artifact = artifacts.get(stage)?.[port]
    return artifact === undefined ? [] : [[name, artifact] as const]
  })
  yield* Effect.provide(showOutputs(Object.fromEntries(outputs)), storeLayer(input.store))
})

/** What is shown now is shown as of when it happened. */
const at = <A, E, R>(time: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) =>
    Effect.provideService(effect, Clock.Clock, {
      ...clock,
      currentTimeMillis: Effect.succeed(time),
      currentTimeMillisUnsafe: () => time
    })
  )

const cutOff = (about: About, errors: string) => {
  const said = fs.readFileSync(errors, "utf8").trim().split("\n").slice(-5).join("\n")
  return Effect.fail(
    new CommandError({
      place: "",
      message: `process ${about.holder.pid} is gone, and the run did not come to its end${said === "" ? "" : `:\n${said}`}`,
      next: `What finished is kept. To go on from the last resume point: ${program()} ${about.args.join(" ")}`
    })
  )
}

/** Ends a detached run as Ctrl-C does: what finished is kept, and its resume points. */
export const stop = Effect.fnUntraced(function* (input: AttachInput) {
  const { holder, name } = yield* findDetached(input.store, input.run)
  if (isAlive(holder) !== true) {
    const message =
      isAlive(holder) === false ? `${name} is not running any more` : `${name} runs on ${holder.host}: stop it there`
    return yield* new CommandError({ place: "", message, next: "" })
  }
  process.kill(holder.pid, "SIGINT")
  while (isAlive(holder) === true) yield* Effect.sleep(PAUSE)
  yield* input.json
    ? printJson({ run: name, stopped: true })
    : printLines([`${name} was stopped. What finished is kept.`])
})
