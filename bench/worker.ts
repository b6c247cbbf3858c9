/** A process that measures one side and stays alive: a JSON request a line on its standard input, a JSON answer a line on its output. */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** A side could not be measured. */
export class WorkerError extends Schema.TaggedError<WorkerError>()("WorkerError", {
  side: Schema.String,
  message: Schema.String
}) {}

/** How to start a side's process. */
export interface Command {
  readonly file: string
  readonly arguments: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
}

/** What a worker answers, as far as it applies to the request. */
export interface Answer {
  readonly version?: string
  readonly variant?: string
  readonly parameters?: number
  readonly tokens?: number
  readonly loss?: number
  readonly seconds?: number
  readonly bytes?: number
  readonly flopsPerSecond?: number
  readonly error?: string
}

export interface Worker {
  readonly side: string
  readonly ask: (request: object) => Effect.Effect<Answer, WorkerError>
}

/** A side that is not asked stands still, so that threads of its that wait by spinning take nothing from the others. */
const pausing = process.platform !== "win32"

/** The end of what a process wrote to standard error: enough to see why it ended. */
const tail = (text: string) => text.trim().split("\n").slice(-4).join("\n").slice(-600)

/** Starts a process; it ends with the scope. One request at a time. */
export const start = (side: string, command: Command): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(command.file, command.arguments, { env: { ...process.env, ...command.environment } })
        let complaint = ""
        let waiting: ((line: string | undefined, reason: string) => void) | undefined
        let ended: string | undefined
        const end = (reason: string) => {
          ended ??= reason
          waiting?.(undefined, ended)
        }
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          complaint = (complaint + text).slice(-4000)
        })
        child.stdin.on("error", () => {})
        child.on("error", (error) => end(error.message))
        child.on("close", (code, signal) => end(`the process ended with ${signal ?? code}: ${tail(complaint)}`))
        createInterface(child.stdout).on("line", (line) => waiting?.(line, ""))
        const ask = (request: object) =>
          Effect.callback<Answer, WorkerError>((resume) => {
            const fail = (message: string) => resume(Effect.fail(new WorkerError({ side, message })))
            if (ended !== undefined) return fail(ended)
            waiting = (line, reason) => {
              waiting = undefined
              if (pausing) child.kill("SIGSTOP")
              if (line === undefined) return fail(reason)
              const answer = JSON.parse(line) as Answer
              if (answer.error !== undefined) return fail(answer.error)
              resume(Effect.succeed(answer))
            }
            if (pausing) child.kill("SIGCONT")
            child.stdin.write(`${JSON.stringify(request)}\n`)
          })
        return { worker: { side, ask }, child }
      }),
      ({ child }) =>
        Effect.callback<void>((done) => {
          if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return done(Effect.void)
          child.once("close", () => done(Effect.void))
          child.kill("SIGKILL")
        })
    ),
    ({ worker }) => worker
  )
