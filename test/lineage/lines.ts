/** Operators and a pipeline for questions of lineage. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../src/operator/operator.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { jsonPort, numberPort } from "../executor/json-port.ts"

const withDefault = (value: number) => Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
const reportPort = jsonPort(Schema.String, "report", "report")

export const read = Operator.make("read", {
  description: "The length of a file",
  params: Schema.Struct({ file: Schema.String }),
  inputs: {},
  outputs: { n: numberPort },
  sources: ({ file }) => Effect.succeed([{ path: file, name: path.basename(file) }]),
  run: ({ sources }) => Effect.sync(() => ({ n: fs.readFileSync(sources[0]!.path).length }))
})

export const train = Operator.make("train", {
  description: "Adds",
  params: Schema.Struct({ add: withDefault(1) }),
  inputs: { n: numberPort },
  outputs: { n: numberPort, report: reportPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    yield* stage.report({ step: 1, metrics: { loss: 3, rate: 1 } })
    yield* stage.report({ step: 2, metrics: { loss: 2 } })
    return { n: inputs.n + params.add, report: `from ${inputs.n}` }
  })
})

/** The length of a file, three rounds of training from it, and one aside. */
export const pipelineOf = (file: string) =>
  Pipeline.make("lines", { params: Schema.Struct({ add: withDefault(1), other: withDefault(5) }) }, (p, params) => {
    const { n } = p.add(read, { params: { file } })
    const policy = p.iterate(
      3,
      n,
      (state) => p.add(train, { name: "ppo", inputs: { n: state }, params: { add: params.add } }).n
    )
    const aside = p.add(train, { name: "aside", inputs: { n }, params: { add: params.other } })
    return { policy, aside: aside.report }
  })

export const one = Operator.make("one", {
  description: "1",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { n: numberPort },
  run: () => Effect.succeed({ n: 1 })
})
export const both = Operator.make("both", {
  description: "Adds",
  params: Schema.Struct({}),
  inputs: { left: numberPort, right: numberPort },
  outputs: { n: numberPort },
  run: ({ inputs }) => Effect.succeed({ n: (inputs.left + inputs.right) % 1000 })
})

/** What `fickle` gives: it breaks its word when this changes, and gives other bytes for the same key. */
export const given = { n: 1 }
export const fickle = Operator.make("fickle", {
  description: "Whatever is given",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { n: numberPort },
  run: () => Effect.sync(() => ({ n: given.n }))
})
