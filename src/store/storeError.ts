/**
 * What can go wrong with a store.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** A store could not be opened, read or written. `place` is the file or blob; `message` says what is wrong and what to do. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  reason: Schema.Literals([
    "full",
    "read-only",
    "permission",
    "lost",
    "corrupt",
    "newer-format",
    "not-a-store",
    "lease-lost",
    "io"
  ]),
  place: Schema.String,
  message: Schema.String
}) {}
