/**
 * A model: its configuration, and the names, shapes and initial values of its parameters in one flat buffer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { normal } from "./random.ts"
import { size } from "./tensor.ts"

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * The GPT-2 family (Radford et al. 2019): learned positions, pre-layernorm, GELU, tied head. `scalarHead` adds one real output a
 * position: a value (critic) or a reward.
 */
export const ModelConfig = Schema.Struct({
  family: Schema.Literal("gpt2"),
  layers: Positive,
  heads: Positive,
  width: Positive,
  vocabulary: Positive,
  context: Positive,
  scalarHead: Schema.Boolean
})
export type ModelConfig = typeof ModelConfig.Type

/** The configuration of a model cannot be. */
export class ModelError extends Schema.TaggedError<ModelError>()("ModelError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** How a parameter starts: all of one value, or normal with mean 0 and this standard deviation. */
type Initial = { readonly value: number } | { readonly deviation: number }

/** One parameter: Hugging Face's name for it, and its place (in elements) in the flat buffer. */
export interface Parameter {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly offset: number
  readonly initial: Initial
}

/** All parameters: those with weight decay (two or more dimensions) come first. Offsets are multiples of 16 elements. */
export interface Layout {
  readonly parameters: ReadonlyArray<Parameter>
  readonly byName: ReadonlyMap<string, Parameter>
  readonly count: number
  readonly decayCount: number
}

const declare = (config: ModelConfig): ReadonlyArray<Omit<Parameter, "offset">> => {
  const { width: c, layers } = config
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
    ...norm("ln_f"),
    ...(config.scalarHead
      ? [
          { name: "score.weight", shape: [1, c], initial: { value: 0 } },
          { name: "score.bias", shape: [1], initial: { value: 0 } }
        ]
      : [])
  ]
}

/** The layout of a configuration. */
export const layout = (config: ModelConfig): Layout => {
  const declared = declare(config)
  const ordered = [...declared.filter((p) => p.shape.length > 1), ...declared.filter((p) => p.shape.length === 1)]
  const parameters: Array<Parameter> = []
  let count = 0
  let decayCount = 0
  for (const parameter of ordered) {
    parameters.push({ ...parameter, offset: count })
    count += Math.ceil(size(parameter.shape) / 16) * 16
    if (parameter.shape.length > 1) decayCount = count
  }
  return { parameters, byName: new Map(parameters.map((p) => [p.name, p])), count, decayCount }
}

/** Why a configuration cannot be, or null. */
export const invalid = (config: ModelConfig): ModelError | null =>
  config.width % config.heads === 0
    ? null
    : new ModelError({
        place: "model.heads",
        message: `width ${config.width} is not a multiple of heads ${config.heads}: choose heads that divide the width`
      })

/** A model's weights: one flat f32 buffer in the layout's order. */
export interface Weights {
  readonly config: ModelConfig
  readonly values: Float32Array
}

/** So many values are drawn before others get their turn: a few milliseconds. */
const SLICE = 32_768

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
  const config = { ...weights.config, scalarHead: true }
  const values = new Float32Array(layout(config).count)
  const result: Weights = { config, values }
  for (const { name } of layout({ ...config, scalarHead: false }).parameters) {
    parameter(result, name).set(parameter(weights, name))
  }
  if (head === "reward") normal([seed >>> 0, 0x5c0], parameter(result, "score.weight"), 1 / Math.sqrt(config.width + 1))
  return result
}
