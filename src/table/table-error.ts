/**
 * What a table refuses.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A row, a batch or a schema does not fit. `column` is a path (`steps[2].reward`), `row` counts from 0 over the whole table (absent when
 * the schema itself does not fit), `value` is the offending value in words, cut to 80 characters.
 */
export class TableError extends Schema.TaggedError<TableError>()("TableError", {
  table: Schema.String,
  column: Schema.String,
  row: Schema.optionalKey(Schema.Number),
  value: Schema.optionalKey(Schema.String),
  message: Schema.String
}) {}
