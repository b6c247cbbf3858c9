/**
 * The pipeline that is worked on: what a run would do and why, kept up to date; while a run of it goes on, that run.
 *
 * @since 0.1.0
 */
import type { PlanView as PlanAnswer, PlanStage } from "../answers.ts"
import { post, useFollowed } from "./answer.ts"
import { tally, wordOf } from "./collapse.ts"
import { Dag } from "./dag.tsx"
import { useRun } from "./live.ts"
import { Answered, Empty, Problem } from "./notice.tsx"
import { Panel, Reasons, Takes } from "./panel.tsx"
import { counted, duration, moment } from "./quantity.ts"
import { href, route } from "./route.ts"
import { StagePanel } from "./run.tsx"
import { State } from "./runs.tsx"

const Detail = ({ stage }: { readonly stage: PlanStage }) => (
  <Panel name={stage.stage} state={stage.state}>
    <dl>
      <dt>operator</dt>
      <dd class="code">{stage.operator}</dd>
      <dt>took last time</dt>
      <dd>{stage.seconds === null ? "it never ran" : duration(stage.seconds)}</dd>
      {stage.batches === null ? null : (
        <>
          <dt>batches</dt>
          <dd>
            {stage.batches.made === "all"
              ? `all of ${stage.batches.of} are made`
              : `those that changed are made, of ${stage.batches.of}`}
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
    {stage.cause === null ? null : (
      <p>
        because of{" "}
        <a href={href("plan", "", { ...route.value.query, stage: stage.cause.stage })}>{stage.cause.stage}</a>:{" "}
        {stage.cause.message}
      </p>
    )}
    <Reasons heading={stage.state === "maybe" ? "Why it may run" : "Why it will run"} reasons={stage.reasons} />
    <Takes inputs={stage.inputs} hrefOf={(stage) => href("plan", "", { ...route.value.query, stage })} />
  </Panel>
)

const again = () => post("plan", {})

/** What is to be done, or how far the run is. */
const Stages = ({ plan }: { readonly plan: PlanAnswer }) => {
  const live = useRun(plan.run ?? "")
  const begun = plan.run === null ? undefined : live.value?.run
  const known = new Map(begun?.detail.map((stage) => [stage.stage, stage]))
  // A run that has only just begun does not know all of its stages yet.
  const run = known.size === 0 ? undefined : begun
  const stages =
    run === undefined
      ? plan.stages
      : run.detail.length >= run.stages
        ? run.detail
        : plan.stages.map((stage) => known.get(stage.stage) ?? { ...stage, state: "pending" as const })
  const due = stages.some(({ state }) => state === "due" || state === "maybe")
  return (
    <>
      <header class="head">
        <h1>
          {plan.pipeline} <span class="code faint">{plan.file}</span>
        </h1>
        {run === undefined ? null : <State state={run.state} />}
        <span class="faint" role="status">
          {tally(stages)
            .map(([state, count]) => `${count} ${wordOf(state)}`)
            .join(" · ")}{" "}
          of {counted(stages.length, "stage")}
          {run === undefined && due && plan.seconds > 0 ? ` · about ${duration(plan.seconds)}` : ""}
          {run !== undefined || plan.planned === null ? "" : ` · as of ${moment(plan.planned)}`}
        </span>
        <span class="spread" />
        {run === undefined ? (
          <button type="button" disabled={plan.busy} onClick={() => again().catch(() => {})}>
            {plan.busy ? "Planning…" : "Plan again"}
          </button>
        ) : (
          <a class="button" href={href("run", run.run)}>
            The run that goes on
          </a>
        )}
      </header>
      {plan.error === null || run !== undefined ? null : <Problem error={plan.error} />}
      {stages.length === 0 ? null : (
        <Dag label={`Stages of ${plan.pipeline}`} stages={stages}>
          {(stage) =>
            run === undefined || !known.has(stage.stage) ? (
              <Detail stage={plan.stages.find((each) => each.stage === stage.stage) ?? (stage as PlanStage)} />
            ) : (
              <StagePanel run={run} stage={stage} />
            )
          }
        </Dag>
      )}
    </>
  )
}

/** The view of the pipeline. */
export const PlanView = () => (
  <Answered asked={useFollowed<PlanAnswer>("plan", ({ file }) => file !== null)}>
    {(plan) =>
      plan.file === null ? (
        <>
          <header class="head">
            <h1>Pipeline</h1>
          </header>
          <Empty>
            <p>The server was started without a pipeline.</p>
            <p class="faint">
              <code>ptmflow serve pipelines/chatgpt.ts</code> shows what a run of it would do, and follows what you
              change.
            </p>
          </Empty>
        </>
      ) : plan.planned === null ? (
        <p class="notice faint" role="status">
          Planning {plan.file}…
        </p>
      ) : (
        <Stages plan={plan} />
      )
    }
  </Answered>
)
