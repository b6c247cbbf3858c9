/**
 * The GPT-2 family over the operations: embedding, blocks of (layernorm, attention, layernorm, MLP), final layernorm.
 * Written once; how it attends (whole sequences, or one token against a cache) is the caller's.
 *
 * @since 0.1.0
 */
import type { Graph } from "./graph.ts"
import { type Layout, layout, type ModelConfig } from "./model.ts"
import { embedding, layernorm, linear } from "./operations.ts"
import { placed, type Tensor } from "./tensor.ts"

/** The weights of a layout as tensors of the weights memory. */
export const weightTensors = (of: Layout): ((name: string) => Tensor) => {
  const tensors = new Map(of.parameters.map((p) => [p.name, placed("weights", p.offset, p.shape)]))
  return (name) => tensors.get(name)!
}

/** hidden[rows,C] of ids, positions: i32[rows]. `attend(qkv[rows,3C], layer)` gives the attention output [rows,C]. */
export const hidden = (
  graph: Graph,
  config: ModelConfig,
  ids: Tensor,
  positions: Tensor,
  attend: (qkv: Tensor, layer: number) => Tensor,
  train: boolean
): { readonly hidden: Tensor; readonly weight: (name: string) => Tensor } => {
  const weight = weightTensors(layout(config))
  const dense = (x: Tensor, name: string, options?: Parameters<typeof linear>[4]) =>
    linear(graph, x, weight(`${name}.weight`), weight(`${name}.bias`), { train, ...options })
  const norm = (x: Tensor, name: string) => layernorm(graph, x, weight(`${name}.weight`), weight(`${name}.bias`))

  let x = embedding(graph, ids, positions, weight("wte.weight"), weight("wpe.weight"))
  for (let layer = 0; layer < config.layers; layer++) {
    const h = `h.${layer}`
    const attended = attend(dense(norm(x, `${h}.ln_1`), `${h}.attn.c_attn`), layer)
    x = dense(attended, `${h}.attn.c_proj`, { residual: x })
    const up = dense(norm(x, `${h}.ln_2`), `${h}.mlp.c_fc`, { gelu: true })
    x = dense(up, `${h}.mlp.c_proj`, { residual: x })
  }
  return { hidden: norm(x, "ln_f"), weight }
}
