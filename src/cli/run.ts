/**
 * `ptmflow run`: runs a pipeline, shows it, and prints the reports that it is for.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Executor from "../executor/run.ts"
import type { Artifact } from "../operator/artifact.ts"
import type { Setting } from "../pipeline/graph.ts"
import { Store, unreadLayer } from "../store/store.ts"
import { type DeviceInput, deviceInWords, withDevice } from "./device.ts"
import { again, program } from "./invocation.ts"
import type { Targets } from "./listeners.ts"
import { loadGraph } from "./load.ts"
import { canRewrite, flushed, printLines, viewOf } from "./output.ts"
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
  readonly keepResumePoints?: number
  readonly targets?: { readonly [Target in keyof Targets]-?: Option.Option<string> }
}

/** Where a run is told of while it goes on, by its flags or by the variables that other programs know it by; undefined: nowhere. */
const targetsOf = ({ targets: flags }: RunInput): Targets | undefined => {
  const { OPENLINEAGE_URL, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = process.env
  const given = (flag: Option.Option<string> | undefined, ...others: ReadonlyArray<string | undefined>) =>
    flag !== undefined && Option.isSome(flag) ? flag.value : others.find((other) => other !== undefined && other !== "")
  const targets = {
    openlineage: given(flags?.openlineage, OPENLINEAGE_URL),
    tensorboard: given(flags?.tensorboard),
    otlp: given(flags?.otlp, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT)
  }
  return Object.values(targets).every((target) => target === undefined) ? undefined : targets
}

/** Runs the pipeline and prints its outputs. It fails with the executor's `RunError` where stages failed: they have been shown by then. */
export const run = Effect.fnUntraced(function* (input: RunInput) {
  const graph = yield* loadGraph(input.pipeline, input.set)
  const execute = Effect.scoped(
    withDevice(
      graph,
      input,
      Effect.gen(function* () {
        const report = yield* Reporter.make(graph, yield* deviceInWords, input.json)
        const log = yield* RunLog.make(graph)
        const targets = targetsOf(input)
        const others =
          targets === undefined
            ? undefined
            : yield* (yield* Effect.promise(() => import("./listeners.ts"))).make(graph, targets)
        const running = Executor.run(graph, {
          file: input.pipeline,
          keepPoints: input.keepResumePoints ?? 0,
          onEvent: (event) => {
            const logged = log(event)
            const told = logged === Effect.void ? report(event) : Effect.andThen(logged, report(event))
            return others === undefined ? told : Effect.andThen(told, others.onEvent(event))
          }
        })
        return yield* others === undefined ? running : others.traced(running)
      })
    )
  )
  const howToGoOn = printLines(["", "What finished is kept. To go on from the last resume point:", `  ${again()}`])
  const whole = Effect.gen(function* () {
    const { outputs } = yield* execute.pipe(Effect.onInterrupt(() => (input.json ? Effect.void : howToGoOn)))
    if (!input.json) yield* showOutputs(outputs)
  })
  yield* Effect.provide(withRemote(input, Effect.ensuring(whole, flushed)), unreadLayer(input.store))
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
