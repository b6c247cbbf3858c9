/** A report as a table, for a terminal and in Markdown. */
import { isMeasured, type NotMeasured, type Report, type Row, type Sample } from "./result.ts"
import { median, ratio, type Spread } from "./spread.ts"

/** Three significant digits, thousands as "k": 68.6k, 480, 3.21. */
export const short = (value: number): string => {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`
  if (value >= 1e4) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)}k`
  if (value >= 1e3) return `${(value / 1e3).toFixed(2)}k`
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

/** Units of work a second, or the bytes or seconds in the row's unit. */
export const rate = (row: Row, sample: Sample): number =>
  row.quantity === "seconds" ? row.units / median(sample.values) : row.units * median(sample.values)

/** Ours over the peer's: of rates ("how many times as fast"), which are the inverse of times, or of bytes. Null where a side was not measured. */
export const ratioOf = ({ ours, peer, quantity }: Row): Spread | null => {
  if (peer === null || !isMeasured(ours) || !isMeasured(peer.sample)) return null
  return quantity === "bytes" ? ratio(ours.values, peer.sample.values) : ratio(peer.sample.values, ours.values)
}

/** Share of the FMA peak of all threads that a side's model FLOPs are (model FLOP utilisation), or null. */
export const utilisation = (row: Row, side: Sample | NotMeasured, peak: number, threads: number): number | null =>
  row.flops === null || !isMeasured(side) ? null : row.flops / median(side.values) / (peak * threads)

/** Whether the row reaches its target; null without one, or not measured. */
export const reached = (row: Row, peak: number, threads: number): boolean | null => {
  if (row.target === null) return null
  if (row.target.kind === "most") return isMeasured(row.ours) ? rate(row, row.ours) <= row.target.value : null
  const value = row.target.kind === "share" ? utilisation(row, row.ours, peak, threads) : (ratioOf(row)?.median ?? null)
  if (value === null) return null
  return row.target.kind === "memory" ? value <= row.target.value : value >= row.target.value
}

const headings = ["work", "ptmflow", "peer", "ratio (least to most)", "target", "of FMA peak", "peak memory, GB"]

const percent = (share: number | null) => (share === null ? "-" : `${(100 * share).toFixed(0)}%`)

const cellsOf = (row: Row, { peak, threads }: Report): ReadonlyArray<string> => {
  const side = (sample: Sample | NotMeasured) =>
    isMeasured(sample) ? `${short(rate(row, sample))} ${row.unit}` : "not measured"
  const found = ratioOf(row)
  const one = found === null || found.least === found.most
  const span = found === null || one ? "" : ` (${found.least.toFixed(2)} to ${found.most.toFixed(2)})`
  const sign = { ratio: ">= ", memory: "<= ", share: ">= ", most: "<= " }
  const met = reached(row, peak, threads)
  const target = row.target === null ? "-" : sign[row.target.kind] + row.target.value
  const sides = row.peer === null ? [row.ours] : [row.ours, row.peer.sample]
  const gigabytes = (sample: Sample | NotMeasured) =>
    isMeasured(sample) && sample.bytes > 0 ? (sample.bytes / 1e9).toFixed(2) : "-"
  return [
    row.work,
    side(row.ours),
    row.peer === null
      ? "-"
      : isMeasured(row.peer.sample)
        ? `${row.peer.name}: ${side(row.peer.sample)}${row.peer.sample.variant === "" ? "" : ` (${row.peer.sample.variant})`}`
        : `${row.peer.name}: not measured`,
    found === null ? "-" : `${found.median.toFixed(2)}${span}`,
    met === null ? target : `${target}${met ? ", reached" : ", missed"}`,
    row.flops === null ? "-" : sides.map((sample) => percent(utilisation(row, sample, peak, threads))).join(" / "),
    sides.map(gigabytes).join(" / ")
  ]
}

/** Why sides were not measured. */
const reasons = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  rows.flatMap(({ name, ours, peer }) => [
    ...(isMeasured(ours) ? [] : [`${name}, ptmflow: ${ours.notMeasured}`]),
    ...(peer === null || isMeasured(peer.sample) ? [] : [`${name}, ${peer.name}: ${peer.sample.notMeasured}`])
  ])

const about = (report: Report): ReadonlyArray<string> => {
  const { commit, date, machine, peak, threads, versions } = report
  const found = Object.values(versions).join(", ")
  return [
    `${machine.processor} (${machine.instructions}), ${machine.cores} cores, ${(machine.memory / 1e9).toFixed(0)} GB, ${machine.system}; ${found}`,
    `${date}, commit ${commit}, \`${report.command}\`; ${threads} threads; FMA peak ${(peak / 1e9).toFixed(1)} GFLOP/s a thread`
  ]
}

/** For a terminal. */
export const text = (report: Report): string => {
  const cells = [headings, ...report.rows.map((row) => cellsOf(row, report))]
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd()
  )
  return [...about(report), "", ...lines, "", ...reasons(report.rows)].join("\n").trimEnd()
}

/** In Markdown. */
export const markdown = (report: Report): string => {
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [
    ...about(report).flatMap((each) => [each, ""]),
    line(headings),
    line(headings.map(() => "---")),
    ...report.rows.map((row) => line(cellsOf(row, report))),
    "",
    ...reasons(report.rows).map((reason) => `- ${reason}`),
    ""
  ].join("\n")
}
