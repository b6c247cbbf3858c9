/**
 * Keeps the log of a run that others may look on at, from the first stage that is to be run: a run in which nothing is has none, and does not load
 * what writes one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { Event } from "../executor/event.ts"
import type { Graph } from "../pipeline/graph.ts"
import { Store } from "../store/store.ts"
import type { OnEvent } from "./reporter.ts"

/** What hears the events of a run of `graph`, until the scope closes. */
export const make = Effect.fnUntraced(function* (
  graph: Graph<unknown>
): Effect.fn.Return<OnEvent, never, Scope.Scope | Store> {
  const scope = yield* Effect.scope
  const { folder } = yield* Store
  const before: Array<Event> = []
  let log: OnEvent | undefined
  const open = yield* Effect.cached(
    Effect.promise(() => import("../executor/run-log.ts")).pipe(
      Effect.flatMap((runLog) => runLog.make(folder, graph)),
      Effect.provideService(Scope.Scope, scope)
    )
  )
  return (event) => {
    if (log !== undefined) return log(event)
    before.push(event)
    if (event._tag !== "StageStarted" && event._tag !== "StageWaiting") return Effect.void
    return Effect.flatMap(open, (opened) => {
      log ??= opened
      return Effect.forEach(before.splice(0), log, { discard: true })
    })
  }
})
