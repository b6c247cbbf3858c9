/**
 * Measurements along a loop: a table that each round adds its point to.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { ScoredCompletion } from "./answers.ts"
import { sum } from "./scoring.ts"

/** A point of a curve: `x` is what it is over (a round), `kl` nats an answer from the reference. */
export const Measurement = Schema.Struct({
  series: Schema.String,
  x: Schema.Number,
  reward: Schema.Number,
  kl: Schema.Number
})
export type Measurement = typeof Measurement.Type

const measurements = Table.of(Measurement)

/** An empty table, to begin with. */
export const beginMeasurements = Operator.make("begin-measurements", {
  description: "An empty table of measurements",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { measurements },
  run: () => Effect.succeed({ measurements: Table.fromRows(Measurement, []) })
})

/** Adds the mean reward and the mean KL of scored answers. */
export const measure = Operator.make("measure", {
  description: "Adds mean reward and KL of scored answers to the measurements",
  params: Schema.Struct({ series: Schema.String, x: Schema.Number }),
  inputs: { measurements, scored: Table.of(ScoredCompletion) },
  outputs: { measurements },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const earlier = yield* Table.collect(inputs.measurements)
    const rows = yield* Table.collect(inputs.scored)
    if (rows.length === 0) {
      const message = "the table is empty: it has no mean"
      return yield* new Operator.OperatorError({ operator: "measure", place: "scored", message })
    }
    const reward = sum(rows.map((row) => row.reward)) / rows.length
    const kl = sum(rows.map((row) => sum(row.logProbabilities) - sum(row.referenceLogProbabilities))) / rows.length
    return { measurements: Table.fromRows(Measurement, [...earlier, { ...params, reward, kl }]) }
  })
})
