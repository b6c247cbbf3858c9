/**
 * The order in which rows are visited: a permutation that is a function of a seed and an epoch alone.
 *
 * @since 0.1.0
 */
import { philox } from "../src/engine/random.ts"

/** The numbers 0 to n - 1 in a random order (Fisher & Yates). */
export const permutation = (n: number, seed: number, epoch: number): Int32Array => {
  const order = Int32Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = philox([seed >>> 0, 0x0de2], [epoch, i, 0, 0])[0]! % (i + 1)
    const other = order[j]!
    order[j] = order[i]!
    order[i] = other
  }
  return order
}

/**
 * Element `index` of a random order of 0 to n - 1 that is computed and not stored: a Feistel network of four rounds over the next power of four,
 * walked until it falls below n (Black & Rogaway 2002).
 */
export const shuffled = (n: number, seed: number, epoch: number, index: number): number => {
  let half = 1
  while (4 ** half < n) half++
  const size = 2 ** half
  let value = index
  do {
    let [left, right] = [Math.floor(value / size), value % size]
    for (let round = 0; round < 4; round++) {
      const mixed = (left + philox([seed >>> 0, 0xfe15], [epoch, round, right, 0])[0]!) % size
      left = right
      right = mixed
    }
    value = left * size + right
  } while (value >= n)
  return value
}

/**
 * Row indices of update `step` (from 0), `batch` at a time; each epoch has an order of its own and drops its remainder. The order of the
 * newest epoch asked for is kept.
 */
export const rowsOfStep = (n: number, batch: number, seed: number): ((step: number) => Int32Array) => {
  const perEpoch = Math.max(1, Math.floor(n / batch))
  let kept: { readonly epoch: number; readonly order: Int32Array } = { epoch: -1, order: new Int32Array(0) }
  return (step) => {
    const epoch = Math.floor(step / perEpoch)
    if (kept.epoch !== epoch) kept = { epoch, order: permutation(n, seed, epoch) }
    const from = (step % perEpoch) * batch
    return kept.order.subarray(from, from + batch)
  }
}
