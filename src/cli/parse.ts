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
import { printErrors, printLines, viewOf } from "./output.ts"
import { failureLines } from "./render/failure.ts"
import { helpLines } from "./render/help.ts"

const presenter: CliOutput.Presenter = {
  present: (event) => {
    switch (event._tag) {
      case "Help":
        return printLines(helpLines(event.helpDoc, viewOf(process.stdout)))
      case "Version":
        return printLines([event.version])
      case "InvalidInvocation":
        return printErrors(event.errors.flatMap((error) => usageLines(error, event.commandPath)))
    }
  }
}

const usageLines = (error: NonShowHelpErrors, path: ReadonlyArray<string>) => {
  const near = "suggestions" in error ? error.suggestions : []
  const [message = ""] = error.message.trim().split("\n\n")
  const next = near.length > 0 ? `Did you mean ${near.join(" or ")}?` : `See ${path.join(" ")} --help`
  return failureLines({ message: message.replace("subcommand", "command"), place: "", next }, viewOf(process.stderr))
}

const services = Layer.mergeAll(
  NodeServices.layer,
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, completions] }),
  CliOutput.layerPresenter(presenter)
)

/** Runs the command that `args` name. Wrong arguments have been told when this fails. */
export const parse = (args: ReadonlyArray<string>, version: string): Effect.Effect<void, unknown> =>
  Effect.provide(Command.runWith(ptmflow, { version })(args), services)
