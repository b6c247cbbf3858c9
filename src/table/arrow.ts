/**
 * Cells to Arrow. Apache Arrow is loaded when a batch is first made or read, not when a pipeline is.
 *
 * @since 0.1.0
 */
import * as zlib from "node:zlib"
import type { Data, DataType, Field, RecordBatch, Schema } from "apache-arrow"
import type { Cells } from "./cells.ts"
import type { Column } from "./columns.ts"
import { decompressFrame } from "./lz4.ts"

export type Arrow = typeof import("apache-arrow")

let loaded: Promise<Arrow> | undefined

/** Apache Arrow, loaded once, with decompression of what other programs write. */
export const load = (): Promise<Arrow> => {
  loaded ??= import("apache-arrow").then((arrow) => {
    const { LZ4_FRAME, ZSTD } = arrow.CompressionType
    arrow.compressionRegistry.set(LZ4_FRAME, { decode: decompressFrame })
    arrow.compressionRegistry.set(ZSTD, { decode: (bytes) => zlib.zstdDecompressSync(bytes) })
    return arrow
  })
  return loaded
}

/** A batch of rows as cells. */
export interface Batch {
  readonly length: number
  readonly cells: ReadonlyArray<Cells>
}

const arrowType = (arrow: Arrow, { type }: Column): DataType => {
  switch (type.kind) {
    case "utf8":
      return new arrow.Utf8()
    case "bool":
      return new arrow.Bool()
    case "int32":
      return new arrow.Int32()
    case "int64":
    case "bigint":
      return new arrow.Int64()
    case "float32":
      return new arrow.Float32()
    case "float64":
      return new arrow.Float64()
    case "list":
      return new arrow.List(arrowField(arrow, type.item))
    case "struct":
      return new arrow.Struct(type.fields.map((field) => arrowField(arrow, field)))
  }
}

const arrowField = (arrow: Arrow, column: Column): Field =>
  new arrow.Field(column.name, arrowType(arrow, column), column.missing !== "never")

/** The Arrow schema of the columns. */
export const arrowSchema = (arrow: Arrow, columns: ReadonlyArray<Column>): Schema =>
  new arrow.Schema(columns.map((column) => arrowField(arrow, column)))

const packBits = (bytes: Uint8Array): Uint8Array => {
  const bits = new Uint8Array((bytes.length + 7) >> 3)
  for (let i = 0; i < bytes.length; i++) bits[i >> 3]! |= bytes[i]! << (i & 7)
  return bits
}

const countZeros = (bytes: Uint8Array): number => {
  let zeros = 0
  for (const byte of bytes) zeros += 1 - byte
  return zeros
}

const toData = (arrow: Arrow, column: Column, cells: Cells): Data => {
  const { length, offsets, valid, values } = cells
  const { kind } = column.type
  const fields =
    column.type.kind === "struct" ? column.type.fields : column.type.kind === "list" ? [column.type.item] : []
  const children = fields.map((field, index) => toData(arrow, field, cells.children[index]!))
  return arrow.makeData({
    type: arrowType(arrow, column),
    length,
    nullCount: valid === undefined ? 0 : countZeros(valid),
    nullBitmap: valid === undefined ? null : packBits(valid),
    ...(offsets === undefined ? {} : { valueOffsets: offsets }),
    ...(kind === "list" ? { child: children[0] } : kind === "struct" ? { children } : {}),
    data: kind === "bool" ? packBits(values as Uint8Array) : values
  } as never)
}

/** A record batch over the arrays of the cells. */
export const toRecordBatch = (
  arrow: Arrow,
  schema: Schema,
  columns: ReadonlyArray<Column>,
  batch: Batch
): RecordBatch =>
  new arrow.RecordBatch(
    schema,
    arrow.makeData({
      type: new arrow.Struct(schema.fields),
      length: batch.length,
      nullCount: 0,
      children: columns.map((column, index) => toData(arrow, column, batch.cells[index]!))
    })
  )
