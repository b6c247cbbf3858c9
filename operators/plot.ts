/**
 * Plots for reports: a Vega-Lite chart as SVG, drawn without a browser, the same text for the same numbers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { TopLevelSpec } from "vega-lite"
import type { Plot } from "./report.ts"

/** One point; `low` and `high`, where all points have them, are an interval around `y`. */
export interface Point {
  readonly series: string
  readonly x: number
  readonly y: number
  readonly low?: number
  readonly high?: number
}

/** `mark` (default "line"): a line through each series' points in the order of x, with the points on it, or the points alone. */
export interface PlotOptions {
  readonly name: string
  readonly title: string
  readonly x: string
  readonly y: string
  readonly mark?: "line" | "point"
}

/** Draws series of points on two linear axes. */
export const plot = (points: ReadonlyArray<Point>, options: PlotOptions): Effect.Effect<Plot> => {
  const { mark = "line", name, title, x, y } = options
  const series = [...new Set(points.map((point) => point.series))]
  const color = { field: "series", type: "nominal", sort: series, title: null } as const
  const horizontal = { field: "x", type: "quantitative", title: x, scale: { zero: false } } as const
  const vertical = { field: "y", type: "quantitative", title: y, scale: { zero: false } } as const
  const bounded = points.length > 0 && points.every(({ high, low }) => low !== undefined && high !== undefined)
  const spec: TopLevelSpec = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title,
    width: 480,
    height: 300,
    background: "white",
    data: { values: points.map((point) => ({ ...point })) },
    layer: [
      ...(bounded
        ? [
            {
              mark: { type: "errorbar", ticks: true } as const,
              encoding: { x: horizontal, y: { ...vertical, field: "low" }, y2: { field: "high" }, color }
            }
          ]
        : []),
      {
        mark: mark === "line" ? { type: "line", point: true } : { type: "point", filled: true },
        encoding: { x: horizontal, y: vertical, color }
      }
    ]
  }
  return Effect.promise(async () => {
    const [vega, lite] = await Promise.all([import("vega"), import("vega-lite")])
    const view = new vega.View(vega.parse(lite.compile(spec).spec), { renderer: "none", logLevel: vega.Error })
    const svg = await view.toSVG()
    view.finalize()
    return { name, title, svg }
  })
}
