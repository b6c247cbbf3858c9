/**
 * `ptmflow status`: the newest run and what became of its stages, and the runs before it.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { runsAsOf } from "../lineage/ledger.ts"
import { runStatus } from "../lineage/run-status.ts"
import { isAlive } from "../store/holder.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { program } from "./invocation.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { withoutStack } from "./render/failure.ts"
import { type EarlierRun, statusLines } from "./render/status.ts"

/** Runs that are listed beside the newest. */
const most = 5

/** The newest run and those that are listed beside it: no others are read. */
const newestOf = <A>(runs: Iterable<A>): ReadonlyArray<A> => {
  const found: Array<A> = []
  for (const run of runs) if (found.push(run) > most) break
  return found
}

/** Prints the newest runs. */
export const status = Effect.fnUntraced(
  function* (input: { readonly asOf: Option.Option<string>; readonly store: string; readonly json: boolean }) {
    const { journal } = yield* Store
    const [first, ...before] = newestOf(yield* runsAsOf(journal, Option.getOrUndefined(input.asOf)))
    const newest = first === undefined ? undefined : yield* runStatus(first)
    const earlier = before.map(
      ({ failures, holder, pipeline, ran, run, seconds, settings, status, time }): EarlierRun => ({
        run,
        pipeline,
        status: status === "running" && isAlive(holder) === false ? "interrupted" : status,
        time,
        seconds,
        settings,
        ran: ran.length,
        failed: failures.length
      })
    )
    if (input.json) return yield* printJson({ newest: newest ?? null, earlier })
    if (newest === undefined) {
      return yield* printLines([`Nothing has run in ${input.store} yet: ${program()} run <pipeline.ts>`])
    }
    // A defect's message has a stack.
    const stages = newest.stages.map((stage) => {
      if (stage.message === undefined) return stage
      const { message, place } = withoutStack(stage.message, process.cwd())
      return { ...stage, message: place === "" ? message : `${message}\nat ${place}` }
    })
    yield* printLines(
      statusLines({ ...newest, stages }, earlier, yield* Clock.currentTimeMillis, viewOf(process.stdout))
    )
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
