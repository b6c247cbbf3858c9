/**
 * Kernels whose results are functions of single elements or pairs of them.
 *
 * @since 0.1.0
 */
import type { Tensor2D } from "@tensorflow/tfjs-core"
import type { Call } from "./call.ts"
import { columnSums, geluOf, geluSlope } from "./product.ts"

export const fill = (call: Call<"fill">): void => {
  if (call.reals.value === 0) call.setZero("out")
  else call.set("out", call.tf.fill([call.integers.count], call.reals.value))
}

export const add = (call: Call<"add">): void => {
  const shape = [call.integers.count] as const
  call.set("out", call.tf.add(call.get("a")(shape), call.get("b")(shape)))
}

export const scale = (call: Call<"scale">): void =>
  call.set("out", call.tf.mul(call.get("x")([call.integers.count]), call.reals.factor))

export const gelu = (call: Call<"gelu">): void => {
  const parts = geluOf(call.tf, call.get("x")([call.integers.count]))
  call.set("slope", geluSlope(call.tf, parts))
  call.set("out", parts.value)
}

export const biasGradient = (call: Call<"biasGradient">): void => {
  const { rows, width } = call.integers
  call.add("dBias", columnSums(call.backend, call.get("dOut")([rows, width])))
}

/** silu's gate and the two halves of x. */
const gated = (call: Call<"swiglu"> | Call<"swigluGradient">) => {
  const { rows, width } = call.integers
  const x = (call as Call<"swiglu">).get("x")([rows, 2 * width])
  const { window } = call.backend.moves
  const gate = window(x, 0, 0, rows, width)
  return { gate, up: window(x, 0, width, rows, width), s: call.tf.sigmoid(gate) as Tensor2D }
}

export const swiglu = (call: Call<"swiglu">): void => {
  const { gate, s, up } = gated(call)
  call.set("out", call.tf.mul(call.tf.mul(gate, s), up))
}

/** silu'(g) = s + g s (1 - s). */
export const swigluGradient = (call: Call<"swigluGradient">): void => {
  const { tf } = call
  const { gate, s, up } = gated(call)
  const dOut = call.get("dOut")([call.integers.rows, call.integers.width])
  const silu = tf.mul(gate, s)
  const slope = tf.add(s, tf.mul(silu, tf.sub(1, s)))
  call.set("dx", tf.concat2d([tf.mul(tf.mul(dOut, up), slope) as Tensor2D, tf.mul(dOut, silu) as Tensor2D], 1))
}
