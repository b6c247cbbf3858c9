import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../../src/operator/operator.ts"
import { numberPort } from "../json-port.ts"

/** Makes an operator that applies a function: what the function does is in the caller's module, not in this one. */
export const mapping = (name: string, f: (n: number) => number) =>
  Operator.make(name, {
    description: name,
    params: Schema.Struct({}),
    inputs: { n: numberPort },
    outputs: { n: numberPort },
    run: ({ inputs }) => Effect.succeed({ n: f(inputs.n) })
  })
