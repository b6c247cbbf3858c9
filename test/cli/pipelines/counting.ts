/** start -> count -> 3 rounds of (double, again) -> report. */
import * as Schema from "effect/Schema"
import { parameter } from "../../../operators/parameter.ts"
import * as Pipeline from "../../../src/pipeline/pipeline.ts"
import { count, double, number, report } from "./operators.ts"

const Params = Schema.Struct({
  value: parameter(Schema.Number, 1, "where to start"),
  count: parameter(
    Schema.Struct({
      steps: parameter(Schema.Number, 5, "steps"),
      milliseconds: parameter(Schema.Number, 0, "of a step"),
      failAt: parameter(Schema.Number, 0, "the step that fails")
    }),
    {},
    "counting"
  ),
  throws: parameter(Schema.Boolean, false, "whether doubling fails")
})

export default Pipeline.make("counting", { description: "Counts and doubles", params: Params }, (p, params) => {
  const start = p.add(number, { name: "start", params: { value: params.value } })
  const counted = p.add(count, { inputs: { from: start.number }, params: params.count })
  const last = p.iterate(3, counted.number, (state) => {
    const doubled = p.add(double, { inputs: { number: state }, params: { throws: params.throws } })
    return p.add(count, { name: "again", inputs: { from: doubled.number }, params: { steps: 2 } }).number
  })
  const { report: summary } = p.add(report, { inputs: { first: counted.number, last } })
  return { last, report: summary }
})
