/**
 * `ptmflow plan`: what a run would do, and why.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Executor from "../executor/plan.ts"
import type { Graph } from "../pipeline/graph.ts"
import { unreadLayer } from "../store/store.ts"
import { withDevice } from "./device.ts"
import { CommandError } from "./failure.ts"
import { loadGraph } from "./load.ts"
import { printDiagram, printJson, printLines, viewOf } from "./output.ts"
import { withRemote } from "./remote.ts"
import type { Diagram, DiagramFormat } from "./render/diagram.ts"
import { planLines } from "./render/plan.ts"
import type { RunInput } from "./run.ts"

/** The exit code that says that something is to be done. */
export const due = 2

/** Prints the plan. */
export const plan = Effect.fnUntraced(function* (input: RunInput & { readonly as?: Option.Option<DiagramFormat> }) {
  const format = Option.getOrUndefined(input.as ?? Option.none())
  if (format !== undefined && input.json) {
    const message = `--as ${format} writes a diagram, and --json asks for something else: leave one of them out`
    return yield* new CommandError({ place: "", message, next: "" })
  }
  const graph = yield* loadGraph(input.pipeline, input.set)
  const planned = withRemote(input, withDevice(graph, input, Executor.plan(graph)))
  const found = yield* Effect.provide(planned, unreadLayer(input.store))
  if (format !== undefined) yield* printDiagram(format, diagramOf(graph, found))
  else yield* input.json ? printJson(found) : printLines(planLines(graph, found, viewOf(process.stdout)))
  if (found.stages.some(({ action }) => action !== "reuse")) process.exitCode = due
})

const marks = { reuse: "plain", run: "due", maybe: "maybe" } as const

const diagramOf = (graph: Graph<unknown>, { stages }: Executor.Plan): Diagram => ({
  nodes: stages.map(({ action, operator, stage }) => ({
    id: stage,
    lines: operator === stage ? [stage] : [stage, operator],
    mark: marks[action]
  })),
  edges: graph.stages.flatMap(({ inputs, name }) =>
    Object.entries(inputs).map(([label, from]) => ({ from: from.stage, to: name, label }))
  )
})
