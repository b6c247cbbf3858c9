/** A stage that keeps what is reported to it, for tests that run an operator by itself. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Progress, Stage, type Update } from "../../src/operator/stage.ts"

/** The stage, the reports so far, and what its updates learned from. */
export const makeStage = () => {
  const reports: Array<Progress> = []
  const updates: Array<Update> = []
  const stage = Stage.of({
    name: "test",
    report: (progress) =>
      Effect.sync(() => {
        reports.push(progress)
      }),
    learned: (update) =>
      Effect.sync(() => {
        updates.push(update)
      }),
    resume: () => Effect.succeed(Option.none()),
    save: () => Effect.void
  })
  return { stage, reports, updates }
}

/** Runs an effect in a stage of its own. */
export const runInStage = <A, E>(effect: Effect.Effect<A, E, Stage>): Promise<A> =>
  Effect.runPromise(Effect.provideService(effect, Stage, makeStage().stage))
