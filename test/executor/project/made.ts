import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../../src/operator/operator.ts"
import * as Pipeline from "../../../src/pipeline/pipeline.ts"
import { numberPort } from "../json-port.ts"
import { mapping } from "./mapping.ts"

const start = Operator.make("start", {
  description: "3",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { n: numberPort },
  run: () => Effect.succeed({ n: 3 })
})

/** Exported, so only this counts of the module. */
export const tripled = mapping("tripled", (n) => n * 3)

/** Not exported: all of the module counts, and of the factory's. */
const next = mapping("next", (n) => n + 1)

/** A pipeline of operators that a factory made; it has the settings of `pipeline.ts` so that `main.ts` runs it too. */
export const pipeline = Pipeline.make("made", { params: Schema.Struct({ corpus: Schema.String }) }, (p) => {
  const { n } = p.add(start)
  return { tripled: p.add(tripled, { inputs: { n } }).n, next: p.add(next, { inputs: { n } }).n }
})
