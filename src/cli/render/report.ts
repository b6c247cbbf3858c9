/**
 * A report as lines: its figures as an aligned table, then each prompt with the answers of every checkpoint.
 *
 * @since 0.1.0
 */
import type { Figure, Report, Sample } from "../../../operators/report.ts"
import type { View } from "./view.ts"
import { cut, pad, padStart, printable, width, wrap } from "./width.ts"

/** The report's title, figures and samples. */
export const reportLines = (report: Report, view: View): ReadonlyArray<string> => {
  const { columns, style } = view
  const title = ` ${printable(report.title)} `
  return [
    cut(
      `${style.faint("──")}${style.strong(title)}${style.faint("─".repeat(Math.max(0, columns - width(title) - 2)))}`,
      columns
    ),
    ...(report.figures.length === 0 ? [] : figureLines(report.figures, view)),
    ...report.samples.flatMap((sample) => ["", ...sampleLines(sample, view)])
  ]
}

/** Three decimals; whole numbers as they are, very small and very large ones with an exponent. */
const number = (value: number): string => {
  if (!Number.isFinite(value) || Number.isInteger(value)) return String(value)
  const size = Math.abs(value)
  return size >= 1e-3 && size < 1e7 ? value.toFixed(3) : value.toExponential(2)
}

const figureLines = (figures: ReadonlyArray<Figure>, { columns, style }: View): ReadonlyArray<string> => {
  const rows = figures.map(({ name, note = "", unit = "", value }) => {
    const [whole, rest] = number(value).split(/(?=\.)/)
    return { name: printable(name), whole: whole!, rest: rest ?? "", unit: printable(unit), note: printable(note) }
  })
  const widest = (texts: ReadonlyArray<string>) => Math.max(...texts.map(width))
  const wholes = widest(rows.map(({ whole }) => whole))
  const rests = widest(rows.map(({ rest }) => rest))
  const units = widest(rows.map(({ unit }) => unit))
  const names = Math.min(widest(rows.map(({ name }) => name)), columns - wholes - rests - units - 6)
  const start = names + wholes + rests + units + 8
  const besideValue = columns - start >= 24
  const noteRoom = besideValue ? columns - start : columns - 6
  return rows.flatMap(({ name, note, rest, unit, whole }) => {
    const value = style.strong(padStart(whole, wholes) + pad(rest, rests))
    const line = `  ${pad(cut(name, names), names)}  ${value}  ${pad(unit, units)}`
    const [first = "", ...others] = note === "" ? [] : wrap(note, noteRoom).map(style.faint)
    if (besideValue) return [`${line}  ${first}`.trimEnd(), ...others.map((text) => `${" ".repeat(start)}${text}`)]
    return [
      cut(line, columns).trimEnd(),
      ...[first, ...others].filter((text) => text !== "").map((text) => `      ${text}`)
    ]
  })
}

const sampleLines = ({ answers, prompt }: Sample, { columns, style }: View): ReadonlyArray<string> => {
  const names = Math.min(Math.max(0, ...answers.map(({ checkpoint }) => width(checkpoint))), Math.floor(columns / 3))
  return [
    ...wrap(printable(prompt), columns - 2).map((line) => `  ${style.strong(line)}`),
    ...answers.flatMap(({ answer, checkpoint }) =>
      wrap(printable(answer).trim(), columns - names - 6).map(
        (line, at) => `    ${style.name(pad(at === 0 ? cut(checkpoint, names) : "", names))}  ${line}`
      )
    )
  ]
}
