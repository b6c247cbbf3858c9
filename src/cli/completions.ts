/**
 * `ptmflow --completions <shell>`: a script with which a shell completes commands, flags and their values, and the paths of files.
 *
 * @since 0.1.0
 */
import * as Completions from "effect/cli/Completions"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Option from "effect/Option"
import { printLines } from "./output.ts"

/** Values that are paths. They are read as texts, so that errors say them as they were typed. */
const paths: { readonly [name: string]: "file" | "directory" } = {
  pipeline: "file",
  folder: "directory",
  store: "directory",
  remote: "directory"
}

const withPath = <P extends Completions.ArgumentDescriptor | Completions.FlagDescriptor>(each: P): P => {
  const pathType = paths[each.name]
  return pathType === undefined || each.type._tag !== "String" ? each : { ...each, type: { _tag: "Path", pathType } }
}

const withPaths = (command: Completions.CommandDescriptor): Completions.CommandDescriptor => ({
  ...command,
  arguments: command.arguments.map(withPath),
  flags: command.flags.map(withPath),
  subcommands: command.subcommands.map(withPaths)
})

/** The flag that prints the script. */
export const completions = GlobalFlag.Action({
  flag: GlobalFlag.Completions.flag,
  run: (shell, { command }) => {
    if (Option.isNone(shell)) return printLines([])
    const descriptor = withPaths(Completions.fromCommand(command))
    return printLines([Completions.generate(command.name, shell.value, descriptor)])
  }
})
