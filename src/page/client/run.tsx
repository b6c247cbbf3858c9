/**
 * One run: its graph with the state of each stage, its stages as a list, and its curves.
 *
 * @since 0.1.0
 */
import { useMemo, useState } from "preact/hooks"
import type { Run, StageView } from "../answers.ts"
import { about, Ways } from "./artifact.tsx"
import { collapse, firstMode, type Mode, stateOf, tally } from "./collapse.ts"
import { CurveSheets } from "./curves.tsx"
import { Graph, type GraphNode } from "./graph.tsx"
import { useRun } from "./live.ts"
import { Answered } from "./notice.tsx"
import { counted, duration, figure, moment } from "./quantity.ts"
import { href, route, show } from "./route.ts"
import { State } from "./runs.tsx"

const share = ({ state, step, steps }: StageView): number | undefined =>
  state === "running" && step !== null && steps !== null && steps > 0 ? Math.min(step / steps, 1) : undefined

const noteOf = (stage: StageView): string => {
  const done = share(stage)
  if (done !== undefined) return `${figure(stage.step)} of ${figure(stage.steps)}`
  return stage.state === "ran" || stage.state === "reused" ? `${stage.state} · ${duration(stage.seconds)}` : stage.state
}

const nodeOf = (id: string, label: string, stages: ReadonlyArray<StageView>): GraphNode => {
  const [first] = stages
  if (stages.length === 1 && first !== undefined) {
    const done = share(first)
    const parts = done === undefined ? [] : ([["running", done]] as const)
    return {
      id,
      label,
      note: noteOf(first),
      tone: first.state,
      parts,
      title: `${label}, ${first.operator}: ${noteOf(first)}`
    }
  }
  const counts = tally(stages)
  const words = counts.map(([state, count]) => `${count} ${state}`).join(", ")
  const parts = counts.map(([state, count]) => [state, count / stages.length] as const)
  return { id, label, note: words, tone: stateOf(stages), parts, title: `${label}: ${words}` }
}

const Detail = ({ run, stage }: { readonly run: Run; readonly stage: StageView }) => (
  <aside class="panel" aria-label={`Stage ${stage.stage}`}>
    <header>
      <h2>{stage.stage}</h2>
      <State state={stage.state} />
      <span class="spread" />
      <button type="button" aria-label="Close" onClick={() => show({ stage: undefined })}>
        ×
      </button>
    </header>
    <dl>
      <dt>operator</dt>
      <dd class="code">{stage.operator}</dd>
      {stage.time === null ? null : (
        <>
          <dt>started</dt>
          <dd>{moment(stage.time)}</dd>
        </>
      )}
      <dt>took</dt>
      <dd>{duration(stage.seconds)}</dd>
      {stage.step === null ? null : (
        <>
          <dt>step</dt>
          <dd>
            {figure(stage.step)} {stage.steps === null ? "" : `of ${figure(stage.steps)}`}
          </dd>
        </>
      )}
      {stage.key === null ? null : (
        <>
          <dt>key</dt>
          <dd class="code">{stage.key.slice(0, 16)}</dd>
        </>
      )}
    </dl>
    {stage.message === null ? null : <pre class={stage.state === "failed" ? "bad" : ""}>{stage.message}</pre>}
    {stage.reasons.length === 0 ? null : (
      <>
        <h3>Why it ran</h3>
        <ul class="plain">
          {stage.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      </>
    )}
    {Object.keys(stage.metrics).length === 0 ? null : (
      <>
        <h3>Metrics</h3>
        <table class="figures">
          <tbody>
            {Object.entries(stage.metrics).map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="number">{figure(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </>
    )}
    {Object.keys(stage.inputs).length === 0 ? null : (
      <>
        <h3>Takes</h3>
        <ul class="plain">
          {Object.entries(stage.inputs).map(([port, from]) => (
            <li key={port}>
              {port} ←{" "}
              <a href={href("run", run.run, { ...route.value.query, stage: from.stage })}>
                {from.stage}.{from.port}
              </a>
            </li>
          ))}
        </ul>
      </>
    )}
    {stage.artifacts.length === 0 ? null : (
      <>
        <h3>Gave</h3>
        <ul class="plain">
          {stage.artifacts.map((artifact) => (
            <li key={artifact.port}>
              <b>{artifact.port}</b> <span class="faint">{about(artifact)}</span>
              <br />
              <Ways artifact={artifact} />
            </li>
          ))}
        </ul>
      </>
    )}
  </aside>
)

const modes: ReadonlyArray<readonly [Mode, string]> = [
  ["none", "every stage"],
  ["name", "by name"],
  ["layer", "by layer"]
]

const Dag = ({ run }: { readonly run: Run }) => {
  const { query } = route.value
  // What a person sees first depends on how many there are
  const first = useMemo(() => firstMode(run.detail), [run.run, run.detail.length])
  const mode = modes.find(([name]) => name === query["group"])?.[0] ?? first
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const { edges, groups } = collapse(run.detail, mode, open)
  const chosen = query["stage"] ?? ""
  const group = groups.find(({ id, stages }) => id === chosen || stages.some(({ stage }) => stage === chosen))
  const stage = run.detail.find(({ stage }) => stage === chosen)
  return (
    <div class="split">
      <Graph
        label={`Stages of ${run.pipeline}`}
        nodes={groups.map(({ id, label, stages }) => nodeOf(id, label, stages))}
        edges={edges}
        chosen={group?.id ?? ""}
        start={groups.find(({ stages }) => ["failed", "running", "stopped"].includes(stateOf(stages)))?.id}
        onChoose={(id) => {
          const taken = groups.find((group) => group.id === id)
          if (taken === undefined) return
          if (taken.stages.length === 1) show({ stage: taken.stages[0]!.stage })
          else setOpen((old) => new Set([...old, id]))
        }}
      >
        <label>
          Show{" "}
          <select
            value={mode}
            onChange={(event) => {
              setOpen(new Set())
              show({ group: event.currentTarget.value })
            }}
          >
            {modes.map(([name, words]) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
          </select>
        </label>
        {open.size === 0 ? null : (
          <button type="button" onClick={() => setOpen(new Set())}>
            Close groups
          </button>
        )}
      </Graph>
      {stage === undefined ? null : <Detail run={run} stage={stage} />}
    </div>
  )
}

const List = ({ run }: { readonly run: Run }) => (
  <div class="split">
    <div class="scroll">
      <table class="list">
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Stage</th>
            <th scope="col">Operator</th>
            <th scope="col" class="number">
              Took
            </th>
            <th scope="col">Metrics</th>
          </tr>
        </thead>
        <tbody>
          {run.detail.map((stage) => (
            <tr key={stage.stage}>
              <td>
                <State state={stage.state} />
              </td>
              <td>
                <a href={href("run", run.run, { ...route.value.query, stage: stage.stage })}>{stage.stage}</a>
              </td>
              <td class="code">{stage.operator}</td>
              <td class="number">{duration(stage.seconds)}</td>
              <td class="faint">
                {Object.entries(stage.metrics)
                  .slice(0, 4)
                  .map(([name, value]) => `${name} ${figure(value)}`)
                  .join(" · ")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
    {run.detail
      .filter(({ stage }) => stage === route.value.query["stage"])
      .map((stage) => (
        <Detail key={stage.stage} run={run} stage={stage} />
      ))}
  </div>
)

const tabs: ReadonlyArray<readonly [string, string]> = [
  ["", "Graph"],
  ["stages", "Stages"],
  ["curves", "Curves"]
]

/** The view of one run. */
export const RunView = () => {
  const { id, query } = route.value
  const asked = useRun(id)
  const tab = query["tab"] ?? ""
  return (
    <Answered asked={asked}>
      {({ run, series, version }) => (
        <>
          <header class="head">
            <h1>
              {run.pipeline} <span class="code faint">{run.run}</span>
            </h1>
            <State state={run.state} />
            <span class="faint" role="status">
              {tally(run.detail)
                .map(([state, count]) => `${count} ${state}`)
                .join(" · ")}{" "}
              of {counted(run.stages, "stage")}
              {run.seconds === null ? "" : ` · ${duration(run.seconds)}`}
            </span>
            <span class="spread" />
            <nav class="tabs" aria-label="Views of the run">
              {tabs.map(([name, words]) => (
                <a
                  key={name}
                  href={href("run", id, { ...query, tab: name })}
                  aria-current={tab === name ? "page" : undefined}
                >
                  {words}
                </a>
              ))}
            </nav>
          </header>
          {tab === "curves" ? (
            <CurveSheets first={{ name: run.run, series }} version={version} />
          ) : tab === "stages" ? (
            <List run={run} />
          ) : (
            <Dag run={run} />
          )}
        </>
      )}
    </Answered>
  )
}
