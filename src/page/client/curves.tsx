/**
 * The curves of a run, by family of stages and metric, with those of another run over them.
 *
 * @since 0.1.0
 */
import { useMemo, useState } from "preact/hooks"
import type { Runs } from "../answers.ts"
import type { Growing } from "../progress.ts"
import { useAnswer } from "./answer.ts"
import { familyOf } from "./family.ts"
import { useRun } from "./live.ts"
import { Answered, Empty, Problem } from "./notice.tsx"
import { type Line, Plot, shortName } from "./plot.tsx"
import { figure } from "./quantity.ts"
import { go, href, route } from "./route.ts"

/** The metrics of a run. */
interface Metrics {
  readonly name: string
  readonly series: ReadonlyMap<string, Growing>
}

/** The values of a metric in a family, by run. */
interface Sheet {
  readonly family: string
  readonly metric: string
  readonly axis: string
  readonly lines: ReadonlyArray<Line>
}

const tones = ["line-0", "line-1"] as const

/** A family's points in order: over steps where it is one stage; else over rounds, with the steps between them. */
const pointsOf = (members: ReadonlyArray<readonly [Growing, number | null]>): Line["points"] => {
  const rounds = members.length > 1
  return members
    .toSorted(([, a], [, b]) => (a ?? 0) - (b ?? 0))
    .flatMap(([{ points }, round]) =>
      points.map(([step, steps, value], i): readonly [number, number] => {
        if (!rounds) return [step ?? i + 1, value]
        const done = step !== null && steps !== null && steps > 0 ? step / steps : (i + 1) / points.length
        return [(round ?? 1) - 1 + done, value]
      })
    )
    .toSorted(([a], [b]) => a - b)
}

const sheetsOf = (runs: ReadonlyArray<Metrics>): ReadonlyArray<Sheet> => {
  const sheets = new Map<
    string,
    { family: string; metric: string; members: Array<Array<readonly [Growing, number | null]>> }
  >()
  runs.forEach(({ series }, at) => {
    for (const each of series.values()) {
      const { name, round } = familyOf(each.stage)
      const id = `${name}\n${each.metric}`
      const sheet = sheets.get(id) ?? { family: name, metric: each.metric, members: runs.map(() => []) }
      sheets.set(id, sheet)
      sheet.members[at]!.push([each, round])
    }
  })
  return [...sheets.values()].map(({ family, members, metric }) =>
    aligned({
      family,
      metric,
      axis: members.some((each) => each.length > 1) ? "round" : "step",
      lines: members.flatMap((each, at) =>
        each.length === 0 ? [] : [{ name: runs[at]!.name, tone: tones[at]!, points: pointsOf(each) }]
      )
    })
  )
}

/** The value that a stage of which there is no more ended with lies where the other run's ends. */
const aligned = ({ lines, ...sheet }: Sheet): Sheet => {
  const ends = lines.flatMap(({ points }) => (points.length > 1 ? [points.at(-1)![0]] : []))
  const end = ends[0]
  if (end === undefined || sheet.axis !== "step") return { ...sheet, lines }
  return {
    ...sheet,
    lines: lines.map((line) =>
      line.points.length === 1 ? { ...line, points: [[Math.max(line.points[0]![0], end), line.points[0]![1]]] } : line
    )
  }
}

/** What to draw a chart of: a single value is a figure. */
const isCurve = ({ lines }: Sheet): boolean => lines.some(({ points }) => points.length > 1)

const Figures = ({
  names,
  sheets
}: {
  readonly names: ReadonlyArray<string>
  readonly sheets: ReadonlyArray<Sheet>
}) => (
  <div class="scroll">
    <table class="figures">
      {names.length < 2 ? null : (
        <thead>
          <tr>
            <th scope="col">metric</th>
            {names.map((name, at) => (
              <th key={name} scope="col" class={`number ${tones[at]}`} title={name}>
                {shortName(name)}
              </th>
            ))}
          </tr>
        </thead>
      )}
      <tbody>
        {sheets.map(({ lines, metric }) => (
          <tr key={metric}>
            <th scope="row">{metric}</th>
            {names.map((name) => (
              <td key={name} class="number">
                {figure(lines.find((line) => line.name === name)?.points.at(-1)?.[1])}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  </div>
)

/** All curves of one run, or of two; `version` says that there are new values. */
export const CurveSheets = (props: {
  readonly first: Metrics
  readonly second?: Metrics | undefined
  readonly version: number
}) => {
  const { first, second, version } = props
  const [sought, setSought] = useState("")
  const [log, setLog] = useState(false)
  const runs = second === undefined ? [first] : [first, second]
  const names = runs.map(({ name }) => name)
  // Series grow in place, and version says when
  const sheets = useMemo(() => sheetsOf(runs), [version, names.join()])
  const wanted = sought.trim().toLowerCase()
  const shown = sheets.filter(({ family, metric }) => `${family} ${metric}`.toLowerCase().includes(wanted))
  const families = [...new Set(shown.map(({ family }) => family))]
  return (
    <section class="curves" aria-label="Curves">
      <div class="bar">
        <input
          type="search"
          placeholder="Filter metrics"
          aria-label="Filter metrics"
          value={sought}
          onInput={(event) => setSought(event.currentTarget.value)}
        />
        <label>
          <input type="checkbox" checked={log} onChange={(event) => setLog(event.currentTarget.checked)} /> logarithmic
        </label>
        <span class="spread" />
        {second === undefined ? (
          <a href={href("curves", first.name)}>Lay another run over it</a>
        ) : (
          names.map((name, at) => (
            <span key={name} class={`key ${tones[at]}`}>
              {name}
            </span>
          ))
        )}
      </div>
      {sheets.length === 0 ? (
        <Empty>
          <p>No stage has reported a metric.</p>
          <p class="faint">Curves are kept of runs of `ptmflow run` in which a stage ran.</p>
        </Empty>
      ) : null}
      {families.map((family) => {
        const of = shown.filter((sheet) => sheet.family === family)
        const charts = of.filter(isCurve)
        const single = of.filter((sheet) => !isCurve(sheet))
        return (
          <section key={family} aria-label={family}>
            <h2>{family}</h2>
            <div class="sheets">
              {charts.map((sheet) => (
                <Plot
                  key={sheet.metric}
                  title={sheet.metric}
                  axis={sheet.axis}
                  lines={sheet.lines}
                  log={log && sheet.lines.every(({ points }) => points.every(([, y]) => y > 0))}
                />
              ))}
              {single.length === 0 ? null : <Figures names={names} sheets={single} />}
            </div>
          </section>
        )
      })}
    </section>
  )
}

/** The view of one run's curves over another's. */
export const CurvesView = () => {
  const { id, query } = route.value
  const other = query["with"] ?? ""
  const runs = useAnswer<Runs>("runs?limit=100")
  const newest = runs.value?.runs[0]?.run ?? ""
  const first = useRun(id || newest)
  const second = useRun(other)
  const choice = (label: string, value: string, none: boolean, to: (run: string) => string) => (
    <label>
      {label}{" "}
      <select value={value} onChange={(event) => go(to(event.currentTarget.value))}>
        {none ? <option value="">none</option> : null}
        {(runs.value?.runs ?? []).map(({ pipeline, run }) => (
          <option key={run} value={run}>
            {run} · {pipeline}
          </option>
        ))}
      </select>
    </label>
  )
  return (
    <>
      <header class="head">
        <h1>Curves</h1>
        <span class="spread" />
        {choice("of", id || newest, false, (run) => href("curves", run, query))}
        {choice("over it", other, true, (run) => href("curves", id || newest, { ...query, with: run }))}
      </header>
      <Answered asked={runs}>
        {({ total }) => (total === 0 ? <Empty>Nothing has run in this store yet.</Empty> : null)}
      </Answered>
      {second.error === undefined ? null : <Problem error={second.error} />}
      <Answered asked={first}>
        {({ run, series, version }) => (
          <CurveSheets
            first={{ name: run.run, series }}
            second={
              second.value === undefined || second.value.run.run === run.run
                ? undefined
                : { name: second.value.run.run, series: second.value.series }
            }
            version={version * 100_000 + (second.value?.version ?? 0)}
          />
        )}
      </Answered>
    </>
  )
}
