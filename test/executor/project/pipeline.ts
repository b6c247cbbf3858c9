import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Pipeline from "../../../src/pipeline/pipeline.ts"
import { read, scale, summary, train } from "./operators.ts"

const withDefault = (value: number) => Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/** read -> scale -> summary -> train, and read -> a wide row of scales. */
export const pipeline = Pipeline.make(
  "project",
  {
    params: Schema.Struct({
      corpus: Schema.String,
      add: withDefault(0),
      train: Schema.Struct({ steps: withDefault(20), milliseconds: withDefault(0) }).pipe(
        Schema.withDecodingDefaultKey(Effect.succeed({}))
      )
    })
  },
  (p, params) => {
    const { numbers } = p.add(read, { params: { file: params.corpus } })
    const scaled = p.add(scale, { inputs: { numbers }, params: { add: params.add } })
    const { number } = p.add(summary, { inputs: scaled })
    const wide = p.iterate(6, { numbers }, (state, i) =>
      p.add(scale, { name: "wide", inputs: state, params: { add: i } })
    )
    const trained = p.add(train, { inputs: { number }, params: params.train })
    return { trained: trained.numbers, wide: wide.numbers }
  }
)
