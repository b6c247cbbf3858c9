/** texts -> tidied (says where its columns come from) -> measured (does not) -> counted; `fails`: measuring does. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../src/operator/operator.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import * as Table from "../../src/table/index.ts"
import { numberPort } from "../executor/json-port.ts"

const Text = Schema.Struct({ id: Schema.String, text: Schema.String, source: Schema.String })
const Tidied = Schema.Struct({ name: Schema.String, text: Schema.String, constant: Schema.Int })
/** What the measure sees of a tidied text. */
const Seen = Schema.Struct({ name: Schema.String, text: Schema.String })
const Measured = Schema.Struct({ name: Schema.String, length: Schema.Int })

export const texts = Operator.make("texts", {
  description: "The lines of a file",
  params: Schema.Struct({ file: Schema.String }),
  inputs: {},
  outputs: { texts: Table.of(Text) },
  sources: ({ file }) => Effect.succeed([{ path: file, name: path.basename(file) }]),
  run: ({ sources }) =>
    Effect.sync(() => {
      const lines = fs.readFileSync(sources[0]!.path, "utf8").split("\n")
      return {
        texts: Table.fromRows(
          Text,
          lines.map((text, i) => ({ id: `${i}`, text, source: sources[0]!.name }))
        )
      }
    })
})

export const tidy = Operator.make("tidy", {
  description: "Takes white space away",
  params: Schema.Struct({}),
  inputs: { texts: Table.of(Text) },
  outputs: { tidied: Table.of(Tidied) },
  columns: { tidied: { name: { same: ["texts.id"] }, text: { from: ["texts.text"] }, constant: {} } },
  run: ({ inputs }) =>
    Effect.map(Table.collect(inputs.texts), (rows) => ({
      tidied: Table.fromRows(
        Tidied,
        rows.map(({ id, text }) => ({ name: id, text: text.trim(), constant: 1 }))
      )
    }))
})

export const measure = Operator.make("measure", {
  description: "The length of each text",
  params: Schema.Struct({ fails: Schema.Boolean, waits: Schema.Boolean }),
  inputs: { tidied: Table.of(Seen) },
  outputs: { measured: Table.of(Measured) },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const rows = yield* Table.collect(inputs.tidied)
    for (const [i, { text }] of rows.entries()) {
      yield* stage.report({ step: i + 1, steps: rows.length, metrics: { length: text.length } })
    }
    if (params.waits) yield* Effect.never
    if (params.fails) {
      return yield* new Operator.OperatorError({ operator: "measure", place: "row 0", message: "it is too short" })
    }
    const measured = rows.map(({ name, text }) => ({ name, length: text.length }))
    return { measured: Table.fromRows(Measured, measured) }
  })
})

export const count = Operator.make("count", {
  description: "The rows of a table",
  params: Schema.Struct({}),
  inputs: { measured: Table.of(Measured) },
  outputs: { n: numberPort },
  run: ({ inputs }) => Effect.map(Table.count(inputs.measured), (n) => ({ n }))
})

const Params = Schema.Struct({
  file: Schema.String,
  fails: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  waits: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false)))
})

export const measuring = Pipeline.make("measuring", { description: "Measures texts", params: Params }, (p, params) => {
  const { texts: read } = p.add(texts, { params: { file: params.file } })
  const { tidied } = p.add(tidy, { inputs: { texts: read } })
  const { measured } = p.add(measure, { inputs: { tidied }, params: { fails: params.fails, waits: params.waits } })
  return { measured, n: p.add(count, { inputs: { measured } }).n }
})
