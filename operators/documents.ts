/**
 * Reads documents: text with a name.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { parameter } from "./parameter.ts"
import { InvalidUtf8, Paths } from "./read-table.ts"
import { documentExtensions, documentsOf } from "./readers/document-files.ts"
import { findFiles } from "./readers/files.ts"
import { Document } from "./rows.ts"

/** The documents up to `limit` bytes of text in all; the last is cut short at a character. */
const upTo =
  (limit: number) =>
  <E>(documents: Stream.Stream<Document, E>): Stream.Stream<Document, E> =>
    limit === 0
      ? documents
      : documents.pipe(
          Stream.mapAccum(
            () => limit,
            (left: number, document) => {
              const bytes = Buffer.from(document.text)
              if (bytes.length <= left) return [left - bytes.length, [{ document, full: bytes.length === left }]]
              const text = bytes
                .subarray(0, left)
                .toString("utf8")
                .replace(/\ufffd$/, "")
              return [0, [{ document: { ...document, text }, full: true }]]
            }
          ),
          Stream.takeUntil(({ full }) => full),
          Stream.map(({ document }) => document)
        )

/**
 * A document a file for .txt and .md, a document a row for .jsonl, .csv, .parquet and .arrow. A document's `id` is the name of its file, or the
 * row's own `id`, or the file's name with a digest of the text: it does not depend on what else is read.
 */
export const readDocuments = Operator.make("documents", {
  description: "Reads documents from text, Markdown, JSONL, CSV, Parquet and Arrow files",
  params: Schema.Struct({
    paths: Paths,
    textColumn: parameter(
      Schema.String,
      "text",
      "the column of .jsonl, .csv, .parquet and .arrow files that has the text"
    ),
    limitBytes: parameter(
      Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
      0,
      "bytes of text to read at most, from the first files on; 0 reads all"
    ),
    invalidUtf8: InvalidUtf8
  }),
  inputs: {},
  outputs: { documents: Table.of(Document) },
  sources: ({ paths }) => findFiles("documents", typeof paths === "string" ? [paths] : paths, documentExtensions),
  run: ({ params, sources }) => {
    const { invalidUtf8, limitBytes, textColumn } = params
    const documents = Stream.flatMap(Stream.fromIterable(sources), (file) =>
      documentsOf(file, textColumn, { operator: "documents", invalidUtf8 })
    )
    return Effect.succeed({ documents: Table.fromRows(Document, upTo(limitBytes)(documents)) })
  }
})
