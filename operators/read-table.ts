/**
 * Reads a user's own rows: rankings, demonstrations, prompts.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { parameter } from "./parameter.ts"
import { findFiles } from "./readers/files.ts"
import { tableExtensions, tableOfFiles } from "./readers/table-files.ts"

/** One path or several: a file, a folder, a glob or `npm:package`. */
export const Paths = Schema.Union([Schema.String, Schema.Array(Schema.String)]).annotate({
  description: "a file, a folder, a glob or npm:package, or several"
})

/** What becomes of bytes in a text file that are not UTF-8. */
export const InvalidUtf8 = parameter(
  Schema.Literals(["refuse", "replace"]),
  "refuse",
  "bytes that are not UTF-8: refuse the file, or replace them by U+FFFD"
)

/**
 * The operator `name` that reads rows of `rowSchema` from .jsonl, .csv (with a header; lists as JSON), .parquet and .arrow files. Other
 * columns are left out. A row that does not fit fails with its file, line or row, column and value.
 */
export const readTable = <Row>(name: string, rowSchema: Table.RowSchema<Row>) =>
  Operator.make(name, {
    description: "Reads rows from JSONL, CSV, Parquet and Arrow files",
    params: Schema.Struct({ paths: Paths, invalidUtf8: InvalidUtf8 }),
    inputs: {},
    outputs: { rows: Table.of(rowSchema) },
    sources: ({ paths }) => findFiles(name, typeof paths === "string" ? [paths] : paths, tableExtensions),
    run: ({ params: { invalidUtf8 }, sources }) =>
      Effect.succeed({ rows: tableOfFiles(rowSchema, sources, { operator: name, invalidUtf8 }) })
  })
