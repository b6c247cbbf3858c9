/**
 * The page: its views, and the way from one to another.
 *
 * @since 0.1.0
 */
import "uplot/dist/uPlot.min.css"
import "./page.css"
import type { FunctionComponent } from "preact"
import { render } from "preact"
import { useEffect, useRef } from "preact/hooks"
import { away } from "./answer.ts"
import { CurvesView } from "./curves.tsx"
import { DiffView } from "./diff.tsx"
import { LineageView } from "./lineage.tsx"
import { Empty } from "./notice.tsx"
import { PlanView } from "./plan.tsx"
import { PlaygroundView } from "./playground.tsx"
import { RolloutsView } from "./rollouts.tsx"
import { href, route } from "./route.ts"
import { RunView } from "./run.tsx"
import { Runs } from "./runs.tsx"
import { TableView } from "./table.tsx"
import { themes, wish } from "./theme.ts"
import { VerifyView } from "./verify.tsx"

/** Views by the first word of their address; those with a name are in the menu. */
const views: { readonly [view: string]: readonly [FunctionComponent, string] } = {
  plan: [PlanView, "Pipeline"],
  runs: [Runs, "Runs"],
  run: [RunView, ""],
  curves: [CurvesView, "Curves"],
  lineage: [LineageView, "Lineage"],
  diff: [DiffView, "Diff"],
  verify: [VerifyView, "Verify"],
  table: [TableView, "Tables"],
  rollouts: [RolloutsView, "Rollouts"],
  play: [PlaygroundView, "Playground"]
}

const Nowhere = () => (
  <Empty>
    There is no such view. <a href={href("runs")}>All runs</a>
  </Empty>
)

const Page = () => {
  const { id, view } = route.value
  const main = useRef<HTMLElement>(null)
  const first = useRef(true)
  const [View, name] = views[view] ?? [Nowhere, ""]
  // Another view, another place to read from
  useEffect(() => {
    document.title = `${name || (view === "run" ? id : "Nowhere")} · ptmflow`
    if (!first.current) main.current?.focus({ preventScroll: true })
    first.current = false
    scrollTo(0, 0)
  }, [view, id])
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        To the content
      </button>
      <header class="top">
        <a class="brand" href={href("runs")}>
          ptmflow
        </a>
        <nav aria-label="Views">
          {Object.entries(views).map(([each, [, words]]) =>
            words === "" ? null : (
              <a
                key={each}
                href={href(each)}
                aria-current={each === view || (each === "runs" && view === "run") ? "page" : undefined}
              >
                {words}
              </a>
            )
          )}
        </nav>
        <span class="spread" />
        <label>
          <span class="hidden">Colours</span>
          <select
            value={wish.value}
            onChange={(event) => {
              wish.value = themes.find((each) => each === event.currentTarget.value) ?? "auto"
            }}
          >
            {themes.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      </header>
      <main id="main" ref={main} tabIndex={-1} class={`view-${view}`}>
        {away.value ? (
          <div class="notice bad" role="alert">
            <p>ptmflow serve does not answer.</p>
            <p class="faint">
              If it was stopped, start it again at the same port. This page looks for it and goes on by itself; what is
              below is as it was.
            </p>
          </div>
        ) : null}
        <View key={view} />
      </main>
    </>
  )
}

render(<Page />, document.getElementById("page")!)
