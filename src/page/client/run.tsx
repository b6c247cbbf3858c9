/**
 * One run: its graph with the state of each stage, its stages as a list, and its curves.
 *
 * @since 0.1.0
 */
import { useState } from "preact/hooks"
import type { Run, StageDetail, StageView } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { about, Ways } from "./artifact.tsx"
import { tally, wordOf } from "./collapse.ts"
import { CurveSheets } from "./curves.tsx"
import { Dag } from "./dag.tsx"
import { useRun } from "./live.ts"
import { Answered, Problem } from "./notice.tsx"
import { Panel, Reasons, Takes } from "./panel.tsx"
import { Parameters } from "./parameters.tsx"
import { counted, duration, figure, moment } from "./quantity.ts"
import { href, route } from "./route.ts"
import { State } from "./runs.tsx"

/** Which run made the result, and on what. */
const MadeBy = ({ detail, run }: { readonly detail: StageDetail; readonly run: Run }) => {
  const { made, stage } = detail
  return made === null ? null : (
    <>
      <dt>made by</dt>
      <dd>
        {made.run === run.run ? (
          "this run"
        ) : (
          <a class="code" href={href("run", made.run, { stage: made.stage })}>
            {made.run}
          </a>
        )}
        {made.stage === stage ? "" : `, as ${made.stage}`}
        {made.run === run.run ? "" : `, ${moment(made.time)}`}
      </dd>
      {made.device === null ? null : (
        <>
          <dt>on</dt>
          <dd>{made.device}</dd>
        </>
      )}
    </>
  )
}

/** What is known of one stage of a run. */
export const StagePanel = ({ run, stage }: { readonly run: Run; readonly stage: StageView }) => {
  // Asked anew when the stage's state changes.
  const query = new URLSearchParams({ name: stage.stage, state: stage.state })
  const { error, value } = useAnswer<StageDetail>(`runs/${run.run}/stage?${query}`)
  const detail = value?.stage === stage.stage ? value : undefined
  const { artifacts = [], params = {}, reasons = [] } = detail ?? {}
  return (
    <Panel name={stage.stage} state={stage.state}>
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
        {detail === undefined ? null : <MadeBy detail={detail} run={run} />}
      </dl>
      {error === undefined ? null : <Problem error={error} />}
      {stage.message === null ? null : <pre class={stage.state === "failed" ? "bad" : ""}>{stage.message}</pre>}
      <Reasons heading="Why it ran" reasons={reasons} />
      {artifacts.length === 0 ? null : (
        <>
          <h3>Gave</h3>
          <ul class="plain">
            {artifacts.map((artifact) => (
              <li key={artifact.port}>
                <b>{artifact.port}</b> <span class="faint">{about(artifact)}</span>
                <br />
                <Ways artifact={artifact} />
              </li>
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
      <Takes inputs={stage.inputs} hrefOf={(stage) => href("run", run.run, { ...route.value.query, stage })} />
      <Parameters json={params} />
    </Panel>
  )
}

/** Stages that are listed at once. */
const LISTED = 500

const List = ({ run }: { readonly run: Run }) => {
  const [most, setMost] = useState(LISTED)
  return (
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
            {run.detail.slice(0, most).map((stage) => (
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
        {run.detail.length <= most ? null : (
          <p>
            <button type="button" onClick={() => setMost(most + LISTED)}>
              More of {counted(run.detail.length, "stage")}
            </button>
          </p>
        )}
      </div>
      {run.detail
        .filter(({ stage }) => stage === route.value.query["stage"])
        .map((stage) => (
          <StagePanel key={stage.stage} run={run} stage={stage} />
        ))}
    </div>
  )
}

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
                .map(([state, count]) => `${count} ${wordOf(state)}`)
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
            <Dag label={`Stages of ${run.pipeline}`} stages={run.detail}>
              {(stage) => <StagePanel run={run} stage={stage} />}
            </Dag>
          )}
        </>
      )}
    </Answered>
  )
}
