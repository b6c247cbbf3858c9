/** An operator that saves a resume point. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../src/operator/operator.ts"
import { Stage } from "../../src/operator/stage.ts"
import { log } from "./arithmetic.ts"
import { numberPort } from "./json-port.ts"

export const saving = Operator.make("saving", {
  description: "Gives its input, and saves a resume point before",
  params: Schema.Struct({}),
  inputs: { n: numberPort },
  outputs: { n: numberPort },
  run: Effect.fnUntraced(function* ({ inputs }) {
    const stage = yield* Stage
    log.push("saving")
    yield* stage.save(numberPort, { step: 1, value: inputs.n })
    return { n: inputs.n }
  })
})
