/**
 * The logical digest of a table: the same for the same rows, however they are cut into batches and whatever Arrow encoding they came in.
 *
 * Each column is up to three streams of bytes: validity (a byte a row, for nullable columns), lengths (int32, for utf8 and lists) and
 * values (little endian; zero where a row is null). The digest is SHA-256 over the schema in words, the number of rows and the SHA-256 of
 * every stream in column order.
 *
 * @since 0.1.0
 */
import { createHash, type Hash } from "node:crypto"
import { digestOf } from "../operator/digest.ts"
import type { Batch } from "./arrow.ts"
import type { Cells } from "./cells.ts"
import { type Column, inWords } from "./columns.ts"

/** A digest to which batches are added in order. */
export interface TableDigest {
  readonly add: (batch: Batch) => void
  readonly rows: () => number
  readonly finish: () => string
}

/** Starts the digest of a table with these columns. */
export const tableDigest = (columns: ReadonlyArray<Column>): TableDigest => {
  const digests = columns.map(columnDigest)
  let rows = 0
  return {
    add: ({ cells, length }) => {
      rows += length
      for (let i = 0; i < cells.length; i++) digests[i]!.add(cells[i]!)
    },
    rows: () => rows,
    finish: () =>
      digestOf("table", {
        schema: columns.map((column) => [column.name, inWords(column)]),
        rows,
        columns: digests.flatMap((digest) => digest.finish())
      })
  }
}

interface ColumnDigest {
  readonly add: (cells: Cells) => void
  readonly finish: () => ReadonlyArray<string>
}

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

const columnDigest = (column: Column): ColumnDigest => {
  const { missing, type } = column
  const streams: Array<Hash> = []
  const stream = () => {
    const hash = createHash("sha256")
    streams.push(hash)
    return hash
  }
  const validity = missing === "never" ? undefined : stream()
  const lengths = type.kind === "utf8" || type.kind === "list" ? stream() : undefined
  const values = type.kind === "list" || type.kind === "struct" ? undefined : stream()
  const inner = type.kind === "list" ? [type.item] : type.kind === "struct" ? type.fields : []
  const children = inner.map(columnDigest)
  return {
    add: (cells) => {
      validity?.update(cells.valid ?? new Uint8Array(cells.length).fill(1))
      lengths?.update(bytesOf(lengthsOf(cells.offsets!)))
      values?.update(bytesOf(cells.values))
      for (let i = 0; i < children.length; i++) children[i]!.add(cells.children[i]!)
    },
    finish: () => [...streams.map((hash) => hash.digest("hex")), ...children.flatMap((child) => child.finish())]
  }
}

const lengthsOf = (offsets: Int32Array): Int32Array => {
  const lengths = new Int32Array(offsets.length - 1)
  for (let i = 0; i < lengths.length; i++) lengths[i] = offsets[i + 1]! - offsets[i]!
  return lengths
}
