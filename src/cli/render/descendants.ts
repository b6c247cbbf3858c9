/**
 * What came from an artifact, as lines: nearest first.
 *
 * @since 0.1.0
 */
import type { Descendant, Made } from "../../lineage/ledger.ts"
import { shortDigest } from "./artifact.ts"
import { count } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, pad, width } from "./width.ts"

/** The artifact, then a line for each that came from it, with how many stages lie between. */
export const descendantLines = (
  made: Made,
  descendants: ReadonlyArray<Descendant>,
  { columns, style }: View
): ReadonlyArray<string> => {
  const name = ({ port, stage }: Made) => `${stage}.${port}`
  const names = Math.max(0, ...descendants.map((each) => width(name(each))))
  const kinds = Math.max(0, ...descendants.map(({ artifact }) => width(artifact.kind)))
  const digits = String(descendants.at(-1)?.distance ?? 0).length
  return [
    cut(
      `● ${style.strong(name(made))}  ${made.artifact.kind} ${style.name(shortDigest(made.artifact.digest))}`,
      columns
    ),
    ...(descendants.length === 0 ? [style.faint("  nothing was made from it")] : []),
    ...descendants.map((each, at) => {
      const { artifact, distance, operator } = each
      const bar = at === descendants.length - 1 ? "╰─" : "├─"
      const parts = [
        style.faint(`${bar} ${String(distance).padStart(digits)}`),
        pad(name(each), names),
        pad(artifact.kind, kinds),
        style.name(shortDigest(artifact.digest)),
        style.faint(operator)
      ]
      return cut(parts.join("  "), columns)
    }),
    ...(descendants.length === 0
      ? []
      : [style.faint(`   ${count(descendants.length, "artifact")}; the number is how many stages on`)])
  ]
}
