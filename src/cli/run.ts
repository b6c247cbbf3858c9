/**
 * `ptmflow run`: runs a pipeline, shows it, and prints the reports that it is for.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Device } from "../device/device.ts"
import * as Executor from "../executor/run.ts"
import type { Artifact } from "../operator/artifact.ts"
import type { Setting } from "../pipeline/graph.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { type DeviceInput, withDevice } from "./device.ts"
import { again, program } from "./invocation.ts"
import { loadGraph } from "./load.ts"
import { canRewrite, printLines, viewOf } from "./output.ts"
import { type RemoteInput, withRemote } from "./remote.ts"
import { outputLines } from "./render/outputs.ts"
import { styleOf } from "./render/view.ts"
import * as Reporter from "./reporter.ts"
import * as RunLog from "./run-log.ts"

/** What was typed after `run` or `plan`. */
export interface RunInput extends DeviceInput, RemoteInput {
  readonly pipeline: string
  readonly set: ReadonlyArray<Setting>
  readonly store: string
  readonly json: boolean
}

/** Runs the pipeline and prints its outputs. It fails with the executor's `RunError` where stages failed: they have been shown by then. */
export const run = Effect.fnUntraced(function* (input: RunInput) {
  const graph = yield* loadGraph(input.pipeline, input.set)
  const execute = Effect.scoped(
    withDevice(
      graph,
      input,
      Effect.gen(function* () {
        const device = yield* Effect.serviceOption(Device)
        const words = Option.match(device, { onNone: () => "", onSome: (each) => `${each.kind}: ${each.description}` })
        const report = yield* Reporter.make(graph, words, input.json)
        const log = yield* RunLog.make(graph)
        return yield* Executor.run(graph, { onEvent: (event) => Effect.andThen(log(event), report(event)) })
      })
    )
  )
  const howToGoOn = printLines(["", "What finished is kept. To go on from the last resume point:", `  ${again()}`])
  const whole = Effect.gen(function* () {
    const { outputs } = yield* execute.pipe(Effect.onInterrupt(() => (input.json ? Effect.void : howToGoOn)))
    if (!input.json) yield* showOutputs(outputs)
  })
  yield* Effect.provide(withRemote(input, whole), storeLayer(input.store))
})

/** Prints the reports among a pipeline's outputs, and the names of its other outputs. */
export const showOutputs = Effect.fnUntraced(function* (outputs: { readonly [name: string]: Artifact }) {
  const { columns, style } = viewOf(process.stdout)
  const view = { columns, style: canRewrite() ? style : styleOf(false) }
  const { source } = yield* Store
  for (const artifact of Object.values(outputs)) {
    if (artifact.kind !== "report") continue
    const { ReportPort } = yield* Effect.promise(() => import("../../operators/report.ts"))
    const { reportLines } = yield* Effect.promise(() => import("./render/report.ts"))
    yield* printLines(["", ...reportLines(yield* ReportPort.decode(artifact, source), view)])
  }
  yield* printLines(outputLines(outputs, program(), view))
})
