/**
 * Stages as a graph, with the state of each: all of few, put together where there are many.
 *
 * @since 0.1.0
 */
import type { ComponentChildren } from "preact"
import { useMemo, useState } from "preact/hooks"
import type { StageView } from "../answers.ts"
import { collapse, firstMode, type Mode, stateOf, tally, wordOf } from "./collapse.ts"
import { closing, Graph, type GraphNode } from "./graph.tsx"
import { duration, figure } from "./quantity.ts"
import { route, show } from "./route.ts"

const share = ({ state, step, steps }: StageView): number | undefined =>
  state === "running" && step !== null && steps !== null && steps > 0 ? Math.min(step / steps, 1) : undefined

const noteOf = (stage: StageView): string => {
  const done = share(stage)
  if (done !== undefined) return `${figure(stage.step)} of ${figure(stage.steps)}`
  return stage.seconds === null || stage.state === "running"
    ? wordOf(stage.state)
    : `${wordOf(stage.state)} · ${duration(stage.seconds)}`
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
  const words = counts.map(([state, count]) => `${count} ${wordOf(state)}`).join(", ")
  const parts = counts.map(([state, count]) => [state, count / stages.length] as const)
  return { id, label, note: words, tone: stateOf(stages), parts, title: `${label}: ${words}` }
}

const modes: ReadonlyArray<readonly [Mode, string]> = [
  ["none", "every stage"],
  ["name", "by name"],
  ["layer", "by layer"]
]

/** Of more stages than these it takes seconds to draw each. */
const MANY = 3_000

/** The graph of the stages; `children` shows the one that is chosen. */
export const Dag = (props: {
  readonly label: string
  readonly stages: ReadonlyArray<StageView>
  readonly children: (stage: StageView) => ComponentChildren
}) => {
  const { children, label, stages } = props
  const { query } = route.value
  // What a person sees first depends on how many there are
  const first = useMemo(() => firstMode(stages), [label, stages.length])
  const mode = modes.find(([name]) => name === query["group"])?.[0] ?? first
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const { edges, groups } = collapse(stages, mode, open)
  const chosen = query["stage"] ?? ""
  const group = groups.find(({ id, stages }) => id === chosen || stages.some(({ stage }) => stage === chosen))
  const stage = stages.find(({ stage }) => stage === chosen)
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: what is in it is what is used
    <div class="split" onKeyDown={closing(() => show({ stage: undefined }))}>
      <Graph
        label={label}
        nodes={groups.map(({ id, label, stages }) => nodeOf(id, label, stages))}
        edges={edges}
        chosen={group?.id ?? ""}
        start={groups.find(({ stages }) => ["failed", "running", "stopped", "due"].includes(stateOf(stages)))?.id}
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
                {name === "none" && stages.length > MANY ? ` (${figure(stages.length)}, takes a while)` : ""}
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
      {stage === undefined ? null : children(stage)}
    </div>
  )
}
