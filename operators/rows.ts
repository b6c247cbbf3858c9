/**
 * Row types that several operators share.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Table from "../src/table/index.ts"

/** A text with a name: `id` tells it from other texts, `source` is the file it came from. */
export const Document = Schema.Struct({ id: Schema.String, text: Schema.String, source: Schema.String })
export type Document = typeof Document.Type

/** Token ids of a stretch of a document; `bytes` is the UTF-8 length of its text, for bits per byte. */
export const TokenSequence = Schema.Struct({ id: Schema.String, tokens: Table.Int32List, bytes: Schema.Int })
export type TokenSequence = typeof TokenSequence.Type
