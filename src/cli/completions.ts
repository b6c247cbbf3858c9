/**
 * `ptmflow --completions <shell>`: a script with which a shell completes commands, flags and their values, the paths of files, and by asking
 * `ptmflow --complete` the names of runs, artifacts and stages.
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

/** What a shell does where effect's script, a function that is `_ptmflow_known` then, knows nothing. */
const asking: { readonly [shell: string]: string } = {
  bash: `_ptmflow()
{
  _ptmflow_known "$@"
  local _word="\${COMP_WORDS[COMP_CWORD]}" _words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  [[ \${#COMPREPLY[@]} -gt 0 || "$_word" == -* ]] && return
  COMPREPLY=( $(compgen -W "$(eval 'ptmflow --complete "\${_words[@]}"' 2>/dev/null)" -- "$_word") )
}
`,
  zsh: `_ptmflow() {
  local -a typed=("\${(@)words[2,CURRENT]}") names
  local insert="$compstate[insert]" list="$compstate[list]"
  _ptmflow_known "$@"
  (( compstate[nmatches] > 0 )) && return 0
  names=("\${(@f)$(eval 'ptmflow --complete "\${(@)typed}"' 2>/dev/null)}")
  [[ -n "$names[1]" ]] || return 1
  compstate[insert]="$insert" compstate[list]="$list"
  compadd -a names
}
`,
  fish: `function __ptmflow_names
  set -l words (commandline -opc) (commandline -ct)
  ptmflow --complete $words[2..-1] 2>/dev/null
end
complete -c ptmflow -n 'not __fish_use_subcommand; and not string match -q -- "-*" (commandline -ct)' -f -a '(__ptmflow_names)'
`
}

/** Puts that before what calls the function. */
const withAsking = (shell: string, script: string): string => {
  const renamed = script.replace(/^_ptmflow\(\)/m, "_ptmflow_known()")
  return renamed.replace(/^(?=complete -F |# Handle both |###-end)/m, () => asking[shell] ?? "")
}

/** The flag that prints the script. */
export const completions = GlobalFlag.Action({
  flag: GlobalFlag.Completions.flag,
  run: (shell, { command }) => {
    if (Option.isNone(shell)) return printLines([])
    const descriptor = withPaths(Completions.fromCommand(command))
    return printLines([withAsking(shell.value, Completions.generate(command.name, shell.value, descriptor))])
  }
})
