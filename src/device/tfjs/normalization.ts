/**
 * Normalisation of rows, and its gradients.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor2D } from "@tensorflow/tfjs-core"
import type { Call } from "./call.ts"
import { columnSums } from "./product.ts"

export const layernorm = (call: Call<"layernorm">): void => {
  const { tf } = call
  const { rows, width } = call.integers
  const x = call.get("x")([rows, width])
  const mean = tf.mean(x, 1, true)
  const centred = tf.sub(x, mean)
  const rstd = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 1, true), call.reals.epsilon))
  call.set("mean", mean)
  call.set("rstd", rstd)
  call.set("out", tf.add(tf.mul(tf.mul(centred, rstd), call.get("gamma")([width])), call.get("beta")([width])))
}

export const rmsnorm = (call: Call<"rmsnorm">): void => {
  const { tf } = call
  const { rows, width } = call.integers
  const x = call.get("x")([rows, width])
  const rstd = tf.rsqrt(tf.add(tf.mean(tf.square(x), 1, true), call.reals.epsilon))
  call.set("rstd", rstd)
  call.set("out", tf.mul(tf.mul(x, rstd), call.get("gamma")([width])))
}

/** dx with what had reached x before. */
const withResidual = (call: Call<"layernormGradient"> | Call<"rmsnormGradient">, dx: Tensor): void => {
  const { has, get, set } = call as Call<"rmsnormGradient">
  const { rows, width } = call.integers
  set("dx", has("dResidual") ? call.tf.add(dx, get("dResidual")([rows, width])) : dx)
}

export const layernormGradient = (call: Call<"layernormGradient">): void => {
  const { tf } = call
  const { rows, width } = call.integers
  const rstd = call.get("rstd")([rows, 1])
  const dOut = call.get("dOut")([rows, width])
  const normalized = tf.mul(tf.sub(call.get("x")([rows, width]), call.get("mean")([rows, 1])), rstd)
  const scaled = tf.mul(dOut, call.get("gamma")([width]))
  const along = tf.mean(tf.mul(scaled, normalized), 1, true)
  const inner = tf.sub(tf.sub(scaled, tf.mean(scaled, 1, true)), tf.mul(normalized, along))
  call.add("dGamma", columnSums(call.backend, tf.mul(dOut, normalized) as Tensor2D))
  call.add("dBeta", columnSums(call.backend, dOut))
  withResidual(call, tf.mul(inner, rstd))
}

export const rmsnormGradient = (call: Call<"rmsnormGradient">): void => {
  const { tf } = call
  const { rows, width } = call.integers
  const rstd = call.get("rstd")([rows, 1])
  const dOut = call.get("dOut")([rows, width])
  const normalized = tf.mul(call.get("x")([rows, width]), rstd)
  const scaled = tf.mul(dOut, call.get("gamma")([width]))
  const along = tf.mean(tf.mul(scaled, normalized), 1, true)
  call.add("dGamma", columnSums(call.backend, tf.mul(dOut, normalized) as Tensor2D))
  withResidual(call, tf.mul(tf.sub(scaled, tf.mul(normalized, along)), rstd))
}
