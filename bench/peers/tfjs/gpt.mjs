/** GPT-2 in TensorFlow.js: a training step of cross-entropy, gradients, clip at 1 and Adam, from the kernels that its WASM backend has. */
import * as tf from "@tensorflow/tfjs"

/** Rows of a table; the WASM backend has no gradient for gather, but it has scatterND, which adds up. */
const embed = tf.customGrad((table, ids, save) => {
  save([ids])
  const value = tf.gather(table, ids)
  return {
    value,
    gradFunc: (dy, [saved]) => [tf.scatterND(tf.expandDims(saved, 1), dy, table.shape), tf.zerosLike(saved)]
  }
})

/** Swaps the last two dimensions. */
const transposed = (x) => tf.transpose(x, x.rank === 2 ? [1, 0] : [0, 2, 1])

/** The WASM backend is fast (XNNPACK) only at products of matrices that are not transposed, forward and backward: we transpose before. */
const product = tf.customGrad((a, b, save) => {
  save([a, b])
  return {
    value: tf.matMul(a, b),
    gradFunc: (dy, [x, y]) => [tf.matMul(dy, transposed(y)), tf.matMul(transposed(x), dy)]
  }
})

/** GELU by tanh with its derivative, so that the forward pass keeps one tensor. */
const gelu = tf.customGrad((x, save) => {
  save([x])
  const root = Math.sqrt(2 / Math.PI)
  const inner = (u) => tf.tanh(tf.mul(root, tf.add(u, tf.mul(0.044715, tf.mul(u, tf.square(u))))))
  return {
    value: tf.mul(tf.mul(0.5, x), tf.add(1, inner(x))),
    gradFunc: (dy, [u]) => {
      const t = inner(u)
      const slope = tf.mul(root, tf.add(1, tf.mul(3 * 0.044715, tf.square(u))))
      const rest = tf.mul(tf.mul(tf.mul(0.5, u), tf.sub(1, tf.square(t))), slope)
      return tf.mul(dy, tf.add(tf.mul(0.5, tf.add(1, t)), rest))
    }
  }
})

/** Mean of -log softmax(logits)[target]; its gradient is softmax - one-hot. */
const crossEntropy = tf.customGrad((logits, targets, save) => {
  const shifted = tf.sub(logits, tf.max(logits, 1, true))
  const exponentials = tf.exp(shifted)
  const sums = tf.sum(exponentials, 1, true)
  const oneHot = tf.oneHot(targets, logits.shape[1])
  const chosen = tf.sum(tf.mul(shifted, oneHot), 1)
  const slope = tf.div(tf.sub(tf.div(exponentials, sums), oneHot), logits.shape[0])
  save([slope, targets])
  return {
    value: tf.mean(tf.sub(tf.log(tf.squeeze(sums, [1])), chosen)),
    gradFunc: (dy, [saved, ids]) => [tf.mul(dy, saved), tf.zerosLike(ids)]
  }
})

const layerNorm = (x, gain, bias) => {
  const centred = tf.sub(x, tf.mean(x, 1, true))
  const deviation = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 1, true), 1e-5))
  return tf.add(tf.mul(tf.mul(centred, deviation), gain), bias)
}

/**
 * The model, with its optimizer. `step` trains on tokens of [n * batch * context], `batch` sequences at a time with their gradients added,
 * because the memory of WASM is small, and gives the loss.
 */
export const make = ({ batch, context, heads, layers, vocabulary, width: c }) => {
  const normal = (shape, deviation = 0.02) => tf.variable(tf.randomNormal(shape, 0, deviation))
  const zeros = (n) => tf.variable(tf.zeros([n]))
  const norm = () => ({ gain: tf.variable(tf.ones([c])), bias: zeros(c) })
  const dense = (from, to, deviation) => ({ weight: normal([from, to], deviation), bias: zeros(to) })
  const residual = 0.02 / Math.sqrt(2 * layers)
  const wte = normal([vocabulary, c])
  const wpe = normal([context, c])
  const blocks = Array.from({ length: layers }, () => ({
    first: norm(),
    qkv: dense(c, 3 * c),
    projection: dense(c, c, residual),
    second: norm(),
    up: dense(c, 4 * c),
    down: dense(4 * c, c, residual)
  }))
  const last = norm()
  const parts = [last, ...blocks.flatMap((block) => Object.values(block))]
  const variables = [wte, wpe, ...parts.flatMap((part) => Object.values(part))]
  const optimizer = tf.train.adam(3e-4, 0.9, 0.95, 1e-8)
  const future = tf.tensor3d(
    Float32Array.from({ length: context * context }, (_, i) => (i % context > Math.floor(i / context) ? -1e9 : 0)),
    [1, context, context]
  )
  const positions = tf.range(0, context, 1, "int32")

  const linear = (x, { bias, weight }) => tf.add(product(x, weight), bias)
  const width = c / heads
  const split = (x) =>
    tf.reshape(tf.transpose(tf.reshape(x, [batch, context, heads, width]), [0, 2, 1, 3]), [
      batch * heads,
      context,
      width
    ])
  const merge = (x) =>
    tf.reshape(tf.transpose(tf.reshape(x, [batch, heads, context, width]), [0, 2, 1, 3]), [batch * context, c])
  const block = (x, { down, first, projection, qkv, second, up }) => {
    const [q, k, v] = tf.split(linear(layerNorm(x, first.gain, first.bias), qkv), 3, 1).map(split)
    const scores = tf.add(tf.mul(product(q, transposed(k)), 1 / Math.sqrt(width)), future)
    const mixed = merge(product(tf.softmax(scores), v))
    const middle = tf.add(x, linear(mixed, projection))
    return tf.add(middle, linear(gelu(linear(layerNorm(middle, second.gain, second.bias), up)), down))
  }
  const lossOf = (ids, targets) => {
    const rows = tf.reshape(embed(wte, ids), [batch, context, c])
    let x = tf.reshape(tf.add(rows, embed(wpe, positions)), [batch * context, c])
    for (const each of blocks) x = block(x, each)
    return crossEntropy(product(layerNorm(x, last.gain, last.bias), transposed(wte)), targets)
  }

  const gradientsOf = (tokens, targets) =>
    tf.tidy(() => {
      const [ids, next] = [tokens, targets].map((part) => tf.tensor1d(part, "int32"))
      const { grads, value } = tf.variableGrads(() => lossOf(ids, next), variables)
      return { grads, loss: value.dataSync()[0] }
    })
  const step = (tokens, targets) => {
    const rows = batch * context
    const parts = tokens.length / rows
    let sum
    let loss = 0
    for (let part = 0; part < parts; part++) {
      const [from, to] = [part * rows, (part + 1) * rows]
      const one = gradientsOf(tokens.subarray(from, to), targets.subarray(from, to))
      loss += one.loss / parts
      const before = sum
      sum =
        before === undefined
          ? one.grads
          : Object.fromEntries(Object.entries(one.grads).map(([name, grad]) => [name, tf.add(before[name], grad)]))
      if (before !== undefined) tf.dispose([before, one.grads])
    }
    tf.tidy(() => {
      const squares = Object.values(sum).map((gradient) => tf.sum(tf.square(gradient)))
      const norm = Math.sqrt(tf.addN(squares).dataSync()[0]) / parts
      const scale = Math.min(1, 1 / norm) / parts
      optimizer.applyGradients(
        Object.fromEntries(Object.entries(sum).map(([name, grad]) => [name, tf.mul(grad, scale)]))
      )
    })
    tf.dispose(sum)
    return loss
  }
  return { step, parameters: variables.reduce((sum, { size }) => sum + size, 0) }
}
