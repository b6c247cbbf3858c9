/**
 * Low-rank adapters (Hu et al. 2021): each adapted weight W [in, out] is read as W + alpha / rank * A . B, A [in, rank] and B [rank, out] are trained,
 * and W stays as it is.
 *
 * @since 0.1.0
 */

import { type Adapter, layout, parameter, type Weights } from "./model.ts"
import { normal } from "./random.ts"
import { size } from "./tensor.ts"

/**
 * The same model with fresh adapters: A normal with variance 1 / (3 in), as Hugging Face's PEFT has it (there uniform), B zeros, so that nothing is
 * changed yet. Weights that have adapters keep those.
 */
export const withAdapter = (weights: Weights, adapter: Adapter, seed: number): Weights => {
  if (weights.config.adapter !== undefined) return weights
  const config = { ...weights.config, adapter }
  const { byName, count } = layout(config)
  const values = new Float32Array(count)
  for (const { name, offset, shape } of layout(weights.config).parameters) {
    values.set(weights.values.subarray(offset, offset + size(shape)), byName.get(name)!.offset)
  }
  let index = 0
  for (const { name, offset, shape } of byName.values()) {
    if (!name.endsWith(".lora_a")) continue
    const part = values.subarray(offset, offset + size(shape))
    normal([seed >>> 0, 0x10a0 + index++], part, 1 / Math.sqrt(3 * shape[0]!))
  }
  return { config, values }
}

/** The same model without adapters: what they add is in the weights. Sums are in f64. */
export const merge = (weights: Weights): Weights => {
  const { adapter, ...config } = weights.config
  if (adapter === undefined) return weights
  const merged: Weights = { config, values: new Float32Array(layout(config).count) }
  for (const { name } of layout(config).parameters) parameter(merged, name).set(parameter(weights, name))
  const scale = adapter.alpha / adapter.rank
  for (const { name, shape } of layout(weights.config).parameters) {
    if (!name.endsWith(".lora_a")) continue
    const base = name.slice(0, -".lora_a".length)
    const [a, b] = [parameter(weights, name), parameter(weights, `${base}.lora_b`)]
    const into = parameter(merged, `${base}.weight`)
    const [rows, rank] = shape as [number, number]
    const columns = b.length / rank
    const sum = new Float64Array(columns)
    for (let i = 0; i < rows; i++) {
      sum.fill(0)
      for (let r = 0; r < rank; r++) {
        const factor = scale * a[i * rank + r]!
        for (let j = 0; j < columns; j++) sum[j]! += factor * b[r * columns + j]!
      }
      for (let j = 0; j < columns; j++) into[i * columns + j]! += sum[j]!
    }
  }
  return merged
}
