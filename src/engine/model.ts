/**
 * A model: its configuration, and the names, shapes and initial values of its parameters in one flat buffer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Adapter, Declared, Reading, WeightTensors } from "./family.ts"
import * as Gpt2 from "./gpt2.ts"
import type { Graph } from "./graph.ts"
import * as Llama from "./llama.ts"
import { normal } from "./random.ts"
import { placed, size, type Tensor } from "./tensor.ts"

/** A model of one of the families. */
export const ModelConfig = Schema.Union([Gpt2.Gpt2Config, Llama.LlamaConfig])
export type ModelConfig = typeof ModelConfig.Type
export type { Adapter }

/** The configuration of a model cannot be. */
export class ModelError extends Schema.TaggedError<ModelError>()("ModelError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** One parameter and its place (in elements) in the flat buffer. Names are Hugging Face's but where a family says otherwise. */
export interface Parameter extends Declared {
  readonly offset: number
}

/**
 * All parameters: those with weight decay (two or more dimensions) come first, and of a model with adapters those that are trained (adapters and
 * scalar head) before the others: the first `trainable` elements. Offsets are multiples of 16 elements.
 */
export interface Layout {
  readonly parameters: ReadonlyArray<Parameter>
  readonly byName: ReadonlyMap<string, Parameter>
  readonly count: number
  readonly decayCount: number
  readonly trainable: number
}

/** The name of the table that the language-model head multiplies with: the token table's where they are tied. */
export const headTable = (config: ModelConfig): string => {
  if (config.tied === false) return "lm_head.weight"
  return config.family === "gpt2" ? Gpt2.tokenTable : Llama.tokenTable
}

/** Query heads, key and value heads, and the width of each. */
export const attentionShape = (config: ModelConfig) =>
  config.family === "gpt2"
    ? { heads: config.heads, keyHeads: config.heads, headWidth: config.width / config.heads }
    : { heads: config.heads, keyHeads: config.keyHeads, headWidth: config.headWidth }

const declare = (config: ModelConfig): ReadonlyArray<Declared> => [
  ...(config.family === "gpt2" ? Gpt2.parameters(config) : Llama.parameters(config)),
  ...(config.tied === false
    ? [{ name: headTable(config), shape: [config.vocabulary, config.width], initial: { deviation: 0.02 } }]
    : []),
  ...(config.scalarHead
    ? [
        { name: "score.weight", shape: [1, config.width], initial: { value: 0 } },
        { name: "score.bias", shape: [1], initial: { value: 0 } }
      ]
    : [])
]

/** The factors of adapters on the linear layers that they are for. */
const adapters = (base: ReadonlyArray<Declared>, { layers, rank }: Adapter): ReadonlyArray<Declared> => {
  const adapted = layers === "attention" ? /\.(attn|self_attn)\..*\.weight$/ : /\.(attn|self_attn|mlp)\..*\.weight$/
  return base
    .filter(({ name }) => adapted.test(name))
    .flatMap(({ name, shape }) => {
      const [from, to] = shape as [number, number]
      const layer = name.slice(0, -".weight".length)
      return [
        { name: `${layer}.lora_a`, shape: [from, rank], initial: { value: 0 } },
        { name: `${layer}.lora_b`, shape: [rank, to], initial: { value: 0 } }
      ]
    })
}

/** The trunk: hidden[rows,C], and the weights as tensors by name. */
export const hidden = (
  graph: Graph,
  config: ModelConfig,
  reading: Reading
): { readonly hidden: Tensor; readonly weight: (name: string) => Tensor } => {
  const tensors = new Map(layout(config).parameters.map((p) => [p.name, placed("weights", p.offset, p.shape)]))
  const weight = (name: string) => tensors.get(name)!
  const weights: WeightTensors = {
    weight,
    adapter: (layer) => {
      const [a, b] = [tensors.get(`${layer}.lora_a`), tensors.get(`${layer}.lora_b`)]
      if (a === undefined || b === undefined || config.adapter === undefined) return undefined
      return { a, b, scale: config.adapter.alpha / config.adapter.rank }
    }
  }
  const trunk =
    config.family === "gpt2"
      ? Gpt2.hidden(graph, config, weights, reading)
      : Llama.hidden(graph, config, weights, reading)
  return { hidden: trunk, weight }
}

const layouts = new WeakMap<ModelConfig, Layout>()

/** The layout of a configuration. */
export const layout = (config: ModelConfig): Layout => {
  const known = layouts.get(config) ?? layOut(config)
  layouts.set(config, known)
  return known
}

const layOut = (config: ModelConfig): Layout => {
  const base = declare(config)
  const { adapter } = config
  const isTrained = ({ name }: Declared) => adapter === undefined || name.startsWith("score.")
  const trained = [...(adapter === undefined ? [] : adapters(base, adapter)), ...base.filter(isTrained)]
  const frozen = base.filter((p) => !isTrained(p))
  const matricesFirst = (of: ReadonlyArray<Declared>) => [
    ...of.filter((p) => p.shape.length > 1),
    ...of.filter((p) => p.shape.length === 1)
  ]
  const parameters: Array<Parameter> = []
  let count = 0
  let decayCount = 0
  let trainable = 0
  for (const [index, parameter] of [...matricesFirst(trained), ...matricesFirst(frozen)].entries()) {
    parameters.push({ ...parameter, offset: count })
    count += Math.ceil(size(parameter.shape) / 16) * 16
    if (index >= trained.length) continue
    trainable = count
    if (parameter.shape.length > 1) decayCount = count
  }
  return { parameters, byName: new Map(parameters.map((p) => [p.name, p])), count, decayCount, trainable }
}

/** Why a configuration cannot be, or null. */
export const invalid = (config: ModelConfig): ModelError | null => {
  const fail = (place: string, message: string) => new ModelError({ place: `model.${place}`, message })
  if (config.family === "gpt2") {
    return config.width % config.heads === 0
      ? null
      : fail(
          "heads",
          `width ${config.width} is not a multiple of heads ${config.heads}: choose heads that divide the width`
        )
  }
  if (config.heads % config.keyHeads !== 0) {
    return fail("keyHeads", `heads ${config.heads} is not a multiple of keyHeads ${config.keyHeads}`)
  }
  return config.headWidth % 2 === 0
    ? null
    : fail("headWidth", `${config.headWidth} is odd: rotary positions turn pairs, choose an even width for each head`)
}

/**
 * FLOPs of forward and backward pass for one token of a sequence as long as the context: 6 N + 12 layers * heads * headWidth * context (nanoGPT's
 * estimate), N the weights that tokens are multiplied with.
 */
export const flopsPerToken = (config: ModelConfig): number => {
  const { headWidth, heads } = attentionShape(config)
  const looked = ["wpe.weight", ...(config.tied === false ? [Gpt2.tokenTable, Llama.tokenTable] : [])]
  const weights = layout(config).parameters.reduce((sum, p) => sum + (looked.includes(p.name) ? 0 : size(p.shape)), 0)
  return 6 * weights + 12 * config.layers * heads * headWidth * config.context
}

/** A model's weights: one flat f32 buffer in the layout's order. */
export interface Weights {
  readonly config: ModelConfig
  readonly values: Float32Array
}

/** So many values are drawn before others get their turn: some two milliseconds. */
const SLICE = 16_384

function* initialization(config: ModelConfig, seed: number): Generator<void, Weights> {
  const { count, parameters } = layout(config)
  const values = new Float32Array(count)
  for (const [index, { initial, offset, shape }] of parameters.entries()) {
    const part = values.subarray(offset, offset + size(shape))
    if ("value" in initial) part.fill(initial.value)
    else {
      for (let from = 0; from < part.length; from += SLICE) {
        normal([seed >>> 0, index], part, initial.deviation, from, Math.min(from + SLICE, part.length))
        yield
      }
    }
  }
  return { config, values }
}

/** Fresh weights, a function of configuration and seed alone. The padding between parameters is 0. */
export const initialize = (config: ModelConfig, seed: number): Weights => {
  const drawing = initialization(config, seed)
  for (;;) {
    const { done, value } = drawing.next()
    if (done === true) return value
  }
}

/** The same weights, with turns for other fibers and the event loop in between: a large model takes seconds. */
export const initializeInTurns = Effect.fnUntraced(function* (config: ModelConfig, seed: number) {
  const drawing = initialization(config, seed)
  for (;;) {
    const { done, value } = drawing.next()
    if (done === true) return value
    yield* Effect.yieldNow
  }
})

/** The view of one parameter in a flat buffer. */
export const parameter = (weights: Weights, name: string): Float32Array => {
  const found = layout(weights.config).byName.get(name)
  if (found === undefined) throw new Error(`no parameter named ${name}`)
  return weights.values.subarray(found.offset, found.offset + size(found.shape))
}

/**
 * The same trunk with a fresh scalar head: zeros (a value head, Ziegler et al. 2019), or normal with deviation 1/sqrt(width + 1) (a
 * reward head, Stiennon et al. 2020).
 */
export const withScalarHead = (weights: Weights, head: "value" | "reward", seed: number): Weights => {
  const config: ModelConfig = { ...weights.config, scalarHead: true }
  const values = new Float32Array(layout(config).count)
  const result: Weights = { config, values }
  for (const { name } of layout({ ...config, scalarHead: false }).parameters) {
    parameter(result, name).set(parameter(weights, name))
  }
  if (head === "reward") normal([seed >>> 0, 0x5c0], parameter(result, "score.weight"), 1 / Math.sqrt(config.width + 1))
  return result
}
