/** Operators on the lines of one file. */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../../src/operator/operator.ts"
import * as Table from "../../src/table/index.ts"
import { Length } from "./tables.ts"

export const Line = Schema.Struct({ text: Schema.String })

export const lines = Operator.make("lines", {
  description: "The lines of a file",
  params: Schema.Struct({ file: Schema.String }),
  inputs: {},
  outputs: { lines: Table.of(Line) },
  sources: ({ file }) => Effect.succeed([{ path: file, name: "the file" }]),
  run: ({ sources }) =>
    Effect.sync(() => {
      const texts = fs.readFileSync(sources[0]!.path, "utf8").trimEnd().split("\n")
      return {
        lines: Table.fromRows(
          Line,
          texts.map((text) => ({ text }))
        )
      }
    })
})

export const lengthsOf = Operator.make("lengthsOf", {
  description: "The length of each line",
  params: Schema.Struct({}),
  inputs: { lines: Table.of(Line) },
  outputs: { lengths: Table.of(Length) },
  run: ({ inputs }) =>
    Effect.succeed({
      lengths: Table.fromRows(
        Length,
        Stream.map(inputs.lines.rows, ({ text }) => ({ length: text.length }))
      )
    })
})

export const double = Operator.make("double", {
  description: "Twice each length",
  params: Schema.Struct({}),
  inputs: { lengths: Table.of(Length) },
  outputs: { lengths: Table.of(Length) },
  run: ({ inputs }) =>
    Effect.succeed({
      lengths: Table.fromRows(
        Length,
        Stream.map(inputs.lengths.rows, ({ length }) => ({ length: 2 * length }))
      )
    })
})
