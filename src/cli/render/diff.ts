/**
 * The differences of two artifacts as lines.
 *
 * @since 0.1.0
 */
import type { ArtifactDiff } from "../../executor/diff.ts"
import type { Made } from "../../lineage/ledger.ts"
import { countRows, rangesText } from "../../operator/row-ranges.ts"
import { decimal } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut } from "./width.ts"

const named = ({ artifact, port, stage }: Made): string => `${stage}.${port} ${artifact.digest.slice(0, 12)}`

const shown = (value: number | undefined): string => (value === undefined ? "-" : decimal(value))

/** Of each table how many rows only one of the two saw, and which. */
const seenLines = (seen: ArtifactDiff["rows"], { columns, style }: View): ReadonlyArray<string> => {
  if (seen === undefined)
    return ["", style.faint("rows that one saw and the other did not are known no more: their trace is gone")]
  if (seen.length === 0) return []
  const rows = seen.map(({ by, other, rows, total, ...table }) => {
    const of = total === undefined ? "" : ` of ${total}`
    const note = other ? "  (the other saw none of this table)" : ""
    return [
      `only the ${by === "a" ? "first" : "second"}`,
      named(table),
      `${countRows(rows)}${of}`,
      `${rangesText(rows)}${note}`
    ] as const
  })
  const widths = [0, 1, 2].map((i) => Math.max(0, ...rows.map((row) => row[i]!.length)))
  return [
    "",
    style.faint("rows that one saw and the other did not"),
    ...rows.map(([by, table, count, which]) =>
      cut(`${by.padEnd(widths[0]!)}  ${table.padEnd(widths[1]!)}  ${count.padStart(widths[2]!)}  ${which}`, columns)
    )
  ]
}

/** Both names, the causes with the stage that has each, and the metrics beside each other. */
export const diffLines = (
  a: Made,
  b: Made,
  { causes, metrics, rows: seen, same }: ArtifactDiff,
  { columns, style }: View
): ReadonlyArray<string> => {
  const head = `${named(a)} -> ${named(b)}`
  if (same) return [head, "They are the same, byte for byte."]
  const stages = causes.map((cause) => (cause.a === cause.b ? cause.b : `${cause.a} -> ${cause.b}`))
  const wide = Math.max(0, ...stages.map(({ length }) => length))
  const nothing = "What made them is the same in all that is recorded."
  const rows = metrics.map(({ a, b, name }) => {
    const change = a === undefined || b === undefined ? "" : `${b > a ? "+" : ""}${decimal(b - a)}`
    return [name, shown(a), shown(b), change]
  })
  const widths = [0, 1, 2, 3].map((i) => Math.max(0, ...rows.map((row) => row[i]!.length)))
  return [
    cut(head, columns),
    "",
    ...(causes.length === 0
      ? [nothing]
      : causes.map(({ message }, i) => cut(`${stages[i]!.padEnd(wide)}  ${message}`, columns))),
    ...seenLines(seen, { columns, style }),
    ...(rows.length === 0 ? [] : ["", style.faint("metrics")]),
    ...rows.map(([name, ...values]) =>
      cut(
        `${name!.padEnd(widths[0]!)}  ${values.map((value, i) => value.padStart(widths[i + 1]!)).join("  ")}`,
        columns
      ).trimEnd()
    )
  ]
}
