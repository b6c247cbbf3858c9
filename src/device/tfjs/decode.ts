/**
 * The cache of keys and values, and attention of one new token a sequence against it. keys: [slots, keyHeads, blocks, headWidth, cacheBlock];
 * values: [slots, keyHeads, capacity, headWidth].
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor2D, Tensor3D } from "@tensorflow/tfjs-core"
import { cacheBlock } from "../kernel.ts"
import { type Call, checkRange, OutOfRange } from "./call.ts"
import type { Tf } from "./memory.ts"
import { hidden, multiplyEach } from "./product.ts"

/** A table with some rows in the place of others. */
const withRows = (tf: Tf, table: Tensor2D, rows: Tensor2D, places: Int32Array): Tensor =>
  tf.tensorScatterUpdate(table, tf.tensor2d(places, [places.length, 1], "int32"), rows)

export const cacheWrite = (call: Call<"cacheWrite">): void => {
  const { tf } = call
  const { batch, capacity, headWidth, heads, keyHeads, length, slots } = call.integers
  const places = call.has("places") ? call.integersOf("places") : Int32Array.from({ length: batch }, (_, b) => b)
  places.forEach((slot, row) => {
    if (slot >= slots) throw new OutOfRange(row, slot, slots)
  })
  const members = Int32Array.from(places.keys()).filter((row) => places[row]! >= 0)
  if (members.length === 0) return
  const to = members.map((row) => places[row]!)
  const count = members.length
  const blocks = Math.ceil(capacity / cacheBlock)
  const padded = blocks * cacheBlock
  const { rows: rowsOf, window } = call.backend.moves
  const rowWidth = (heads + 2 * keyHeads) * headWidth
  const written = tf.reshape(rowsOf(call.get("qkv")([batch, length * rowWidth]), members), [count * length, rowWidth])
  /** [count, keyHeads, length, headWidth] */
  const split = (column: number) =>
    tf.transpose(
      tf.reshape(window(written as Tensor2D, 0, column, count * length, keyHeads * headWidth), [
        count,
        length,
        keyHeads,
        headWidth
      ]),
      [0, 2, 1, 3]
    )
  /** The slots' rows with the first positions overwritten: `old` and what is given are [count, keyHeads, positions, headWidth]. */
  const over = (old: Tensor, fresh: Tensor, positions: number) =>
    length === positions
      ? fresh
      : tf.concat([fresh, tf.slice(old, [0, 0, length, 0], [count, keyHeads, positions - length, headWidth])], 2)
  const slotRows = (name: "keys" | "values", size: number) => {
    const table = call.get(name)([slots, size])
    return { table, old: rowsOf(table, to) }
  }
  const [keyRow, valueRow] = [keyHeads * padded * headWidth, keyHeads * capacity * headWidth]

  const values = slotRows("values", valueRow)
  const oldValues = tf.reshape(values.old, [count, keyHeads, capacity, headWidth])
  const newValues = over(oldValues, split((heads + keyHeads) * headWidth), capacity)
  call.set("values", withRows(tf, values.table, tf.reshape(newValues, [count, valueRow]), to))

  const keys = slotRows("keys", keyRow)
  const inBlocks = tf.reshape(keys.old, [count * keyHeads * blocks, headWidth, cacheBlock])
  const oldKeys = tf.reshape(tf.transpose(inBlocks, [0, 2, 1]), [count, keyHeads, padded, headWidth])
  const newKeys = tf.reshape(over(oldKeys, split(heads * headWidth), padded), [-1, cacheBlock, headWidth])
  call.set("keys", withRows(tf, keys.table, tf.reshape(tf.transpose(newKeys, [0, 2, 1]), [count, keyRow]), to))
}

export const decodeAttention = (call: Call<"decodeAttention">): void => {
  const { tf } = call
  const { rows: rowsOf, window } = call.backend.moves
  const { batch, capacity, headWidth, heads, keyHeads } = call.integers
  const positions = call.integersOf("positions")
  checkRange(positions, capacity)
  const rows = batch * keyHeads
  const group = heads / keyHeads
  const blocks = Math.ceil(capacity / cacheBlock)
  const padded = blocks * cacheBlock
  const qkv = call.get("qkv")([batch, (heads + 2 * keyHeads) * headWidth])
  const part = (column: number, of: number) => window(qkv, 0, column * headWidth, batch, of * headWidth)
  const q = tf.mul(part(0, heads), 1 / Math.sqrt(headWidth))
  const newKeys = tf.reshape(part(heads, keyHeads), [rows, headWidth, 1])
  const newValues = tf.reshape(part(heads + keyHeads, keyHeads), [rows, headWidth]) as Tensor2D
  const perRow = (of: (position: number, row: number) => number) =>
    Int32Array.from({ length: rows }, (_, row) => of(positions[Math.floor(row / keyHeads)]!, row))

  const oldValues = call.get("values")([rows * capacity, headWidth])
  const valuePlaces = perRow((position, row) => row * capacity + position)
  const values = withRows(tf, oldValues, newValues, valuePlaces)
  call.set("values", values)

  // A key is a column of its block, so the blocks are taken out, changed and put back.
  const oldKeys = call.get("keys")([rows * blocks, headWidth * cacheBlock])
  const keyPlaces = perRow((position, row) => row * blocks + Math.floor(position / cacheBlock))
  const block = tf.reshape(rowsOf(oldKeys, keyPlaces), [rows, headWidth, cacheBlock])
  const columns = tf.tensor1d(
    perRow((position) => position % cacheBlock),
    "int32"
  )
  const column = tf.reshape(tf.cast(tf.oneHot(columns, cacheBlock), "float32"), [rows, 1, cacheBlock])
  const changed = tf.add(tf.mul(block, tf.sub(1, column)), tf.mul(newKeys, column))
  const keys = withRows(tf, oldKeys, tf.reshape(changed, [rows, headWidth * cacheBlock]), keyPlaces)
  call.set("keys", keys)

  // Each query with the keys of each block of its row.
  const repeated = Int32Array.from({ length: rows * blocks }, (_, i) => Math.floor(i / blocks))
  const queries = rowsOf(tf.reshape(q, [rows, group * headWidth]) as Tensor2D, repeated)
  const products = multiplyEach(
    call.backend,
    tf.reshape(queries, [rows * blocks, group, headWidth]) as Tensor3D,
    tf.reshape(keys, [rows * blocks, headWidth, cacheBlock]) as Tensor3D
  )
  const inOrder =
    group === 1 ? products : tf.transpose(tf.reshape(products, [rows, blocks, group, cacheBlock]), [0, 2, 1, 3])
  const scores = tf.reshape(inOrder, [batch, heads, padded])
  const later = new Float32Array(batch * padded)
  positions.forEach((position, b) => {
    later.fill(hidden, b * padded + position + 1, (b + 1) * padded)
  })
  const masked = tf.add(scores, tf.tensor3d(later, [batch, 1, padded]))
  const weights = tf.exp(tf.sub(masked, tf.max(masked, 2, true)))
  const sums = tf.reshape(tf.sum(weights, 2), [rows, group, 1])
  const seen = tf.reshape(
    padded === capacity ? weights : window(tf.reshape(weights, [batch * heads, padded]), 0, 0, batch * heads, capacity),
    [rows, group, capacity]
  ) as Tensor3D
  const mixed = multiplyEach(call.backend, seen, tf.reshape(values, [rows, capacity, headWidth]) as Tensor3D)
  call.set("out", tf.div(mixed, sums))
}
