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
import { multiplyEach } from "./product.ts"

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
  const qkv = call.get("qkv")([batch, length, (heads + 2 * keyHeads) * headWidth])
  const written = tf.gather(qkv, tf.tensor1d(members, "int32"))
  /** [count, keyHeads, length, headWidth] */
  const split = (column: number) =>
    tf.transpose(
      tf.reshape(tf.slice(written, [0, 0, column], [count, length, keyHeads * headWidth]), [
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
    return { table, old: tf.gather(table, tf.tensor1d(to, "int32")) }
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
  const { batch, capacity, headWidth, heads, keyHeads } = call.integers
  const positions = call.integersOf("positions")
  checkRange(positions, capacity)
  const rows = batch * keyHeads
  const group = heads / keyHeads
  const blocks = Math.ceil(capacity / cacheBlock)
  const padded = blocks * cacheBlock
  const qkv = call.get("qkv")([batch, (heads + 2 * keyHeads) * headWidth])
  const part = (column: number, of: number) => tf.slice2d(qkv, [0, column * headWidth], [batch, of * headWidth])
  const q = tf.reshape(tf.mul(part(0, heads), 1 / Math.sqrt(headWidth)), [rows, group, headWidth]) as Tensor3D
  const newKeys = tf.reshape(part(heads, keyHeads), [rows, headWidth, 1])
  const newValues = tf.reshape(part(heads + keyHeads, keyHeads), [rows, headWidth]) as Tensor2D
  const perRow = <A>(of: (position: number) => A) =>
    Array.from({ length: rows }, (_, row) => of(positions[Math.floor(row / keyHeads)]!))

  const oldValues = call.get("values")([rows * capacity, headWidth])
  const valuePlaces = Int32Array.from(
    perRow((position) => position),
    (position, row) => row * capacity + position
  )
  const values = withRows(tf, oldValues, newValues, valuePlaces)
  call.set("values", values)

  // A key is a column of its block, so the blocks are taken out, changed and put back.
  const oldKeys = call.get("keys")([rows * blocks, headWidth * cacheBlock])
  const keyPlaces = Int32Array.from(
    perRow((position) => Math.floor(position / cacheBlock)),
    (block, row) => row * blocks + block
  )
  const block = tf.reshape(tf.gather(oldKeys, tf.tensor1d(keyPlaces, "int32")), [rows, headWidth, cacheBlock])
  const columns = Int32Array.from(perRow((position) => position % cacheBlock))
  const column = tf.reshape(tf.oneHot(tf.tensor1d(columns, "int32"), cacheBlock), [rows, 1, cacheBlock])
  const changed = tf.where(
    tf.cast(tf.tile(column, [1, headWidth, 1]), "bool"),
    tf.tile(newKeys, [1, 1, cacheBlock]),
    block
  )
  const keys = withRows(tf, oldKeys, tf.reshape(changed, [rows, headWidth * cacheBlock]), keyPlaces)
  call.set("keys", keys)

  const queries = tf.reshape(tf.tile(tf.expandDims(q, 1), [1, blocks, 1, 1]), [rows * blocks, group, headWidth])
  const products = multiplyEach(
    call.backend,
    queries as Tensor3D,
    tf.reshape(keys, [rows * blocks, headWidth, cacheBlock]) as Tensor3D
  )
  const scores = tf.reshape(tf.transpose(tf.reshape(products, [rows, blocks, group, cacheBlock]), [0, 2, 1, 3]), [
    rows,
    group,
    padded
  ])
  const seen = tf.slice3d(scores as Tensor3D, [0, 0, 0], [rows, group, capacity])
  const last = tf.tensor3d(Float32Array.from(perRow((position) => position)), [rows, 1, 1])
  const after = tf.greater(tf.reshape(tf.range(0, capacity), [1, 1, capacity]), last)
  const masked = tf.where(
    tf.cast(tf.tile(tf.cast(after, "int32"), [1, group, 1]), "bool"),
    tf.fill(seen.shape, -1e30),
    seen
  )
  const weights = tf.exp(tf.sub(masked, tf.max(masked, 2, true))) as Tensor3D
  const mixed = multiplyEach(call.backend, weights, tf.reshape(values, [rows, capacity, headWidth]) as Tensor3D)
  call.set("out", tf.div(mixed, tf.sum(weights, 2, true)))
}
