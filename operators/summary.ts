/**
 * One report of several.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import { ReportPort } from "./report.ts"

/** Puts the reports of the recipe's steps after each other. */
export const summarise = Operator.make("summary", {
  description: "One report of the whole recipe",
  params: Schema.Struct({ title: Schema.String }),
  inputs: {
    pretraining: ReportPort,
    supervised: ReportPort,
    reward: ReportPort,
    evaluation: ReportPort,
    answers: ReportPort
  },
  outputs: { report: ReportPort },
  run: ({ inputs, params }) => {
    const reports = [inputs.pretraining, inputs.supervised, inputs.reward, inputs.evaluation, inputs.answers]
    return Effect.succeed({
      report: {
        title: params.title,
        figures: reports.flatMap((report) => report.figures),
        samples: reports.flatMap((report) => report.samples),
        plots: reports.flatMap((report) => report.plots ?? [])
      }
    })
  }
})
