/**
 * Which rows were seen, as lines.
 *
 * @since 0.1.0
 */
import type { Made } from "../../lineage/ledger.ts"
import type { RowSeen, SeenTable } from "../../lineage/seen.ts"
import { countRows, type RowRanges, rangesText } from "../../operator/row-ranges.ts"
import { shortDigest } from "./artifact.ts"
import { count } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut } from "./width.ts"

const nameOf = ({ port, stage }: Made): string => `${stage}.${port}`

const rowsText = (rows: RowRanges): string => `${countRows(rows) === 1 ? "row" : "rows"} ${rangesText(rows)}`

/** The row, what it became, and the checkpoints that saw it, nearest first. */
export const rowSeenLines = (seen: RowSeen, { columns, style }: View): ReadonlyArray<string> => {
  const { became, checkpoints, row, table, unknown } = seen
  const say = (text: string) => cut(text, columns).trimEnd()
  const sightings = checkpoints.flatMap((each) => {
    const head = `● ${style.strong(nameOf(each))}  ${style.name(shortDigest(each.artifact.digest))}`
    const learned = each.learned.map(({ of = 0, port, rows, updates }) => {
      if (rows === undefined || updates === undefined) return `  learned from it, through ${port}`
      return `  learned from ${port} ${rowsText(rows)}, ${countRows(updates)} of ${count(of, "update")}: ${rangesText(updates)}`
    })
    const through =
      each.through.length === 0 ? [] : [`  through ${each.through.map((from) => nameOf(from)).join(", ")}`]
    return [say(head), ...[...learned, ...through].map((text) => say(style.faint(text)))]
  })
  return [
    say(`${style.strong(`${nameOf(table)} row ${row}`)}  ${style.name(shortDigest(table.artifact.digest))}`),
    ...became.map((each) => say(style.faint(`  became ${nameOf(each)} ${rowsText(each.rows)}`))),
    ...unknown.map((each) =>
      say(style.due(`  may be in ${nameOf(each)}, which does not say where its rows come from`))
    ),
    ...(checkpoints.length === 0 ? ["No checkpoint learned from it."] : sightings)
  ]
}

/** Tables with how many of their rows were seen, and which. */
export const seenTableLines = (
  made: Made,
  not: Made | undefined,
  tables: ReadonlyArray<SeenTable>,
  { columns, style }: View
): ReadonlyArray<string> => {
  const name = (of: Made) => `${nameOf(of)} ${shortDigest(of.artifact.digest)}`
  const head = not === undefined ? `${name(made)} saw` : `${name(made)} saw, and ${name(not)} did not`
  const rows = tables.map(({ rows, total, ...table }) => {
    const of = total === undefined ? "" : ` of ${total}`
    return [
      `${nameOf(table)} ${shortDigest(table.artifact.digest)}`,
      `${countRows(rows)}${of}`,
      rangesText(rows)
    ] as const
  })
  const widths = [0, 1].map((i) => Math.max(0, ...rows.map((row) => row[i]!.length)))
  return [
    cut(style.strong(head), columns),
    ...rows.map(([table, counts, ranges]) =>
      cut(`  ${table.padEnd(widths[0]!)}  ${counts.padStart(widths[1]!)}  ${style.faint(ranges)}`, columns)
    ),
    ...(rows.length === 0 ? [not === undefined ? "  no rows that are recorded" : "  no row"] : [])
  ]
}
