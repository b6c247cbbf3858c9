/**
 * Rows of JSONL, CSV and Parquet files as objects, before they are checked against a schema.
 *
 * @since 0.1.0
 */
import { isUtf8 } from "node:buffer"
import { extname } from "node:path"
import { Readable } from "node:stream"
import * as zlib from "node:zlib"
import * as Stream from "effect/Stream"
import { OperatorError, type SourceFile } from "../../src/operator/operator.ts"
import { type Reading, textChunks } from "./text-chunks.ts"

/** A row and where it is in its file: "line 3", or "row 2" (from 0) where a file has no lines. */
export interface LooseRow {
  readonly value: { readonly [column: string]: unknown }
  readonly place: string
}

const describe = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

/** The rows of a file, by its extension, some at a time. */
export const looseRows = (file: SourceFile, reading: Reading): AsyncIterable<ReadonlyArray<LooseRow>> =>
  ({ ".jsonl": jsonLines, ".csv": csvRecords, ".parquet": parquetRows })[extname(file.path).toLowerCase()]!(
    file,
    reading
  )

/** What a reader gives, anew each time the stream is run. */
export const readAll = <A>(
  read: () => AsyncIterable<A>,
  { name }: SourceFile,
  { operator }: Reading
): Stream.Stream<A, OperatorError> =>
  Stream.suspend(() =>
    Stream.fromAsyncIterable(read(), (cause) =>
      cause instanceof OperatorError
        ? cause
        : new OperatorError({ operator, place: name, message: `${name} cannot be read: ${describe(cause)}` })
    )
  )

const refuse = ({ operator }: Reading, { name }: SourceFile, place: string, message: string) =>
  new OperatorError({ operator, place: `${name}, ${place}`, message: `${name}, ${place}: ${message}` })

const isObject = (value: unknown): value is LooseRow["value"] =>
  typeof value === "object" && value !== null && !Array.isArray(value)

async function* jsonLines(file: SourceFile, reading: Reading): AsyncGenerator<ReadonlyArray<LooseRow>> {
  let line = 0
  let rest = ""
  const parse = (text: string): ReadonlyArray<LooseRow> => {
    line++
    if (text.trim() === "") return []
    const place = `line ${line}`
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (cause) {
      throw refuse(reading, file, place, `not JSON: ${describe(cause)}`)
    }
    if (!isObject(value)) throw refuse(reading, file, place, `not a JSON object: ${text.slice(0, 80)}`)
    return [{ value, place }]
  }
  for await (const chunk of textChunks(file, reading)) {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop()!
    yield lines.flatMap(parse)
  }
  yield parse(rest)
}

async function* csvRecords(file: SourceFile, reading: Reading): AsyncGenerator<ReadonlyArray<LooseRow>> {
  const { CsvError, parse } = await import("csv-parse")
  const columns = (header: ReadonlyArray<string>) => {
    const twice = header.find((name, i) => header.indexOf(name) !== i)
    if (twice !== undefined) throw refuse(reading, file, "line 1", `two columns are named ${JSON.stringify(twice)}`)
    return [...header]
  }
  const source = Readable.from(textChunks(file, reading))
  const parser = source.pipe(parse({ columns, info: true, skip_empty_lines: true }))
  // `pipe` does not hand on the errors of its source.
  source.on("error", (error) => parser.destroy(error))
  type Parsed = { readonly record: LooseRow["value"]; readonly info: { readonly lines: number } }
  try {
    let rows: Array<LooseRow> = []
    for await (const { info, record } of parser as AsyncIterable<Parsed>) {
      rows.push({ value: record, place: `line ${info.lines}` })
      if (rows.length < 1024) continue
      yield rows
      rows = []
    }
    yield rows
  } catch (cause) {
    throw cause instanceof CsvError ? refuse(reading, file, `line ${cause["lines"]}`, cause.message) : cause
  } finally {
    source.destroy()
  }
}

/** Decompression by Node where it has it; hyparquet has Snappy itself. */
const compressors = async () => {
  const { decompressLz4, decompressLz4Raw } = await import("hyparquet-compressors")
  return {
    GZIP: (input: Uint8Array) => zlib.gunzipSync(input),
    BROTLI: (input: Uint8Array) => zlib.brotliDecompressSync(input),
    ZSTD: (input: Uint8Array) => zlib.zstdDecompressSync(input),
    LZ4: decompressLz4,
    LZ4_RAW: decompressLz4Raw
  }
}

/** Bytes of a text column that are not UTF-8: no schema takes them for a text. */
class InvalidText {
  readonly notUtf8: string
  constructor(bytes: Uint8Array) {
    this.notUtf8 = Buffer.from(bytes.subarray(0, 24)).toString("hex")
  }
}

const stringFromBytes = (bytes: Uint8Array | undefined) => {
  if (bytes === undefined) return undefined
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(buffer) ? buffer.toString("utf8") : new InvalidText(buffer)
}

/** Reads one row group at a time, and gives its rows a page of rows at a time. */
async function* parquetRows({ path }: SourceFile, { invalidUtf8 }: Reading): AsyncGenerator<ReadonlyArray<LooseRow>> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet")
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  const options = {
    file,
    metadata,
    compressors: await compressors(),
    ...(invalidUtf8 === "refuse" ? { parsers: { stringFromBytes } } : {})
  }
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    const rows = await parquetReadObjects({ ...options, rowStart, rowEnd })
    yield rows.map((value, i) => ({ value, place: `row ${rowStart + i}` }))
    rowStart = rowEnd
  }
}
