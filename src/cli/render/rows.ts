/**
 * Rows of a table as lines: each row's columns below each other, so that texts have room.
 *
 * @since 0.1.0
 */
import type { View } from "./view.ts"
import { cut, pad, printable, width } from "./width.ts"

/** One block for each row, its number (from 0) first. */
export const rowLines = (
  rows: ReadonlyArray<{ readonly [column: string]: unknown }>,
  { columns, style }: View
): ReadonlyArray<string> => {
  const names = Math.min(Math.max(0, ...rows.flatMap((row) => Object.keys(row).map(width))), Math.floor(columns / 3))
  const numbers = String(rows.length - 1).length
  return rows.flatMap((row, at) =>
    Object.entries(row).map(([name, value], column) => {
      const number = column === 0 ? String(at).padStart(numbers) : " ".repeat(numbers)
      const text = typeof value === "string" ? value : JSON.stringify(value)
      const shown = printable(text ?? "").replaceAll("\n", "⏎ ")
      return cut(`${style.strong(number)}  ${style.faint(pad(cut(name, names), names))}  ${shown}`, columns)
    })
  )
}
