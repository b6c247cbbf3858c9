/**
 * What else hears of a run while it goes on: a service of OpenLineage, TensorBoard's files, a collector of traces. None of them can make it fail; where
 * one is gone that is told once.
 *
 * @since 0.1.0
 */
import { createRequire } from "node:module"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Event } from "../executor/event.ts"
import { entryOf } from "../executor/run-log.ts"
import type { SendError } from "../exports/openlineage-client.ts"
import { stageRecord } from "../lineage/records.ts"
import type { LogEntry } from "../lineage/run-log.ts"
import type { Graph } from "../pipeline/graph.ts"
import { Store } from "../store/store.ts"
import { program } from "./invocation.ts"
import { printErrors } from "./output.ts"
import type { OnEvent } from "./reporter.ts"

/** Where a run is told of: the address of a service, a folder, the address of a collector. */
export interface Targets {
  readonly openlineage?: string | undefined
  readonly tensorboard?: string | undefined
  readonly otlp?: string | undefined
}

/** ptmflow's version. */
export const version = (): string =>
  (createRequire(import.meta.url)("ptmflow/package.json") as { readonly version: string }).version

/** The service at an address, with what the variables of OpenLineage's clients say of it. */
export const openlineageTarget = (address: string) => ({
  address,
  endpoint: process.env["OPENLINEAGE_ENDPOINT"],
  key: process.env["OPENLINEAGE_API_KEY"]
})

/** The namespace of jobs and datasets. */
export const openlineageNamespace = (): string | undefined => process.env["OPENLINEAGE_NAMESPACE"]

const warn = (message: string, next: string) =>
  printErrors([`warning: ${message}; the run goes on without${next === "" ? "" : `\n  ${next}`}`])

/** What hears the events of a run of `graph`, until the scope closes, and what puts the run's spans where they are sent. */
export const make = Effect.fnUntraced(function* (
  graph: Graph<unknown>,
  targets: Targets
): Effect.fn.Return<
  { readonly onEvent: OnEvent; readonly traced: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> },
  SendError,
  Scope.Scope | Store
> {
  let run = ""
  const heard: Array<(entry: LogEntry) => void> = []
  if (targets.openlineage !== undefined) heard.push(yield* openlineage(graph, targets.openlineage, () => run))
  if (targets.tensorboard !== undefined) {
    const { live } = yield* Effect.promise(() => import("../exports/tensorboard.ts"))
    const take = yield* live(targets.tensorboard, ({ message, place }) =>
      warn(`TensorBoard's files cannot be written to ${place}: ${message}`, "")
    )
    heard.push((entry) => take(run, entry))
  }
  return {
    onEvent: (event: Event) =>
      Effect.map(Clock.currentTimeMillis, (time) => {
        if (event._tag === "RunStarted") run = event.run
        const entry = entryOf(graph, event, time)
        if (entry !== undefined) for (const hear of heard) hear(entry)
      }),
    traced: targets.otlp === undefined ? (effect) => effect : yield* tracing(targets.otlp)
  }
})

/** Sends events, and says how to send them later where that fails. */
const openlineage = Effect.fnUntraced(function* (graph: Graph<unknown>, address: string, run: () => string) {
  const { folder, journal } = yield* Store
  const { eventsOf } = yield* Effect.promise(() => import("../exports/openlineage.ts"))
  const { live } = yield* Effect.promise(() => import("../exports/openlineage-client.ts"))
  const send = yield* live(openlineageTarget(address), ({ message, place }) =>
    warn(
      `OpenLineage events are not sent to ${place}: ${message}`,
      `To send all of them later: ${program()} export ${run()} ${address} --as openlineage`
    )
  )
  let make: ReturnType<typeof eventsOf> | undefined
  return (entry: LogEntry) => {
    make ??= eventsOf({
      run: run(),
      pipeline: graph.pipeline,
      settings: graph.settings,
      namespace: openlineageNamespace(),
      store: folder,
      version: version(),
      record: (key) => stageRecord(journal, key)
    })
    const events = make
    send(() => events(entry))
  }
})

const tracing = Effect.fnUntraced(function* (address: string) {
  const { layer } = yield* Effect.promise(() => import("../exports/traces.ts"))
  let told = false
  const sender = layer(address, version(), (message) => {
    if (told) return Effect.void
    told = true
    return warn(`traces are not sent to ${address}: ${message}`, "")
  })
  return <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, sender)
})
