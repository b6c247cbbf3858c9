/**
 * Draws the rows of the growth group: `npx node bench/plot.ts FILE.json FILE.svg`. Columns are what doubles, rows are milliseconds a step,
 * tokens a second and peak memory; both axes are logarithmic. Dashed: what the model's FLOPs (first row) or a growth in proportion
 * (third row) would make of the first point.
 */
import { readFileSync, writeFileSync } from "node:fs"
import * as Schema from "effect/Schema"
import { isMeasured, Report, type Row } from "./result.ts"
import { median } from "./spread.ts"
import { short } from "./table.ts"

interface Point {
  readonly x: number
  readonly y: number
  readonly expected: number | null
}

interface Panel {
  readonly heading: string
  readonly points: ReadonlyArray<Point>
}

const width = 178
const height = 120
const gap = { x: 62, y: 44 }
const margin = { left: 64, top: 58, right: 24, bottom: 34 }

const measures: ReadonlyArray<{
  readonly heading: string
  readonly value: (row: Row, seconds: number, bytes: number) => number
  readonly expected: (first: Row, row: Row, x: number) => number | null
}> = [
  { heading: "ms a step", value: (_, seconds) => 1000 * seconds, expected: (first, row) => row.flops! / first.flops! },
  { heading: "tokens/s", value: (row, seconds) => row.units / seconds, expected: () => null },
  { heading: "peak memory, MB", value: (_row, _seconds, bytes) => bytes / 1e6, expected: (_first, _row, x) => x }
]

const panels = (rows: ReadonlyArray<Row>): ReadonlyArray<ReadonlyArray<Panel>> => {
  const measured = rows.filter((row) => row.name.startsWith("growth/") && isMeasured(row.ours))
  const axes = [...new Set(measured.map((row) => row.name.split("/")[1]!))]
  return measures.map(({ expected, heading, value }) =>
    axes.map((axis) => {
      const along = measured.filter((row) => row.name.split("/")[1] === axis)
      const at = (row: Row) => Number(row.name.split("/")[2])
      const of = (row: Row) => (isMeasured(row.ours) ? value(row, median(row.ours.values), row.ours.bytes) : Number.NaN)
      const first = along[0]!
      return {
        heading: `${heading} by ${axis}`,
        points: along.map((row) => {
          const growth = expected(first, row, at(row) / at(first))
          return { x: at(row), y: of(row), expected: growth === null ? null : growth * of(first) }
        })
      }
    })
  )
}

/** Whole powers of `base` that enclose the values. */
const decades = (values: ReadonlyArray<number>, base: number): readonly [number, number] => [
  base ** Math.floor(Math.log(Math.min(...values)) / Math.log(base) + 1e-9),
  base ** Math.ceil(Math.log(Math.max(...values)) / Math.log(base) - 1e-9)
]

const draw = ({ heading, points }: Panel, left: number, top: number, range: readonly [number, number]): string => {
  const [low, high] = range
  const [first, last] = [points[0]!.x, points.at(-1)!.x]
  const x = (value: number) => left + (width * Math.log(value / first)) / Math.log(last / first)
  const y = (value: number) => top + height - (height * Math.log(value / low)) / Math.log(high / low)
  const path = (values: ReadonlyArray<readonly [number, number]>) =>
    values.map(([px, py], i) => `${i === 0 ? "M" : "L"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("")
  const parts = [`<text x="${left}" y="${top - 8}" class="heading">${heading}</text>`]
  const ticks = Math.round(Math.log10(high / low))
  for (let i = 0; i <= ticks; i++) {
    const value = low * 10 ** i
    parts.push(`<line x1="${left}" x2="${left + width}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/>`)
    parts.push(
      `<text x="${left - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${short(value).replace(/\.0+/, "")}</text>`
    )
  }
  for (const point of points) {
    parts.push(`<text x="${x(point.x).toFixed(1)}" y="${top + height + 15}" text-anchor="middle">${point.x}</text>`)
  }
  const expected = points.flatMap((point) => (point.expected === null ? [] : [[point.x, point.expected] as const]))
  if (expected.length > 0) parts.push(`<path d="${path(expected)}" class="expected"/>`)
  parts.push(`<path d="${path(points.map((point) => [point.x, point.y]))}" class="measured"/>`)
  for (const [i, point] of points.entries()) {
    const anchor = i === 0 ? "start" : i === points.length - 1 ? "end" : "middle"
    parts.push(`<circle cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="3"/>`)
    parts.push(
      `<text x="${x(point.x).toFixed(1)}" y="${(y(point.y) - 7).toFixed(1)}" text-anchor="${anchor}" class="value">${short(point.y)}</text>`
    )
  }
  return parts.join("\n")
}

/** The whole figure; panels of a row share their scale. */
export const plot = (report: Report): string => {
  const grid = panels(report.rows)
  const columns = grid[0]?.length ?? 0
  const full = {
    width: margin.left + columns * (width + gap.x) - gap.x + margin.right,
    height: margin.top + grid.length * (height + gap.y) - gap.y + margin.bottom
  }
  const drawn = grid.flatMap((row, j) => {
    const all = row.flatMap(({ points }) => points.flatMap((point) => [point.y, point.expected ?? point.y]))
    const range = decades(all, 10)
    return row.map((panel, i) =>
      draw(panel, margin.left + i * (width + gap.x), margin.top + j * (height + gap.y), range)
    )
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${full.width} ${full.height}" width="${full.width}" height="${full.height}" font-family="sans-serif" font-size="11" fill="#444">
<style>line{stroke:#ddd}path{fill:none}circle,.measured{stroke:#1668b8;stroke-width:2}circle{fill:#fff}.expected{stroke:#999;stroke-width:1.5;stroke-dasharray:4 3}.heading{font-weight:bold;fill:#222}.title{font-size:13px;fill:#222}.value{fill:#1668b8;paint-order:stroke;stroke:#fff;stroke-width:3px}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${margin.left}" y="24" class="title">A training step of "small" as one of its sizes doubles (${report.threads} threads, ${report.date.slice(0, 10)}); dashed: in proportion to the model's FLOPs, or to the size</text>
${drawn.join("\n")}
</svg>
`
}

if (import.meta.main) {
  const [source, target] = process.argv.slice(2)
  if (source === undefined || target === undefined) throw new Error("npx node bench/plot.ts FILE.json FILE.svg")
  const report = Schema.decodeUnknownSync(Report)(JSON.parse(readFileSync(source, "utf8")))
  writeFileSync(target, plot(report))
}
