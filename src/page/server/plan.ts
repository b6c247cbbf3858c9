/**
 * The plan of a pipeline while people work on it: made anew when its files change, when a run of it has ended, and when results go.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Plan } from "../../executor/plan.ts"
import { runNames, runRecords } from "../../lineage/records.ts"
import { isAlive } from "../../store/holder.ts"
import { Store } from "../../store/store.ts"
import type { PlanStage, PlanView } from "../answers.ts"
import { pending } from "../progress.ts"
import type { PageError } from "./refusal.ts"

/** How a pipeline is planned. `fingerprint` is another text when files that the plan may depend on are others. */
export interface Planner {
  readonly file: string
  readonly fingerprint: () => string
  readonly plan: Effect.Effect<Plan, PageError>
}

/** A plan that is kept up to date. */
export interface Planning {
  readonly view: () => PlanView
  /** Plans anew, whatever has changed. */
  readonly again: Effect.Effect<void>
}

const states = { run: "due", maybe: "maybe", reuse: "reusable" } as const

const stageOf = ({
  action,
  batches,
  cause,
  inputs,
  key,
  operator,
  reasons,
  seconds,
  stage
}: Plan["stages"][number]): PlanStage => ({
  ...pending(stage, operator, inputs),
  state: states[action],
  key: key ?? null,
  seconds: seconds ?? null,
  reasons: reasons.map(({ message }) => message),
  cause: cause ?? null,
  batches: batches ?? null
})

const nothing: PlanView = {
  file: null,
  pipeline: "",
  version: 0,
  busy: false,
  planned: null,
  seconds: 0,
  run: null,
  error: null,
  stages: []
}

/** Where no pipeline was given. */
export const noPlanning: Planning = { view: () => nothing, again: Effect.void }

/** Between two looks at what the plan depends on. */
const LOOK = Duration.millis(700)

/** Newest runs among which one of the pipeline is looked for. */
const RECENT = 20

/** Keeps the plan up to date until the scope closes. While a run of the pipeline goes on the plan is left as it was. */
export const planning = Effect.fnUntraced(function* (
  planner: Planner
): Effect.fn.Return<Planning, never, Store | Scope.Scope> {
  const { blobs, journal } = yield* Store
  const one = Semaphore.makeUnsafe(1)
  let view: PlanView = { ...nothing, file: planner.file, busy: true }
  const change = (changes: Partial<PlanView>) => {
    view = { ...view, ...changes, version: view.version + 1 }
  }

  const make = Effect.gen(function* () {
    change({ busy: true })
    const exit = yield* Effect.result(planner.plan)
    const planned = yield* Clock.currentTimeMillis
    if (exit._tag === "Failure") {
      const { message, next } = exit.failure
      return change({ busy: false, planned, error: { message, next } })
    }
    const { pipeline, seconds, stages } = exit.success
    change({ busy: false, planned, error: null, pipeline, seconds, stages: stages.map(stageOf) })
  }).pipe(one.withPermits(1))

  const running = (): string | null => {
    let left = RECENT
    for (const { holder, pipeline, run, status } of runRecords(journal)) {
      if (pipeline === view.pipeline) return status === "running" && isAlive(holder) !== false ? run : null
      if (--left === 0) return null
    }
    return null
  }

  let seen = ""
  const look = Effect.gen(function* () {
    yield* Effect.ignore(journal.refresh)
    const run = running()
    if (run !== view.run) change({ run })
    if (run !== null) return
    const mark = `${planner.fingerprint()}\n${runNames(journal).length} ${blobs.mark()}`
    if (mark === seen) return
    seen = mark
    yield* make
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(look, Effect.sleep(LOOK))))
  return { view: () => view, again: make }
})
