/**
 * One chart: lines over a shared axis, drawn on a canvas.
 *
 * @since 0.1.0
 */
import { useEffect, useRef } from "preact/hooks"
import uPlot from "uplot"
import { figure } from "./quantity.ts"
import { theme } from "./theme.ts"

/** One line: points in order of x. `tone` is the class whose colour it has. */
export interface Line {
  readonly name: string
  readonly tone: string
  readonly points: ReadonlyArray<readonly [number, number]>
}

/** Points of a line that are drawn at most: of more, every n-th and the last. */
const MOST = 1_500

const thinned = (points: Line["points"]): uPlot.AlignedData => {
  const every = Math.ceil(points.length / MOST)
  const kept = points.filter((_, i) => i % every === 0 || i === points.length - 1)
  return [kept.map(([x]) => x), kept.map(([, y]) => y)]
}

const joined = (lines: ReadonlyArray<Line>): uPlot.AlignedData =>
  lines.length === 1 ? thinned(lines[0]!.points) : uPlot.join(lines.map(({ points }) => thinned(points)))

/** The colours of the page, as the canvas needs them: of text, of the grid, and of each line. */
const coloursOf = (element: HTMLElement, tones: ReadonlyArray<string>) => {
  const probe = document.createElement("i")
  element.append(probe)
  const colour = (name: string): string => {
    probe.className = name
    return getComputedStyle(probe).color
  }
  const found = { text: colour("ink-faint"), grid: colour("ink-grid"), lines: tones.map(colour) }
  probe.remove()
  return found
}

/** What tells a run from others in its name. */
export const shortName = (run: string): string => run.slice(-6)

const HEIGHT = 190

/** The chart. Its description is what a screen reader says of it. */
export const Plot = (props: {
  readonly title: string
  readonly axis: string
  readonly lines: ReadonlyArray<Line>
  readonly log: boolean
}) => {
  const { axis, lines, log, title } = props
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const shape = `${title} ${log} ${theme.value} ${lines.map(({ name, tone }) => `${name} ${tone}`).join()}`
  // Made anew where its shape changes; its data is set below
  useEffect(() => {
    const element = place.current!
    const colours = coloursOf(
      element,
      lines.map(({ tone }) => tone)
    )
    const font = "11px system-ui, sans-serif"
    const axes = { stroke: colours.text, font, ticks: { show: false }, grid: { stroke: colours.grid, width: 1 } }
    const made = new uPlot(
      {
        width: Math.max(element.clientWidth, 200),
        height: HEIGHT,
        padding: [10, 14, 0, 0],
        scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
        cursor: { points: { size: 6 }, drag: { x: true, y: false } },
        legend: { live: true },
        axes: [
          { ...axes, size: 26, gap: 4, values: (_, ticks) => ticks.map((tick) => figure(tick)) },
          { ...axes, size: 52, gap: 4, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : figure(tick))) }
        ],
        series: [
          { label: axis, value: (_, value) => (value === null ? "–" : figure(value)) },
          ...lines.map(({ name, points }, i) => ({
            label: shortName(name),
            stroke: colours.lines[i]!,
            width: 1.75,
            spanGaps: true,
            points: { show: points.length <= 40, size: 5 },
            value: (_: uPlot, value: number | null) => (value === null ? "–" : figure(value))
          }))
        ]
      },
      joined(lines),
      element
    )
    plot.current = made
    const watch = new ResizeObserver(() => made.setSize({ width: Math.max(element.clientWidth, 200), height: HEIGHT }))
    watch.observe(element)
    return () => {
      watch.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [shape])
  useEffect(() => plot.current?.setData(joined(lines)), [lines])
  const last = lines.map(
    ({ name, points }) => `${name}: ${figure(points.at(-1)?.[1])} at ${figure(points.at(-1)?.[0])}`
  )
  return (
    <figure class="plot">
      <figcaption>
        <b>{title}</b>
        {lines.map(({ name, points, tone }) => (
          <span key={name} class={`figure ${tone}`} title={name}>
            {figure(points.at(-1)?.[1])}
          </span>
        ))}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title} over ${axis}. Last values: ${last.join("; ")}`} />
    </figure>
  )
}
