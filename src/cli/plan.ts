/**
 * `ptmflow plan`: what a run would do, and why.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Executor from "../executor/plan.ts"
import { layer as storeLayer } from "../store/store.ts"
import { withDevice } from "./device.ts"
import { loadGraph } from "./load.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { withRemote } from "./remote.ts"
import { planLines } from "./render/plan.ts"
import type { RunInput } from "./run.ts"

/** The exit code that says that something is to be done. */
export const due = 2

/** Prints the plan. */
export const plan = Effect.fnUntraced(function* (input: RunInput) {
  const graph = yield* loadGraph(input.pipeline, input.set)
  const planned = withRemote(input, withDevice(graph, input, Executor.plan(graph)))
  const found = yield* Effect.provide(planned, storeLayer(input.store))
  yield* input.json ? printJson(found) : printLines(planLines(graph, found, viewOf(process.stdout)))
  if (found.stages.some(({ action }) => action !== "reuse")) process.exitCode = due
})
