/**
 * How two artifacts differ: the fewest causes, and the metrics beside each other.
 *
 * @since 0.1.0
 */

import { useState } from "preact/hooks"
import type { ArtifactView, ChangeView, Diff, RowsApart, RunArtifacts, Runs } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { about, referenceOf, Ways } from "./artifact.tsx"
import { Answered, Empty } from "./notice.tsx"
import { counted, figure } from "./quantity.ts"
import { href, route, show } from "./route.ts"

/** One of the two: an output of a run. */
const Side = (props: {
  readonly label: string
  readonly value: string
  readonly runs: Runs | undefined
  readonly number: number
  readonly onChoose: (reference: string) => void
}) => {
  const { label, number, onChoose, runs, value } = props
  const [chosen, setChosen] = useState("")
  const run = chosen || runs?.runs[Math.min(number, runs.runs.length - 1)]?.run || ""
  const asked = useAnswer<RunArtifacts>(run === "" ? "" : `runs/${run}/artifacts?limit=1000`)
  const artifacts = asked.value?.artifacts ?? []
  const known = artifacts.some((artifact) => referenceOf(artifact) === value)
  return (
    <fieldset>
      <legend>{label}</legend>
      <label>
        run{" "}
        <select value={run} onChange={(event) => setChosen(event.currentTarget.value)}>
          {(runs?.runs ?? []).map((each) => (
            <option key={each.run} value={each.run}>
              {each.run} · {each.pipeline}
            </option>
          ))}
        </select>
      </label>
      <label>
        artifact{" "}
        <select value={known ? value : ""} onChange={(event) => onChoose(event.currentTarget.value)}>
          <option value="">{value === "" || known ? "choose one" : "(of another run)"}</option>
          {artifacts.map((artifact) => (
            <option key={artifact.name} value={referenceOf(artifact)}>
              {artifact.name} · {artifact.kind}
            </option>
          ))}
        </select>
      </label>
    </fieldset>
  )
}

const Change = ({ change }: { readonly change: ChangeView }) => (
  <li>
    <span class="kind">{change.kind}</span>
    <div>
      <p>
        <b>{change.stage}</b>{" "}
        {change.from === null && change.to === null ? change.message : <span class="code">{change.place}</span>}
      </p>
      {change.from === null && change.to === null ? null : (
        <p class="change">
          <del>{change.from ?? "(absent)"}</del>
          <span aria-hidden="true">→</span>
          <ins>{change.to ?? "(absent)"}</ins>
        </p>
      )}
    </div>
  </li>
)

const Which = ({ artifact, name }: { readonly artifact: ArtifactView; readonly name: string }) => (
  <div class="which">
    <b>{name}</b> {artifact.name} <span class="faint">{about(artifact)}</span>{" "}
    <span class="code faint">{artifact.digest.slice(0, 12)}</span> <Ways artifact={artifact} except="diff" />
  </div>
)

/** Ranges are cut where they are many: `ptmflow seen a --not b` has all of them. */
const LONG = 300

const Alone = ({ name, tables }: { readonly name: string; readonly tables: RowsApart["a"] }) => (
  <>
    <h3>{tables.length === 0 ? `None that ${name} saw alone` : `Seen by ${name} alone`}</h3>
    <ul class="plain">
      {tables.map(({ artifact, rows }) => (
        <li key={referenceOf(artifact)}>
          <a href={href("table", referenceOf(artifact))}>{artifact.name}</a>{" "}
          <span class="code faint">{artifact.digest.slice(0, 12)}</span> {counted(rows.count, "row")}:{" "}
          {rows.ranges.length > LONG ? `${rows.ranges.slice(0, LONG)}…` : rows.ranges}
        </li>
      ))}
    </ul>
  </>
)

/** Rows that one of two checkpoints saw and the other did not. */
const Rows = ({ a, b }: { readonly a: string; readonly b: string }) => (
  <section aria-label="Rows seen">
    <h2>Rows</h2>
    <Answered asked={useAnswer<RowsApart>(`rows-apart?${new URLSearchParams({ a, b })}`)}>
      {(rows) => (
        <>
          <Alone name="A" tables={rows.a} />
          <Alone name="B" tables={rows.b} />
        </>
      )}
    </Answered>
  </section>
)

const Result = ({ diff }: { readonly diff: Diff }) => (
  <>
    <Which artifact={diff.a} name="A" />
    <Which artifact={diff.b} name="B" />
    <h2>{diff.same ? "They are the same, byte for byte" : counted(diff.causes.length, "difference")}</h2>
    {diff.same || diff.causes.length > 0 ? null : (
      <Empty>
        What made them is the same in all that is recorded: one of them was made where the same key gave another result.
      </Empty>
    )}
    <ol class="changes">
      {diff.causes.map((change) => (
        <Change key={`${change.stage} ${change.kind} ${change.place} ${change.message}`} change={change} />
      ))}
    </ol>
    {diff.same || diff.a.kind !== "checkpoint" || diff.b.kind !== "checkpoint" ? null : (
      <Rows a={referenceOf(diff.a)} b={referenceOf(diff.b)} />
    )}
    {diff.metrics.length === 0 ? null : (
      <>
        <h2>Metrics</h2>
        <div class="aside">
          <table class="figures">
            <thead>
              <tr>
                <th scope="col">metric</th>
                <th scope="col" class="number">
                  A
                </th>
                <th scope="col" class="number">
                  B
                </th>
                <th scope="col" class="number">
                  B − A
                </th>
              </tr>
            </thead>
            <tbody>
              {diff.metrics.map(({ a, b, name }) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td class="number">{figure(a)}</td>
                  <td class="number">{figure(b)}</td>
                  <td class="number">{a === null || b === null ? "–" : `${b > a ? "+" : ""}${figure(b - a)}`}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </>
    )}
  </>
)

/** The view of a diff. */
export const DiffView = () => {
  const { a = "", b = "" } = route.value.query
  const runs = useAnswer<Runs>("runs?limit=100")
  const asked = useAnswer<Diff>(a === "" || b === "" ? "" : `diff?${new URLSearchParams({ a, b })}`)
  return (
    <>
      <header class="head">
        <h1>Diff</h1>
        <span class="spread" />
        <button type="button" disabled={a === "" && b === ""} onClick={() => show({ a: b, b: a })}>
          Swap
        </button>
      </header>
      <div class="sides">
        <Side label="A" value={a} runs={runs.value} number={1} onChoose={(reference) => show({ a: reference })} />
        <Side label="B" value={b} runs={runs.value} number={0} onChoose={(reference) => show({ b: reference })} />
      </div>
      {a === "" || b === "" ? (
        <Empty>
          Choose two artifacts: two checkpoints of one stage in two runs, say, or two rounds of a loop.{" "}
          <a href={href("lineage")}>Lineage</a> leads here too.
        </Empty>
      ) : (
        <Answered asked={asked}>{(diff) => <Result diff={diff} />}</Answered>
      )}
    </>
  )
}
