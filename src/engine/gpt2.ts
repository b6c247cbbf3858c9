/**
 * The GPT-2 family (Radford et al. 2019): learned positions, blocks of (layernorm, attention, layernorm, MLP with GELU), final layernorm.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Adapter, type Declared, type Reading, type WeightTensors } from "./family.ts"
import type { Graph } from "./graph.ts"
import { embedding, layernorm, linear } from "./operations.ts"
import type { Tensor } from "./tensor.ts"

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/** `scalarHead` adds one real output a position: a value (critic) or a reward. `tied` (default true): the head is the token table. */
export const Gpt2Config = Schema.Struct({
  family: Schema.Literal("gpt2"),
  layers: Positive,
  heads: Positive,
  width: Positive,
  vocabulary: Positive,
  context: Positive,
  scalarHead: Schema.Boolean,
  tied: Schema.optionalKey(Schema.Boolean),
  adapter: Schema.optionalKey(Adapter)
})
export type Gpt2Config = typeof Gpt2Config.Type

/** Parameters under Hugging Face's names, linear weights as [in, out]. */
export const parameters = (config: Gpt2Config): ReadonlyArray<Declared> => {
  const { layers, width: c } = config
  const deviation = 0.02
  const residualDeviation = deviation / Math.sqrt(2 * layers)
  const norm = (name: string) => [
    { name: `${name}.weight`, shape: [c], initial: { value: 1 } },
    { name: `${name}.bias`, shape: [c], initial: { value: 0 } }
  ]
  const dense = (name: string, from: number, to: number, spread = deviation) => [
    { name: `${name}.weight`, shape: [from, to], initial: { deviation: spread } },
    { name: `${name}.bias`, shape: [to], initial: { value: 0 } }
  ]
  return [
    { name: "wte.weight", shape: [config.vocabulary, c], initial: { deviation } },
    { name: "wpe.weight", shape: [config.context, c], initial: { deviation } },
    ...Array.from({ length: layers }, (_, l) => [
      ...norm(`h.${l}.ln_1`),
      ...dense(`h.${l}.attn.c_attn`, c, 3 * c),
      ...dense(`h.${l}.attn.c_proj`, c, c, residualDeviation),
      ...norm(`h.${l}.ln_2`),
      ...dense(`h.${l}.mlp.c_fc`, c, 4 * c),
      ...dense(`h.${l}.mlp.c_proj`, 4 * c, c, residualDeviation)
    ]).flat(),
    ...norm("ln_f")
  ]
}

/** The token table's name. */
export const tokenTable = "wte.weight"

/** hidden[rows,C], normalised. */
export const hidden = (
  graph: Graph,
  config: Gpt2Config,
  { adapter, weight }: WeightTensors,
  { attend, ids, positions, train }: Reading
): Tensor => {
  const dense = (x: Tensor, name: string, options?: Parameters<typeof linear>[4]) =>
    linear(graph, x, weight(`${name}.weight`), weight(`${name}.bias`), { train, adapter: adapter(name), ...options })
  const norm = (x: Tensor, name: string) => layernorm(graph, x, weight(`${name}.weight`), weight(`${name}.bias`))

  let x = embedding(graph, ids, weight("wte.weight"), { ids: positions, table: weight("wpe.weight") })
  for (let layer = 0; layer < config.layers; layer++) {
    const h = `h.${layer}`
    const attended = attend(dense(norm(x, `${h}.ln_1`), `${h}.attn.c_attn`), layer)
    x = dense(attended, `${h}.attn.c_proj`, { residual: x })
    const up = dense(norm(x, `${h}.ln_2`), `${h}.mlp.c_fc`, { gelu: true })
    x = dense(up, `${h}.mlp.c_proj`, { residual: x })
  }
  return norm(x, "ln_f")
}
