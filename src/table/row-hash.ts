/**
 * A 32-bit hash and a weight in bytes for every row of a batch, from the row's content alone.
 *
 * @since 0.1.0
 */
import type { Batch } from "./arrow.ts"
import type { Cells } from "./cells.ts"
import type { Column } from "./columns.ts"

/** By row. Equal rows have equal hashes; a hash is spread evenly but is no digest. */
export interface RowHashes {
  readonly hashes: Uint32Array
  readonly weights: Float64Array
}

/** Mixes a word into a hash (the step of FNV-1a and a shift, so that high bits reach low ones). */
const mix = (hash: number, word: number): number => {
  const product = Math.imul(hash ^ word, 0x01000193)
  return product ^ (product >>> 15)
}

/** What a row weighs besides its values: so many rows of nothing still fill a batch. */
const ROW_BYTES = 32

/** The hashes and weights of a batch's rows. */
export const rowHashes = (columns: ReadonlyArray<Column>, batch: Batch): RowHashes => {
  const hashes = new Int32Array(batch.length).fill(0x811c9dc5 | 0)
  const weights = new Float64Array(batch.length).fill(ROW_BYTES)
  for (let i = 0; i < columns.length; i++) add(columns[i]!, batch.cells[i]!, hashes, weights)
  for (let i = 0; i < hashes.length; i++) hashes[i] = finalize(hashes[i]!)
  return { hashes: new Uint32Array(hashes.buffer), weights }
}

/** Spreads a hash over all its bits (the last step of MurmurHash3). */
const finalize = (hash: number): number => {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

const add = (column: Column, cells: Cells, hashes: Int32Array, weights: Float64Array): void => {
  const { children, offsets, valid, values } = cells
  const { length } = hashes
  const { type } = column
  if (column.missing !== "never") {
    for (let i = 0; i < length; i++) hashes[i] = mix(hashes[i]!, valid?.[i] ?? 1)
  }
  if (type.kind === "struct") {
    for (let i = 0; i < children.length; i++) add(type.fields[i]!, children[i]!, hashes, weights)
  } else if (type.kind === "utf8") {
    for (let i = 0; i < length; i++) {
      const end = offsets![i + 1]!
      let hash = hashes[i]!
      for (let at = offsets![i]!; at < end; at++) hash = Math.imul(hash ^ (values as Uint8Array)[at]!, 0x01000193)
      hashes[i] = mix(hash, end - offsets![i]!)
      weights[i]! += end - offsets![i]!
    }
  } else if (type.kind === "list" && type.item.missing === "never" && isScalar(type.item)) {
    const { perValue, width, words } = wordsOf(children[0]!)
    for (let i = 0; i < length; i++) {
      const end = offsets![i + 1]!
      let hash = mix(hashes[i]!, end - offsets![i]!)
      for (let at = offsets![i]! * perValue; at < end * perValue; at++) hash = mix(hash, words[at]!)
      hashes[i] = hash
      weights[i]! += (end - offsets![i]!) * width
    }
  } else if (type.kind === "list") {
    const itemHashes = new Int32Array(children[0]!.length)
    const itemWeights = new Float64Array(children[0]!.length)
    add(type.item, children[0]!, itemHashes, itemWeights)
    for (let i = 0; i < length; i++) {
      const end = offsets![i + 1]!
      let hash = mix(hashes[i]!, end - offsets![i]!)
      for (let at = offsets![i]!; at < end; at++) {
        hash = mix(hash, itemHashes[at]!)
        weights[i]! += itemWeights[at]!
      }
      hashes[i] = hash
    }
  } else {
    const { perValue, width, words } = wordsOf(cells)
    for (let i = 0; i < length; i++) {
      hashes[i] = mix(hashes[i]!, words[i * perValue]!)
      if (perValue === 2) hashes[i] = mix(hashes[i]!, words[i * 2 + 1]!)
      weights[i]! += width
    }
  }
}

const isScalar = ({ type }: Column) => type.kind !== "utf8" && type.kind !== "list" && type.kind !== "struct"

/** Flat values as 32-bit words, how many a value has, and its bytes. */
const wordsOf = ({ values }: Cells) => {
  const width = values.BYTES_PER_ELEMENT
  const words =
    width === 1 ? (values as Uint8Array) : new Int32Array(values.buffer, values.byteOffset, values.byteLength >> 2)
  return { words, width, perValue: width === 8 ? 2 : 1 }
}
