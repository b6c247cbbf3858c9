/**
 * The Llama family (Touvron et al. 2023): rotary positions, blocks of (RMSNorm, grouped-query attention, RMSNorm, SwiGLU) without biases,
 * final RMSNorm.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Adapter, type Declared, type Reading, type WeightTensors } from "./family.ts"
import type { Graph } from "./graph.ts"
import { embedding, linear, rmsnorm, rotary, rotaryTable, swiglu } from "./operations.ts"
import type { Tensor } from "./tensor.ts"

const Positive = Schema.Int.check(Schema.isGreaterThan(0))
const PositiveNumber = Schema.Number.check(Schema.isGreaterThan(0))

/**
 * `keyHeads` (divides `heads`) key and value heads of `headWidth` (even) serve all query heads; `feedForward` is the width inside SwiGLU;
 * `tied`: the head is the token table. `scalarHead` as in GPT-2's configuration.
 */
export const LlamaConfig = Schema.Struct({
  family: Schema.Literal("llama"),
  layers: Positive,
  heads: Positive,
  keyHeads: Positive,
  headWidth: Positive,
  width: Positive,
  feedForward: Positive,
  vocabulary: Positive,
  context: Positive,
  ropeTheta: PositiveNumber,
  normEpsilon: PositiveNumber,
  tied: Schema.Boolean,
  scalarHead: Schema.Boolean,
  adapter: Schema.optionalKey(Adapter)
})
export type LlamaConfig = typeof LlamaConfig.Type

/**
 * Parameters under Hugging Face's names, but linear weights are [in, out], `qkv_proj` is q_proj, k_proj and v_proj side by side, and
 * `gate_up_proj` gate_proj and up_proj.
 */
export const parameters = (config: LlamaConfig): ReadonlyArray<Declared> => {
  const { feedForward, headWidth, heads, keyHeads, layers, width: c } = config
  const deviation = 0.02
  const residualDeviation = deviation / Math.sqrt(2 * layers)
  const norm = (name: string) => ({ name: `${name}.weight`, shape: [c], initial: { value: 1 } })
  const dense = (name: string, from: number, to: number, spread = deviation) => ({
    name: `${name}.weight`,
    shape: [from, to],
    initial: { deviation: spread }
  })
  return [
    { name: tokenTable, shape: [config.vocabulary, c], initial: { deviation } },
    ...Array.from({ length: layers }, (_, l) => [
      norm(`model.layers.${l}.input_layernorm`),
      dense(`model.layers.${l}.self_attn.qkv_proj`, c, (heads + 2 * keyHeads) * headWidth),
      dense(`model.layers.${l}.self_attn.o_proj`, heads * headWidth, c, residualDeviation),
      norm(`model.layers.${l}.post_attention_layernorm`),
      dense(`model.layers.${l}.mlp.gate_up_proj`, c, 2 * feedForward),
      dense(`model.layers.${l}.mlp.down_proj`, feedForward, c, residualDeviation)
    ]).flat(),
    norm("model.norm")
  ]
}

/** The token table's name. */
export const tokenTable = "model.embed_tokens.weight"

/** hidden[rows,C], normalised. */
export const hidden = (
  graph: Graph,
  config: LlamaConfig,
  { adapter, weight }: WeightTensors,
  { attend, ids, positions }: Reading
): Tensor => {
  const { headWidth, heads, keyHeads } = config
  const dense = (x: Tensor, name: string, residual?: Tensor) =>
    linear(graph, x, weight(`${name}.weight`), undefined, { residual, adapter: adapter(name) })
  const norm = (x: Tensor, name: string) => rmsnorm(graph, x, weight(`${name}.weight`), config.normEpsilon)

  const turns = rotaryTable(graph, positions, headWidth, config.ropeTheta)
  let x = embedding(graph, ids, weight(tokenTable))
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `model.layers.${layer}`
    const qkv = dense(norm(x, `${block}.input_layernorm`), `${block}.self_attn.qkv_proj`)
    const attended = attend(rotary(graph, qkv, turns, heads + keyHeads), layer)
    x = dense(attended, `${block}.self_attn.o_proj`, x)
    const up = swiglu(graph, dense(norm(x, `${block}.post_attention_layernorm`), `${block}.mlp.gate_up_proj`))
    x = dense(up, `${block}.mlp.down_proj`, x)
  }
  return norm(x, "model.norm")
}
