/**
 * Matrix products, and what is made of them.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor1D, Tensor2D, Tensor3D } from "@tensorflow/tfjs-core"
import { Activation } from "../kernel.ts"
import type { Backend } from "./backend.ts"
import type { Call, Factor } from "./call.ts"
import type { Tf } from "./memory.ts"

/** What is added to the score of a key that must not be seen: far below any score, and no infinity, whose difference from itself is no number. */
export const hidden = -1e30

/** op(a) . op(b) (+ bias). */
export const multiply = (tf: Tf, a: Factor, b: Factor, bias?: Tensor1D): Tensor2D =>
  tf.fused.matMul({
    a: a.matrix,
    b: b.matrix,
    transposeA: a.transposed,
    transposeB: b.transposed,
    ...(bias === undefined ? {} : { bias })
  }) as Tensor2D

/** From so many multiplications in one matrix on, WASM is quicker with matrices one by one than with its own kernel for batches. */
const worthwhile = 16_384

/** The products of as many matrices: a[n,i,k] . b[n,k,j], or b[n,j,k] if `transposeB`, a[n,k,i] if `transposeA`. */
export const multiplyEach = (
  { moves, plainProducts, tf }: Backend,
  a: Tensor3D,
  b: Tensor3D,
  transposeA = false,
  transposeB = false
): Tensor3D => {
  const count = a.shape[0]
  const [rows, depth] = transposeA ? [a.shape[2], a.shape[1]] : [a.shape[1], a.shape[2]]
  const columns = b.shape[transposeB ? 1 : 2]!
  if (!plainProducts || rows * depth * columns < worthwhile) return tf.matMul(a, b, transposeA, transposeB)
  /** One of the matrices, of so many rows and columns when it is not transposed. */
  const one = (flat: Tensor1D, index: number, height: number, width: number, transposed: boolean) => {
    const lying = transposed ? ([width, height] as const) : ([height, width] as const)
    const matrix = tf.reshape(moves.part(flat, index * height * width, height * width), [...lying]) as Tensor2D
    return transposed ? moves.transpose(matrix) : matrix
  }
  const [left, right] = [tf.reshape(a, [a.size]) as Tensor1D, tf.reshape(b, [b.size]) as Tensor1D]
  const products = Array.from({ length: count }, (_, i) =>
    tf.matMul(one(left, i, rows, depth, transposeA), one(right, i, depth, columns, transposeB))
  )
  return count === 1 ? (tf.expandDims(products[0]!, 0) as Tensor3D) : (tf.stack(products) as Tensor3D)
}

/** The sums of the columns. */
export const columnSums = ({ plainProducts, tf }: Backend, x: Tensor2D): Tensor =>
  plainProducts ? tf.matMul(tf.ones([1, x.shape[0]]), x) : tf.sum(x, 0)

const root = Math.sqrt(2 / Math.PI)

/** GELU in its tanh form, by (1 + tanh u) / 2 = sigmoid(2 u). */
export const geluOf = (
  tf: Tf,
  y: Tensor
): { readonly value: Tensor; readonly gate: Tensor; readonly square: Tensor } => {
  const square = tf.square(y)
  const gate = tf.sigmoid(tf.mul(y, tf.add(tf.mul(square, 2 * root * 0.044715), 2 * root)))
  return { value: tf.mul(y, gate), gate, square }
}

/** GELU's derivative, of what `geluOf` gave: s + y s (1 - s) 2 u'. */
export const geluSlope = (tf: Tf, { gate, square, value }: ReturnType<typeof geluOf>): Tensor =>
  tf.add(gate, tf.mul(tf.mul(value, tf.sub(1, gate)), tf.add(tf.mul(square, 6 * root * 0.044715), 2 * root)))

export const matmul = (call: Call<"matmul">): void => {
  const { tf } = call
  const { accumulate, activation, k, m, n, precision, transposeA, transposeB } = call.integers
  const a = call.factor("a", transposeA === 1 ? [k, m] : [m, k], {
    transposed: transposeA === 1,
    precision,
    lasting: false
  })
  const b = call.factor("b", transposeB === 1 ? [n, k] : [k, n], {
    transposed: transposeB === 1,
    precision,
    // Only weights are transposed on the right.
    lasting: transposeB === 1
  })
  const y = multiply(tf, a, b, call.has("bias") ? call.get("bias")([n]) : undefined)
  if (activation === Activation.gelu) {
    const gelu = geluOf(tf, y)
    if (call.has("pre")) call.set("pre", y)
    if (call.has("slope")) call.set("slope", geluSlope(tf, gelu))
    call.set("out", gelu.value)
  } else if (activation === Activation.geluGradient) call.set("out", tf.mul(y, call.get("slope")([m, n])))
  else if (accumulate === 1) call.add("out", y)
  else call.set("out", call.has("residual") ? tf.add(y, call.get("residual")([m, n])) : y)
}
