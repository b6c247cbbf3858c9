/**
 * `ptmflow why` and `ptmflow why-not`: what a plan knows of one stage.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Executor from "../executor/why.ts"
import { layer as storeLayer } from "../store/store.ts"
import { withDevice } from "./device.ts"
import { loadGraph } from "./load.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { whyLines, whyNotLines } from "./render/why.ts"
import type { RunInput } from "./run.ts"

/** What was typed. */
export interface WhyInput extends RunInput {
  readonly stage: string
}

/** The exit code that says that the stage runs or may run. */
const due = 2

/** Prints why a stage is reused or not. */
export const why = Effect.fnUntraced(function* (input: WhyInput) {
  const graph = yield* loadGraph(input.pipeline, input.set)
  const asked = withDevice(graph, input, Executor.why(graph, input.stage))
  const found = yield* Effect.provide(asked, storeLayer(input.store))
  const now = yield* Clock.currentTimeMillis
  yield* input.json ? printJson(found) : printLines(whyLines(found, now, viewOf(process.stdout)))
  if (found.plan.action !== "reuse") process.exitCode = due
})

/** Prints how a stage differs from the results that are nearest to it. */
export const whyNot = Effect.fnUntraced(function* (input: WhyInput) {
  const graph = yield* loadGraph(input.pipeline, input.set)
  const asked = withDevice(graph, input, Executor.whyNot(graph, input.stage))
  const found = yield* Effect.provide(asked, storeLayer(input.store))
  const now = yield* Clock.currentTimeMillis
  yield* input.json ? printJson(found) : printLines(whyNotLines(found, now, viewOf(process.stdout)))
  if (found.plan.action !== "reuse") process.exitCode = due
})
