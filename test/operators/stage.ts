/** A stage that keeps what is reported to it, for tests that run an operator by itself. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
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

/** Runs an effect in a stage of its own; with the last value of each metric that it reported. */
export const runReporting = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const { reports, stage } = makeStage()
  return effect.pipe(
    Effect.map((value) => ({
      value,
      metrics: Object.assign({}, ...reports.map((report) => report.metrics)) as Record<string, number>
    })),
    Effect.provideService(Stage, stage)
  )
}

/** An operator's parameters, its defaults filled in. */
export const paramsOf = <P>(operator: { readonly params: Schema.Codec<P, unknown> }, given: object = {}): P =>
  Schema.decodeUnknownSync(operator.params)(given)
