/**
 * Documents from files.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import { extname } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { OperatorError, type SourceFile } from "../../src/operator/operator.ts"
import * as Table from "../../src/table/index.ts"
import * as Ipc from "../../src/table/ipc.ts"
import { show } from "../../src/table/misfit.ts"
import type { Document } from "../rows.ts"
import { type LooseRow, looseRows, readAll } from "./loose-rows.ts"
import { tableExtensions } from "./table-files.ts"
import { type Reading, textChunks } from "./text-chunks.ts"

/** The kinds of files that hold documents. */
export const documentExtensions = [".txt", ".md", ...tableExtensions]

const idText = Schema.NullOr(Schema.String)
const idNumber = Schema.NullOr(Schema.BigInt)

/** The documents of one file. */
export const documentsOf = (
  file: SourceFile,
  textColumn: string,
  reading: Reading
): Stream.Stream<Document, OperatorError> => {
  const extension = extname(file.path).toLowerCase()
  if (extension === ".arrow") return fromArrow(file, textColumn, reading)
  return tableExtensions.includes(extension) ? fromRows(file, textColumn, reading) : fromText(file, reading)
}

/** A text file with more characters than this is cut into several documents, so that no file is too large. */
const LONGEST = 64 * 1024 * 1024

const fromText = (file: SourceFile, reading: Reading): Stream.Stream<Document, OperatorError> =>
  readAll(() => textsOf(file, reading), file, reading)

async function* textsOf(file: SourceFile, reading: Reading): AsyncGenerator<Document> {
  const { name } = file
  let parts: Array<string> = []
  let length = 0
  let given = 0
  const give = (text: string): Document => {
    given++
    return { id: given === 1 ? name : `${name}#${given}`, text, source: name }
  }
  for await (const chunk of textChunks(file, reading)) {
    parts.push(chunk)
    length += chunk.length
    if (length < LONGEST) continue
    const text = parts.join("")
    const paragraph = text.lastIndexOf("\n\n")
    const line = text.lastIndexOf("\n")
    const end = paragraph > 0 ? paragraph + 2 : line > 0 ? line + 1 : text.length
    yield give(text.slice(0, end))
    parts = [text.slice(end)]
    length = text.length - end
  }
  if (length > 0 || given === 0) yield give(parts.join(""))
}

const fromRows = (file: SourceFile, textColumn: string, reading: Reading): Stream.Stream<Document, OperatorError> =>
  Stream.flattenIterable(readAll(() => documentPages(file, textColumn, reading), file, reading))

async function* documentPages(file: SourceFile, textColumn: string, reading: Reading) {
  for await (const rows of looseRows(file, reading)) {
    yield rows.map((row) => fromRow(row, file.name, textColumn, reading))
  }
}

const fromRow = ({ place, value }: LooseRow, name: string, textColumn: string, { operator }: Reading): Document => {
  const text = value[textColumn]
  if (typeof text === "string") return documentOf(name, value["id"], text)
  const present = Object.keys(value).join(", ") || "none"
  const message =
    textColumn in value
      ? `column "${textColumn}": ${show(text)} is not a string`
      : `there is no column "${textColumn}" (the parameter textColumn); there are: ${present}`
  throw new OperatorError({
    operator,
    place: `${name}, ${place}, column "${textColumn}"`,
    message: `${name}, ${place}: ${message}`
  })
}

/** The row's own id where it has one; else one that stays when other rows come before it. */
const documentOf = (source: string, id: unknown, text: string): Document => ({
  id:
    (typeof id === "string" && id !== "") || typeof id === "number" || typeof id === "bigint"
      ? String(id)
      : `${source}#${createHash("sha256").update(text).digest("hex").slice(0, 16)}`,
  text,
  source
})

const fromArrow = (file: SourceFile, textColumn: string, reading: Reading): Stream.Stream<Document, OperatorError> => {
  const { name, path } = file
  return Stream.unwrap(
    Effect.map(Ipc.schema(path, name), ({ fields }) => {
      const id = idSchemas[String(fields.find((field) => field.name === "id")?.type)]
      const columns = Schema.Struct({ ...(id === undefined ? {} : { id }), [textColumn]: Schema.String })
      const { rows } = Table.fromBatches(
        columns as unknown as Table.RowSchema<Readonly<Record<string, unknown>>>,
        Ipc.read(path, name),
        { name }
      )
      return Stream.map(rows, (row) => documentOf(name, row["id"], String(row[textColumn])))
    })
  ).pipe(
    Stream.mapError((error) => {
      const place = error._tag === "TableError" ? `row ${error.row}, column "${error.column}"` : error.place
      return new OperatorError({ operator: reading.operator, place: `${name}, ${place}`, message: error.message })
    })
  )
}

/** The Arrow types of an `id` column that ids are taken from. */
const idSchemas: { readonly [type: string]: typeof idText | typeof idNumber } = {
  Utf8: idText,
  LargeUtf8: idText,
  Utf8View: idText,
  Int32: idNumber,
  Int64: idNumber
}
