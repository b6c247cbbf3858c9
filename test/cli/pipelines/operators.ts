/** Operators on numbers that report, save and fail like those that train. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { parameter } from "../../../operators/parameter.ts"
import { ReportPort } from "../../../operators/report.ts"
import * as Operator from "../../../src/operator/operator.ts"
import { Stage } from "../../../src/operator/stage.ts"
import { numberPort } from "../../executor/json-port.ts"

export const number = Operator.make("number", {
  description: "A number",
  params: Schema.Struct({ value: parameter(Schema.Number, 1, "the number") }),
  inputs: {},
  outputs: { number: numberPort },
  run: ({ params }) => {
    console.log("an operator that prints")
    return Effect.succeed({ number: params.value })
  }
})

/** Adds 1 a step, and saves after each. */
export const count = Operator.make("count", {
  description: "Counts up",
  params: Schema.Struct({
    steps: parameter(Schema.Number, 5, "steps"),
    milliseconds: parameter(Schema.Number, 0, "of a step"),
    failAt: parameter(Schema.Number, 0, "the step that fails; 0: none")
  }),
  inputs: { from: numberPort },
  outputs: { number: numberPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const point = Option.getOrElse(yield* stage.resume(numberPort), () => ({ step: 0, value: inputs.from }))
    let { value } = point
    for (let step = point.step + 1; step <= params.steps; step++) {
      yield* Effect.sleep(params.milliseconds)
      if (step === params.failAt) {
        const message = `the loss is NaN at step ${step}`
        return yield* new Operator.OperatorError({ operator: "count", place: `step ${step}`, message })
      }
      value++
      yield* stage.report({ step, steps: params.steps, metrics: { loss: 1 / step, tokensPerSecond: 1000 } })
      yield* stage.save(numberPort, { step, value })
    }
    return { number: value }
  })
})

export const double = Operator.make("double", {
  description: "Doubles",
  params: Schema.Struct({ throws: parameter(Schema.Boolean, false, "fails by a mistake in its code") }),
  inputs: { number: numberPort },
  outputs: { number: numberPort },
  run: ({ inputs, params }) =>
    Effect.sync(() => {
      if (params.throws) throw new TypeError("number is undefined")
      return { number: inputs.number * 2 }
    })
})

export const report = Operator.make("report", {
  description: "A report of two numbers",
  params: Schema.Struct({}),
  inputs: { first: numberPort, last: numberPort },
  outputs: { report: ReportPort },
  run: ({ inputs }) =>
    Effect.succeed({
      report: {
        title: "Counting",
        figures: [
          { name: "first", value: inputs.first, unit: "things" },
          { name: "share", value: inputs.first / inputs.last, note: "of the last" }
        ],
        samples: [{ prompt: "Count to", answers: [{ checkpoint: "counted", answer: `${inputs.last}` }] }]
      }
    })
})
