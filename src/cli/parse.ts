/**
 * The parser of all commands: takes arguments apart, and tells usage errors, help and the version.
 *
 * @since 0.1.0
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import type { NonShowHelpErrors } from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ptmflow } from "./commands.ts"
import { completions } from "./completions.ts"
import { printFailure, wantsJson } from "./failure.ts"
import { printErrors, printLines, viewOf } from "./output.ts"
import { type Failure, failureLines } from "./render/failure.ts"
import { helpLines } from "./render/help.ts"

const presenterOf = (json: boolean): CliOutput.Presenter => ({
  present: (event) => {
    switch (event._tag) {
      case "Help":
        return printLines(helpLines(event.helpDoc, viewOf(process.stdout)))
      case "Version":
        return printLines([event.version])
      case "InvalidInvocation":
        return Effect.forEach(
          event.errors.map((error) => usageFailure(error, event.commandPath)),
          (failure) =>
            Effect.andThen(
              json ? printFailure("UsageError", failure) : Effect.void,
              printErrors(failureLines(failure, viewOf(process.stderr)))
            ),
          { discard: true }
        )
    }
  }
})

const usageFailure = (error: NonShowHelpErrors, path: ReadonlyArray<string>): Failure => {
  const near = "suggestions" in error ? error.suggestions : []
  const [message = ""] = error.message.trim().split("\n\n")
  const next = near.length > 0 ? `Did you mean ${near.join(" or ")}?` : `See ${path.join(" ")} --help`
  return { message: message.replace("subcommand", "command"), place: "", next }
}

const servicesOf = (json: boolean) =>
  Layer.mergeAll(
    NodeServices.layer,
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, completions] }),
    CliOutput.layerPresenter(presenterOf(json))
  )

/** Runs the command that `args` name. Wrong arguments have been told when this fails. */
export const parse = (args: ReadonlyArray<string>, version: string): Effect.Effect<void, unknown> =>
  Effect.provide(Command.runWith(ptmflow, { version })(args), servicesOf(wantsJson(args)))
