/**
 * Causal self-attention and its gradient. Scores exist for a few sequences at a time.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor2D, Tensor3D } from "@tensorflow/tfjs-core"
import type { Call } from "./call.ts"
import { hidden, multiplyEach } from "./product.ts"

/** Elements of scores that exist at once. */
const scoreElements = 4 * 1024 * 1024

type Sizes = Call<"attention">["integers"]

const rowWidth = ({ headWidth, heads, keyHeads }: Sizes) => (heads + 2 * keyHeads) * headWidth

/** How many sequences are taken together. */
const together = ({ batch, heads, length }: Sizes): number =>
  Math.max(1, Math.min(batch, Math.floor(scoreElements / (heads * length * length))))

/**
 * Sequences `from` to `to` of columns of x[batch*length, width], `heads` heads of them, as [sequence * keyHeads, group * length, headWidth]: the heads that read one key head
 * lie behind each other, as if they were one longer sequence.
 */
const split = (
  call: Call<"attention">,
  x: Tensor2D,
  from: number,
  count: number,
  column: number,
  heads: number
): Tensor3D => {
  const { tf } = call
  const { headWidth, keyHeads, length } = call.integers
  const part = call.backend.moves.window(x, from * length, column, count * length, heads * headWidth)
  const turned = tf.transpose(tf.reshape(part, [count, length, heads, headWidth]), [0, 2, 1, 3])
  return tf.reshape(turned, [count * keyHeads, (heads / keyHeads) * length, headWidth])
}

/** The other way: [count * length, heads * headWidth]. */
const join = (call: Call<"attention">, x: Tensor, count: number, heads: number): Tensor2D => {
  const { tf } = call
  const { headWidth, length } = call.integers
  const turned = tf.transpose(tf.reshape(x, [count, heads, length, headWidth]), [0, 2, 1, 3])
  return tf.reshape(turned, [count * length, heads * headWidth])
}

/** What is added to scores[count * keyHeads, group * length, length]; broadcasts over the heads in [count, heads, length, length]. */
const maskOf = (call: Call<"attention">, from: number, count: number): Tensor => {
  const { tf } = call
  const { length } = call.integers
  const future = call.backend.constant(`future ${length}`, () => {
    const values = new Float32Array(length * length)
    for (let row = 0; row < length; row++) values.fill(hidden, row * length + row + 1, (row + 1) * length)
    return tf.tensor4d(values, [1, 1, length, length])
  })
  if (!call.has("starts")) return future
  const starts = Float32Array.from(call.integersOf("starts").subarray(from * length, (from + count) * length))
  const keys = tf.reshape(tf.range(0, length), [1, 1, 1, length])
  const before = tf.less(keys, tf.tensor4d(starts, [count, 1, length, 1]))
  return tf.add(tf.mul(tf.cast(before, "float32"), hidden), future)
}

/** scale * q . k^T, masked, as [count * keyHeads, group * length, length]. */
const scoresOf = (call: Call<"attention">, q: Tensor3D, k: Tensor3D, from: number, count: number): Tensor3D => {
  const { tf } = call
  const { headWidth, heads, length } = call.integers
  const products = multiplyEach(call.backend, tf.mul(q, 1 / Math.sqrt(headWidth)), k, false, true)
  const shaped = tf.reshape(products, [count, heads, length, length])
  return tf.reshape(tf.add(shaped, maskOf(call, from, count)), products.shape)
}

/** Runs over groups of sequences and gives each group's results, each put together along its first dimension. */
const inGroups = (call: Call<"attention">, each: (from: number, count: number) => Array<Tensor>): Array<Tensor> => {
  const { batch } = call.integers
  const most = together(call.integers)
  const parts: Array<Array<Tensor>> = []
  for (let from = 0; from < batch; from += most) {
    parts.push(call.tf.tidy(() => each(from, Math.min(most, batch - from))))
  }
  return parts[0]!.map((first, i) =>
    parts.length === 1
      ? first
      : call.tf.concat(
          parts.map((part) => part[i]!),
          0
        )
  )
}

export const attention = (call: Call<"attention">): void => {
  const { tf } = call
  const { batch, headWidth, heads, keyHeads, length } = call.integers
  const qkv = call.get("qkv")([batch * length, rowWidth(call.integers)])
  const [keys, values] = [heads * headWidth, (heads + keyHeads) * headWidth]
  const [out, logSumExp] = inGroups(call, (from, count) => {
    const part = (column: number, of: number) => split(call, qkv, from, count, column, of)
    const scores = scoresOf(call, part(0, heads), part(keys, keyHeads), from, count)
    const top = tf.max(scores, 2, true)
    const weights = tf.exp(tf.sub(scores, top)) as Tensor3D
    const sums = tf.sum(weights, 2, true)
    const mixed = tf.div(multiplyEach(call.backend, weights, part(values, keyHeads)), sums)
    return [join(call, mixed, count, heads), tf.reshape(tf.add(top, tf.log(sums)), [count, heads, length])]
  })
  call.set("out", out!)
  call.set("logSumExp", logSumExp!)
}

export const attentionGradient = (call: Call<"attentionGradient">): void => {
  const { tf } = call
  const forward = call as unknown as Call<"attention">
  const { batch, headWidth, heads, keyHeads, length } = call.integers
  const rows = batch * length
  const qkv = call.get("qkv")([rows, rowWidth(call.integers)])
  const out = call.get("out")([rows, heads * headWidth])
  const dOut = call.get("dOut")([rows, heads * headWidth])
  const logSumExp = call.get("logSumExp")([batch, heads * length])
  const [keys, values] = [heads * headWidth, (heads + keyHeads) * headWidth]
  const [dQkv] = inGroups(forward, (from, count) => {
    const part = (x: Tensor2D, column: number, of: number) => split(forward, x, from, count, column, of)
    const [q, k, v] = [part(qkv, 0, heads), part(qkv, keys, keyHeads), part(qkv, values, keyHeads)]
    const [o, dO] = [part(out, 0, heads), part(dOut, 0, heads)]
    const scores = scoresOf(forward, q, k, from, count)
    const sums = tf.reshape(call.backend.moves.window(logSumExp, from, 0, count, heads * length), [
      o.shape[0],
      o.shape[1],
      1
    ])
    const weights = tf.exp(tf.sub(scores, sums)) as Tensor3D
    const dV = multiplyEach(call.backend, weights, dO, true)
    const dWeights = multiplyEach(call.backend, dO, v, false, true)
    // The row sums of weights * dWeights are those of dOut * out.
    const along = tf.sum(tf.mul(dO, o), 2, true)
    const dScores = tf.mul(tf.mul(weights, tf.sub(dWeights, along)), 1 / Math.sqrt(headWidth)) as Tensor3D
    const dQ = multiplyEach(call.backend, dScores, k)
    const dK = multiplyEach(call.backend, dScores, q, true)
    const joined = [
      join(forward, dQ, count, heads),
      join(forward, dK, count, keyHeads),
      join(forward, dV, count, keyHeads)
    ]
    return [tf.concat2d(joined, 1)]
  })
  call.set("dQkv", dQkv!)
}
