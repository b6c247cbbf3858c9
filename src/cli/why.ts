/**
 * `ptmflow why` and `ptmflow why-not`: what a plan knows of one stage.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Device } from "../device/device.ts"
import * as Executor from "../executor/why.ts"
import type { Graph } from "../pipeline/graph.ts"
import { type Store, layer as storeLayer } from "../store/store.ts"
import { withDevice } from "./device.ts"
import { loadGraph } from "./load.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { due } from "./plan.ts"
import { withRemote } from "./remote.ts"
import type { View } from "./render/view.ts"
import { whyLines, whyNotLines } from "./render/why.ts"
import type { RunInput } from "./run.ts"

/** What was typed. */
export interface WhyInput extends RunInput {
  readonly stage: string
}

/** Prints an answer about one stage. */
const answering = <A extends { readonly plan: { readonly action: string } }, E>(
  ask: (graph: Graph<Device>, stage: string) => Effect.Effect<A, E, Device | Store>,
  lines: (answer: A, now: number, view: View) => ReadonlyArray<string>
) =>
  Effect.fnUntraced(function* (input: WhyInput) {
    const graph = yield* loadGraph(input.pipeline, input.set)
    const asked = withRemote(input, withDevice(graph, input, ask(graph, input.stage)))
    const found = yield* Effect.provide(asked, storeLayer(input.store))
    const now = yield* Clock.currentTimeMillis
    yield* input.json ? printJson(found) : printLines(lines(found, now, viewOf(process.stdout)))
    if (found.plan.action !== "reuse") process.exitCode = due
  })

/** Prints why a stage is reused or not. */
export const why = answering(Executor.why, whyLines)

/** Prints how a stage differs from the results that are nearest to it. */
export const whyNot = answering(Executor.whyNot, whyNotLines)
