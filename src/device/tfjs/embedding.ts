/**
 * Looking up rows of tables, its gradient, and rotary positions.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor2D } from "@tensorflow/tfjs-core"
import type { Backend } from "./backend.ts"
import { type Call, checkRange } from "./call.ts"

export const embedding = (call: Call<"embedding">): void => {
  const { tf } = call
  const { context, vocabulary, width } = call.integers
  const ids = call.integersOf("ids")
  checkRange(ids, vocabulary)
  const { rows } = call.backend.moves
  const tokens = rows(call.get("tokenTable")([vocabulary, width]), ids)
  if (call.has("positions")) {
    const positions = call.integersOf("positions")
    checkRange(positions, context)
    call.set("out", tf.add(tokens, rows(call.get("positionTable")([context, width]), positions)))
  } else call.set("out", tokens)
}

/**
 * sums[count,width]: row i is the sum of the rows of x whose id is i. Rows of one id are added in pairs, and the sums again, so that the order is fixed
 * on every backend (their kernels for scattering add in any order).
 */
const sumById = ({ moves, tf }: Backend, x: Tensor2D, ids: Int32Array, count: number): Tensor => {
  const zero = tf.zeros([1, x.shape[1]]) as Tensor2D
  let order = Int32Array.from(ids.keys()).sort((a, b) => ids[a]! - ids[b]! || a - b)
  let groups = Int32Array.from(order, (row) => ids[row]!)
  let sums = x
  for (;;) {
    const [first, second, next]: [Array<number>, Array<number>, Array<number>] = [[], [], []]
    const none = sums.shape[0]
    let paired = false
    for (let i = 0; i < order.length; i++) {
      const pair = i + 1 < order.length && groups[i + 1] === groups[i]
      first.push(order[i]!)
      next.push(groups[i]!)
      second.push(pair ? order[++i]! : none)
      paired ||= pair
    }
    if (!paired) break
    const extended = tf.concat2d([sums, zero], 0)
    sums = tf.add(moves.rows(sums, Int32Array.from(first)), moves.rows(extended, Int32Array.from(second))) as Tensor2D
    order = Int32Array.from(next.keys())
    groups = Int32Array.from(next)
  }
  const places = new Int32Array(count).fill(sums.shape[0])
  groups.forEach((id, i) => {
    places[id] = order[i]!
  })
  return moves.rows(tf.concat2d([sums, zero], 0), places)
}

export const embeddingGradient = (call: Call<"embeddingGradient">): void => {
  const { context, rows, vocabulary, width } = call.integers
  const ids = call.integersOf("ids")
  checkRange(ids, vocabulary)
  const dOut = call.get("dOut")([rows, width])
  if (call.has("positions")) {
    const positions = call.integersOf("positions")
    checkRange(positions, context)
    call.add("dPositionTable", sumById(call.backend, dOut, positions, context))
  }
  call.add("dTokenTable", sumById(call.backend, dOut, ids, vocabulary))
}

/** Cosines and sines by theta and head width, one row a position, as far as positions were asked for. */
const rotations = new Map<string, Float32Array>()

const rotationsUpTo = (count: number, theta: number, headWidth: number): Float32Array => {
  const key = `${theta} ${headWidth}`
  const known = rotations.get(key) ?? new Float32Array(0)
  if (known.length >= count * headWidth) return known
  const half = headWidth / 2
  const table = new Float32Array(Math.max(count, 64) * 2 * headWidth)
  const { fround } = Math
  for (let i = 0; i < half; i++) {
    // Rounded as the CPU device's are.
    const frequency = fround(1 / fround(theta ** fround((2 * i) / headWidth)))
    for (let position = 0; position * headWidth < table.length; position++) {
      const angle = fround(position * frequency)
      table[position * headWidth + i] = Math.cos(angle)
      table[position * headWidth + half + i] = Math.sin(angle)
    }
  }
  rotations.set(key, table)
  return table
}

export const rotaryTable = (call: Call<"rotaryTable">): void => {
  const { headWidth, rows } = call.integers
  const positions = call.integersOf("positions")
  checkRange(positions, 2 ** 24)
  const known = rotationsUpTo(positions.reduce((a, b) => Math.max(a, b), 0) + 1, call.reals.theta, headWidth)
  const table = new Float32Array(rows * headWidth)
  positions.forEach((position, row) => {
    table.set(known.subarray(position * headWidth, (position + 1) * headWidth), row * headWidth)
  })
  call.set("table", call.tf.tensor1d(table, "float32"))
}

export const rotary = (call: Call<"rotary">): void => {
  const { tf } = call
  const { window } = call.backend.moves
  const { headWidth, heads, inverse, rowWidth, rows } = call.integers
  const half = headWidth / 2
  const turned = heads * headWidth
  const x = call.get("x")([rows, rowWidth])
  const table = call.get("table")([rows, headWidth])
  const cosines = tf.reshape(window(table, 0, 0, rows, half), [rows, 1, half])
  const sines = tf.reshape(window(table, 0, half, rows, half), [rows, 1, half])
  const pairs = tf.reshape(window(x, 0, 0, rows, turned), [rows * heads, headWidth]) as Tensor2D
  const of = (column: number) => tf.reshape(window(pairs, 0, column, rows * heads, half), [rows, heads, half])
  const [a, b] = [of(0), of(half)]
  const [ac, as, bc, bs] = [tf.mul(a, cosines), tf.mul(a, sines), tf.mul(b, cosines), tf.mul(b, sines)]
  const parts = inverse === 1 ? [tf.add(ac, bs), tf.sub(bc, as)] : [tf.sub(ac, bs), tf.add(bc, as)]
  const rotated = tf.reshape(tf.concat(parts, 2), [rows, turned]) as Tensor2D
  const rest = rowWidth - turned
  call.set("x", rest === 0 ? rotated : tf.concat2d([rotated, window(x, 0, turned, rows, rest)], 1))
}
