/**
 * What `doctor` found, as lines.
 *
 * @since 0.1.0
 */
import type { View } from "./view.ts"
import { pad, width, wrap } from "./width.ts"

/**
 * One thing that was looked at: `missing` where ptmflow cannot do without it, `poor` where it can, `absent` where that is no loss. `todo` says what
 * helps.
 */
export interface Finding {
  readonly name: string
  readonly state: "ok" | "poor" | "missing" | "absent"
  readonly found: string
  readonly todo: string
}

/** A sign, the name, what was found, and below it what to do. */
export const findingLines = (findings: ReadonlyArray<Finding>, { columns, style }: View): ReadonlyArray<string> => {
  const names = Math.max(...findings.map(({ name }) => width(name)))
  const signs = { ok: style.good("✓"), poor: style.due("!"), missing: style.bad("✗"), absent: style.faint("–") }
  const room = columns - names - 5
  const indent = " ".repeat(names + 5)
  return findings.flatMap(({ found, name, state, todo }) => {
    const [first = "", ...rest] = wrap(found, room)
    return [
      ` ${signs[state]} ${style.strong(pad(name, names))}  ${first}`,
      ...rest.map((line) => `${indent}${line}`),
      ...(todo === "" ? [] : wrap(todo, room).map((line) => `${indent}${style.due(line)}`))
    ]
  })
}
