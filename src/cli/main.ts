/**
 * Runs the command line: parses, calls the command, tells errors, and ends the process with its exit code.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Logger from "effect/Logger"
import { CurrentLoggers } from "effect/References"
import { makeRunMain } from "effect/Runtime"
import { failureOf, printFailure, tagOf, wantsJson } from "./failure.ts"
import { printErrors, viewOf } from "./output.ts"
import { quick } from "./quick.ts"
import { failureLines } from "./render/failure.ts"

/** What operators log goes to standard error: standard output is the command's. `Logger.make` would load streams and files, which may not be needed. */
const logger = {
  log: ({ logLevel, message }: Logger.Options<unknown>) => {
    const parts = Array.isArray(message) ? message : [message]
    const text = parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" ")
    process.stderr.write(`${logLevel.toLowerCase()}: ${text}\n`)
  }
} as Logger.Logger<unknown, void>

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** Milliseconds after which another Ctrl-C is a second one: one key press may arrive from the terminal and from npm. */
const patience = 1_000

const runMain = makeRunMain(({ fiber, teardown }) => {
  let stopped: { readonly code: number; readonly time: number } | undefined
  for (const [signal, code] of Object.entries(exitCodes)) {
    process.on(signal, () => {
      if (stopped === undefined) {
        stopped = { code, time: Date.now() }
        fiber.interruptUnsafe(fiber.id)
      } else if (Date.now() - stopped.time > patience) process.exit(code)
    })
  }
  fiber.addObserver((exit) => {
    teardown(exit, (code) =>
      process.exit(stopped !== undefined && Exit.isFailure(exit) ? stopped.code : code || (process.exitCode ?? 0))
    )
  })
})

/** The command, with what it needs loaded. */
const commandOf = async (args: ReadonlyArray<string>, version: string): Promise<Effect.Effect<void, unknown>> => {
  if (args[0] === "--complete") return (await import("./complete.ts")).complete(args.slice(1))
  const known = quick(args)
  if (known === undefined) return (await import("./parse.ts")).parse(args, version)
  if (known.command === "run") return (await import("./run.ts")).run(known.input)
  return (await import("./plan.ts")).plan(known.input)
}

/** Runs the command that `args` name, and exits. */
export const main = (args: ReadonlyArray<string>, version: string): void => {
  const options = args.slice(0, args.includes("--") ? args.indexOf("--") : args.length)
  const debug = options.includes("--debug")
  const json = wantsJson(options)
  if (options.includes("--no-color")) process.env["NO_COLOR"] = "1"
  // A reader that has seen enough, such as head, is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 141 : 1))

  const tell = (cause: Cause.Cause<unknown>) => {
    // Wrong arguments have been told by the presenter, and failed stages by the run's own lines.
    const tag = tagOf(cause)
    const told = tag === "ShowHelp" || (tag === "RunError" && !debug)
    if (Cause.hasInterruptsOnly(cause) || told) return Effect.void
    const failure = failureOf(cause, process.cwd())
    const lines = debug ? [Cause.pretty(cause)] : failureLines(failure, viewOf(process.stderr))
    return Effect.andThen(json ? printFailure(tag, failure) : Effect.void, printErrors(lines))
  }
  const program: Effect.Effect<void, unknown> = Effect.promise(() => commandOf(args, version)).pipe(
    Effect.flatten,
    Effect.tapCause(tell),
    Effect.provideService(CurrentLoggers, new Set([logger]))
  )
  runMain(program, { disableErrorReporting: true })
}
