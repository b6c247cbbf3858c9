/**
 * A pipeline's graph as lines: each stage after those it takes from, the rounds of a loop together.
 *
 * @since 0.1.0
 */
import { fitting } from "./metrics.ts"
import type { Block, Row } from "./outline.ts"
import type { View } from "./view.ts"
import { cut, pad, width } from "./width.ts"

/** What a line says of a row: a sign of one column, phrases at its end (as many as fit), and lines below it. */
export interface RowNote {
  readonly sign: string
  readonly end?: ReadonlyArray<string>
  readonly below?: ReadonlyArray<string>
}

/** `← sft then ppo, prompts`: from `sft` in the first round and `ppo` in those after it, and from `prompts`. */
const sources = (row: Row): string =>
  row.from.length === 0 ? "" : `← ${row.from.map((names) => names.join(" then ")).join(", ")}`

const bracket = (rows: number, at: number): string => (rows === 1 ? "╶" : at === 0 ? "╭" : at === rows - 1 ? "╰" : "│")

/** One line or more for each row. */
export const dagLines = (
  blocks: ReadonlyArray<Block>,
  note: (row: Row, block: Block) => RowNote,
  { columns, style }: View
): ReadonlyArray<string> => {
  const loops = blocks.some(({ rounds }) => rounds > 0)
  const lines = blocks.flatMap((block) =>
    block.rows.map((row, at) => {
      const { below = [], end = [], sign } = note(row, block)
      const times = row.stages.length > 1 ? `×${row.stages.length}` : ""
      const inLoop = block.rounds > 0
      return {
        name: row.name,
        from: sources(row),
        times,
        end,
        start: `${loops ? style.faint(inLoop ? bracket(block.rows.length, at) : " ") : ""} ${sign} `,
        below: below.map(
          (text) => `${loops ? style.faint(inLoop && at < block.rows.length - 1 ? "│" : " ") : ""}   ${text}`
        )
      }
    })
  )
  const widest = (texts: ReadonlyArray<string>) => Math.max(0, ...texts.map(width))
  const column = (text: string, columns: number) => (columns === 0 ? "" : `  ${pad(text, columns)}`)
  const startWidth = loops ? 4 : 3
  const names = Math.min(widest(lines.map(({ name }) => name)), Math.floor(columns / 3))
  const times = widest(lines.map(({ times }) => times))
  const ends = Math.min(widest(lines.map(({ end }) => end.join("  "))), Math.floor(columns / 2))
  const room = columns - startWidth - names - 2 - (times === 0 ? 0 : times + 2) - (ends === 0 ? 0 : ends + 2)
  const froms = Math.max(0, Math.min(widest(lines.map(({ from }) => from)), room))
  return lines.flatMap(({ below, end, from, name, start, ...line }) => {
    const text = [
      `${start}${pad(cut(name, names), names)}`,
      style.faint(column(cut(from, froms), froms)),
      column(line.times, times)
    ].join("")
    const beside = fitting(end, columns - width(text) - 2)
    return [
      cut(beside === "" ? text : `${text}  ${beside}`, columns).trimEnd(),
      ...below.map((text) => cut(text, columns))
    ]
  })
}
