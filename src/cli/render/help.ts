/**
 * Help of a command as lines: what it does, how it is called, examples; two columns, wrapped to the terminal.
 *
 * @since 0.1.0
 */
import type { FlagDoc, HelpDoc } from "effect/cli/HelpDoc"
import * as Option from "effect/Option"
import type { View } from "./view.ts"
import { pad, width, wrap } from "./width.ts"

/** What `--help` prints. */
export const helpLines = (doc: HelpDoc, view: View): ReadonlyArray<string> => {
  const { style } = view
  const columns = Math.min(view.columns, 100)
  const commands = (doc.subcommands ?? []).flatMap((group) => group.commands)
  const sections: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["", wrap(doc.description, columns)],
    ["Usage", [`  ${doc.usage.replace("<subcommand>", "<command>")}`]],
    [
      "Commands",
      table(
        commands.map(({ description, name, shortDescription }) => [name, shortDescription ?? description]),
        columns,
        view
      )
    ],
    [
      "Arguments",
      table(
        (doc.args ?? []).map(({ description, name }) => [name, Option.getOrElse(description, () => "")]),
        columns,
        view
      )
    ],
    ["Flags", table(doc.flags.map(flagRow), columns, view)],
    [
      "Flags of every command",
      table([...(doc.inheritedFlags ?? []), ...(doc.globalFlags ?? [])].map(flagRow), columns, view)
    ],
    [
      "Examples",
      (doc.examples ?? []).flatMap(({ command, description }) => [
        `  ${style.name(command)}`,
        ...(description === undefined ? [] : wrap(description, columns - 6)).map((line) => style.faint(`      ${line}`))
      ])
    ]
  ]
  return sections
    .filter(([, lines]) => lines.length > 0)
    .flatMap(([title, lines], at) => [
      ...(at === 0 ? [] : [""]),
      ...(title === "" ? [] : [style.strong(title)]),
      ...lines
    ])
}

const flagRow = ({ aliases, description, name, type }: FlagDoc): readonly [string, string] => [
  `${[...aliases, `--${name}`].join(", ")}${type === "boolean" ? "" : ` ${type}`}`,
  Option.getOrElse(description, () => "")
]

const table = (
  rows: ReadonlyArray<readonly [string, string]>,
  columns: number,
  { style }: View
): ReadonlyArray<string> => {
  const names = Math.min(Math.max(0, ...rows.map(([name]) => width(name))), 28)
  return rows.flatMap(([name, text]) => {
    const lines = wrap(text, columns - names - 4)
    const head = `  ${style.name(pad(name, names))}`
    if (width(name) > names) return [`  ${style.name(name)}`, ...lines.map((line) => `${" ".repeat(names + 4)}${line}`)]
    return lines.map((line, at) => (at === 0 ? `${head}  ${line}`.trimEnd() : `${" ".repeat(names + 4)}${line}`))
  })
}
