/** An operator of six steps that saves a resume point after each, and stops where a test says. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Operator from "../../src/operator/operator.ts"
import { Stage } from "../../src/operator/stage.ts"
import { Refused } from "./arithmetic.ts"
import { numberPort } from "./json-port.ts"

/** `at`: it fails after this step. `skip`: it does none of the steps that are left. */
export const interrupted = { at: 0, skip: false }

const STEPS = 6

export const counting = Operator.make("counting", {
  description: "Counts",
  params: Schema.Struct({}),
  inputs: { n: numberPort },
  outputs: { n: numberPort },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const stage = yield* Stage
    const saved = yield* stage.resume(numberPort)
    let value = Option.isSome(saved) ? saved.value.value : inputs.n
    for (let step = Option.isSome(saved) ? saved.value.step : 0; step < STEPS && !interrupted.skip; step++) {
      value = value * 3 + step
      yield* stage.report({ step: step + 1, steps: STEPS })
      yield* stage.save(numberPort, { step: step + 1, value })
      if (interrupted.at === step + 1) return yield* new Refused({ message: "stopped" })
    }
    return { n: value }
  })
})
