/**
 * All runs, newest first; two of them can be taken to be looked at together.
 *
 * @since 0.1.0
 */
import { useState } from "preact/hooks"
import type { RunSummary, Runs as RunsAnswer, StageState } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { wordOf } from "./collapse.ts"
import { Answered, Empty } from "./notice.tsx"
import { counted, duration, moment } from "./quantity.ts"
import { go, href, route, show } from "./route.ts"

const PAGE = 50
const LOOK = 3_000

/** A state as a word with its colour. */
export const State = ({ state }: { readonly state: StageState | RunSummary["state"] }) => (
  <span class={`state tone-${state}`}>{wordOf(state)}</span>
)

/** Settings that are shown of a run that has none to compare with. */
const MOST = 6

/** What was set: of a run with one of its pipeline before it, what that one had otherwise. */
const Settings = ({ before, run }: { readonly before: RunSummary | undefined; readonly run: RunSummary }) => {
  const { settings } = run
  const other = settings.filter(
    ({ path, value }) => !before?.settings.some((each) => each.path === path && each.value === value)
  )
  const shown = (before === undefined ? settings : other).slice(0, MOST)
  const rest = settings.length - shown.length
  return settings.length === 0 ? (
    <span class="faint">defaults</span>
  ) : (
    <ul class="chips">
      {shown.map(({ path, value }) => (
        <li key={path} title={`${path}=${value}`}>
          {path}=<b>{value}</b>
        </li>
      ))}
      {rest === 0 ? null : (
        <li class="faint" title={settings.map(({ path, value }) => `${path}=${value}`).join("\n")}>
          {rest} {shown.length === 0 ? "as before" : before === undefined ? "more" : "as before"}
        </li>
      )}
    </ul>
  )
}

/** The view of all runs. */
export const Runs = () => {
  const offset = Number(route.value.query["offset"] ?? 0)
  const asked = useAnswer<RunsAnswer>(`runs?offset=${offset}&limit=${PAGE}`, LOOK)
  const [taken, setTaken] = useState<ReadonlyArray<string>>([])
  const take = (run: string, on: boolean) =>
    setTaken((old) => (on ? [...old.slice(-1), run] : old.filter((each) => each !== run)))
  return (
    <>
      <header class="head">
        <h1>Runs</h1>
        <span class="spread" />
        <button
          type="button"
          disabled={taken.length !== 2}
          title="Take two runs first"
          onClick={() => go(href("curves", taken[0], { with: taken[1] }))}
        >
          Compare curves{taken.length > 0 ? ` (${taken.length} of 2)` : ""}
        </button>
      </header>
      <Answered asked={asked}>
        {({ runs, total }) =>
          total === 0 ? (
            <Empty>
              <p>Nothing has run in this store yet.</p>
              <p class="faint">
                <code>ptmflow run pipelines/chatgpt.ts</code> makes a run; it shows here while it goes on.
              </p>
            </Empty>
          ) : (
            <>
              <div class="scroll">
                <table class="list">
                  <thead>
                    <tr>
                      <th scope="col">
                        <span class="hidden">Take to compare</span>
                      </th>
                      <th scope="col">State</th>
                      <th scope="col">Run</th>
                      <th scope="col">Pipeline</th>
                      <th scope="col">Started</th>
                      <th scope="col" class="number">
                        Took
                      </th>
                      <th scope="col" class="number">
                        Stages
                      </th>
                      <th scope="col">Set</th>
                    </tr>
                  </thead>
                  <tbody>
                    {runs.map((run, at) => (
                      <tr key={run.run}>
                        <td>
                          <input
                            type="checkbox"
                            aria-label={`Take ${run.run} to compare`}
                            checked={taken.includes(run.run)}
                            onChange={(event) => take(run.run, event.currentTarget.checked)}
                          />
                        </td>
                        <td>
                          <State state={run.state} />
                        </td>
                        <td>
                          <a class="code nowrap" href={href("run", run.run)}>
                            {run.run}
                          </a>
                        </td>
                        <td>{run.pipeline}</td>
                        <td class="nowrap">{moment(run.time)}</td>
                        <td class="number">{duration(run.seconds)}</td>
                        <td class="number">
                          {run.stages}
                          <span class="faint">
                            {run.ran > 0 ? `, ${run.ran} ran` : ""}
                            {run.failed > 0 ? `, ${run.failed} failed` : ""}
                          </span>
                        </td>
                        <td>
                          <Settings
                            run={run}
                            before={runs.slice(at + 1).find(({ pipeline }) => pipeline === run.pipeline)}
                          />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {total > PAGE ? (
                <nav class="pages" aria-label="Pages of runs">
                  <button
                    type="button"
                    disabled={offset === 0}
                    onClick={() => show({ offset: String(Math.max(offset - PAGE, 0)) })}
                  >
                    Newer
                  </button>
                  <span class="faint">
                    {offset + 1} to {Math.min(offset + PAGE, total)} of {counted(total, "run")}
                  </span>
                  <button
                    type="button"
                    disabled={offset + PAGE >= total}
                    onClick={() => show({ offset: String(offset + PAGE) })}
                  >
                    Older
                  </button>
                </nav>
              ) : null}
            </>
          )
        }
      </Answered>
    </>
  )
}
