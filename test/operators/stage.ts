/** A stage that keeps what is reported to it, for tests that run an operator by itself. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Progress, Stage } from "../../src/operator/stage.ts"

/** The stage, and the reports so far. */
export const makeStage = () => {
  const reports: Array<Progress> = []
  const stage = Stage.of({
    name: "test",
    report: (progress) =>
      Effect.sync(() => {
        reports.push(progress)
      }),
    resume: () => Effect.succeed(Option.none()),
    save: () => Effect.void
  })
  return { stage, reports }
}

/** Runs an effect in a stage of its own. */
export const runInStage = <A, E>(effect: Effect.Effect<A, E, Stage>): Promise<A> =>
  Effect.runPromise(Effect.provideService(effect, Stage, makeStage().stage))
