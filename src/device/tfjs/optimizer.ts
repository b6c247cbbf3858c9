/**
 * The norm of gradients, and AdamW, over flat buffers in parts, so that what is made on the way stays small.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor1D } from "@tensorflow/tfjs-core"
import type { Call } from "./call.ts"
import type { Tf } from "./memory.ts"

const partElements = 4 * 1024 * 1024

/** Ranges of at most so many elements that cover 0 to count and have a border at `border`. */
const ranges = (count: number, border = count) => {
  const found: Array<{ readonly from: number; readonly size: number }> = []
  for (let from = 0; from < count; from += found.at(-1)!.size) {
    const end = from < border ? border : count
    found.push({ from, size: Math.min(partElements, end - from) })
  }
  return found
}

/** The sum of squares, by sums of 256 and sums of these: single precision loses little. */
const squares = (tf: Tf, x: Tensor1D): Tensor => {
  let values = tf.square(x)
  while (values.size > 256) {
    const rows = Math.ceil(values.size / 256)
    values = tf.sum(tf.reshape(tf.pad1d(values, [0, rows * 256 - values.size]), [rows, 256]), 1)
  }
  return tf.sum(values)
}

export const gradientNorm = (call: Call<"gradientNorm">): void => {
  const { tf } = call
  if (call.isZero("gradients")) {
    call.setZero("norm")
    return
  }
  const parts = ranges(call.integers.count).map(({ from, size }) =>
    tf.tidy(() => squares(tf, call.part("gradients", from, size)))
  )
  call.set("norm", tf.sqrt(tf.addN(parts)))
}

export const adamw = (call: Call<"adamw">): void => {
  const { tf } = call
  const { count, decayCount, form } = call.integers
  const { beta1, beta2, epsilon, maxNorm } = call.reals
  const [rate, correction1, correction2, decay] = call.realsOf("control") as unknown as [number, number, number, number]
  const clip =
    maxNorm > 0 && !call.isZero("norm") ? tf.minimum(1, tf.div(maxNorm, call.get("norm")([1]))) : tf.scalar(1)
  const pytorch = form === 0
  const step = pytorch ? rate / correction1 : (rate * Math.sqrt(correction2)) / correction1
  const root = pytorch ? 1 / Math.sqrt(correction2) : 1
  for (const { from, size } of ranges(count, decayCount)) {
    tf.tidy(() => {
      const gradient = tf.mul(call.part("gradients", from, size), clip)
      const m = tf.add(tf.mul(call.part("m", from, size), beta1), tf.mul(gradient, 1 - beta1))
      const v = tf.add(tf.mul(call.part("v", from, size), beta2), tf.mul(tf.square(gradient), 1 - beta2))
      const change = tf.div(tf.mul(m, step), tf.add(tf.mul(tf.sqrt(v), root), epsilon))
      const weights = call.part("weights", from, size)
      const kept = from < decayCount ? tf.mul(weights, 1 - rate * decay) : weights
      call.set("m", m, from)
      call.set("v", v, from)
      call.set("weights", tf.sub(kept, change), from)
    })
  }
  call.setZero("gradients")
}
