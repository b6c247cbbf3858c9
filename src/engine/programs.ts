/**
 * The programs of a model: what a training step, a scoring pass, a prompt's prefill and a decode step are, as planned launch lists.
 *
 * @since 0.1.0
 */
import type { Real } from "../device/device.ts"
import { cacheBlock } from "../device/kernel.ts"
import * as Graph from "./graph.ts"
import { attentionShape, headTable, hidden, layout, type ModelConfig } from "./model.ts"
import * as operations from "./operations.ts"
import type { AdamW } from "./optimizer.ts"
import * as Plan from "./plan.ts"
import { placed, size, type Tensor } from "./tensor.ts"

/** The rectangle a program is compiled for; `packed`: its sequences hold several texts, which see nothing of each other. */
export interface Extent {
  readonly batch: number
  readonly length: number
  readonly packed?: boolean
}

/** What a model reads: ids, positions and (packed) starts, i32[batch * length]. */
export interface Inputs {
  readonly ids: Tensor
  readonly positions: Tensor
  readonly starts: Tensor | undefined
}

const inputs = (graph: Graph.Graph, { batch, length, packed }: Extent): Inputs => ({
  ids: graph.port([batch * length], "i32"),
  positions: graph.port([batch * length], "i32"),
  starts: packed === true ? graph.port([batch * length], "i32") : undefined
})

const trunk = (graph: Graph.Graph, config: ModelConfig, extent: Extent, ports: Inputs, train: boolean) =>
  hidden(graph, config, {
    ...ports,
    attend: (qkv) =>
      operations.attention(graph, qkv, extent.batch, extent.length, attentionShape(config), ports.starts),
    train
  })

/** Bytes of weights, gradients, moments and kept activations from which on a backward pass makes cheap activations again. */
const recomputeFrom = 2 ** 31

const recomputes = (config: ModelConfig, { batch, length }: Extent, real: Real): boolean => {
  const activations = batch * length * config.width * 16 * config.layers
  return (4 * layout(config).count + activations) * Plan.elementBytes("real", real) > recomputeFrom
}

/**
 * Forward and backward of a loss linear in the log-probabilities, in one program. `recompute` (default: where state and activations take
 * over 2 GiB) makes layernorms' and GELUs' outputs again in the backward pass instead of keeping them, with the same bits.
 */
export const languageModel = (
  config: ModelConfig,
  extent: Extent,
  real: Real,
  precision: Graph.Precision = "f32",
  recompute: boolean = recomputes(config, extent, real)
) => {
  const graph = Graph.make({ precision, recompute, trainable: layout(config).trainable, training: true })
  const ports = { ...inputs(graph, extent), targets: graph.port([extent.batch * extent.length], "i32") }
  const model = trunk(graph, config, extent, ports, true)
  const head = operations.lmHeadLoss(graph, model.hidden, model.weight(headTable(config)), ports.targets)
  graph.backward()
  return { ports: { ...ports, ...head }, plan: Plan.make(graph.launches, real) }
}

/** Which heads a statistics program has; `temperature` divides the logits. */
export interface Heads {
  readonly language: boolean
  readonly scalar: boolean
  readonly temperature: number
}

/**
 * Per-row statistics (log-probability, entropy, value), and, if `train`, the backward pass from the derivatives the host writes:
 * the launches before `forwardEnd` are the forward pass, those from it on the backward pass.
 */
export const statistics = (
  config: ModelConfig,
  extent: Extent,
  heads: Heads,
  train: boolean,
  real: Real,
  precision: Graph.Precision = "f32",
  recompute: boolean = recomputes(config, extent, real)
) => {
  const graph = Graph.make({ precision, recompute: train && recompute, trainable: layout(config).trainable })
  const ports = inputs(graph, extent)
  const model = trunk(graph, config, extent, ports, train)
  const scalar = heads.scalar
    ? operations.scalarHead(graph, model.hidden, model.weight("score.weight"), model.weight("score.bias"))
    : undefined
  const targets = graph.port([extent.batch * extent.length], "i32")
  const language = heads.language
    ? {
        targets,
        ...operations.lmHead(graph, model.hidden, model.weight(headTable(config)), targets, heads.temperature)
      }
    : undefined
  const forwardEnd = graph.launches.length
  if (train) graph.backward()
  return { ports, scalar, language, forwardEnd, plan: Plan.make(graph.launches, real) }
}

/** Gradient norm, clip and AdamW over the flat buffers; `control` is real[8]: the norm, then adamw's four from element 4. */
export const update = (config: ModelConfig, optimizer: AdamW, real: Real) => {
  const graph = Graph.make()
  const { count, decayCount, trainable } = layout(config)
  const flat = (memory: "weights" | "gradients" | "firstMoment" | "secondMoment") =>
    placed(memory, 0, [memory === "weights" ? count : trainable])
  const norm = placed("control", 0, [1])
  graph.emit("gradientNorm", { gradients: flat("gradients"), norm }, { count: trainable }, {})
  graph.emit(
    "adamw",
    {
      weights: flat("weights"),
      gradients: flat("gradients"),
      m: flat("firstMoment"),
      v: flat("secondMoment"),
      norm,
      control: placed("control", 4, [4])
    },
    { count: trainable, decayCount, form: optimizer.form === "pytorch" ? 0 : 1 },
    { beta1: optimizer.beta1, beta2: optimizer.beta2, epsilon: optimizer.epsilon, maxNorm: optimizer.maxNorm }
  )
  return { plan: Plan.make(graph.launches, real) }
}

/**
 * Moves the average towards the weights: average = decay * average + (1 - decay) * weights. The gradients' memory is used between, and is 0 after it as it
 * is before.
 */
export const average = (config: ModelConfig, decay: number, real: Real) => {
  const graph = Graph.make()
  const { count: all, trainable: count } = layout(config)
  const flat = (memory: "weights" | "gradients" | "average") => placed(memory, 0, [memory === "weights" ? all : count])
  const [weights, average, part] = [flat("weights"), flat("average"), flat("gradients")]
  graph.emit("scale", { x: weights, out: part }, { count }, { factor: 1 - decay })
  graph.emit("scale", { x: average, out: average }, { count }, { factor: decay })
  graph.emit("add", { a: average, b: part, out: average }, { count }, {})
  graph.emit("fill", { out: part }, { count }, { value: 0 })
  return { plan: Plan.make(graph.launches, real) }
}

/** The gradients' global norm, into element 0 of `control`. */
export const gradientNorm = (config: ModelConfig, real: Real) => {
  const graph = Graph.make()
  const { trainable: count } = layout(config)
  graph.emit(
    "gradientNorm",
    { gradients: placed("gradients", 0, [count]), norm: placed("control", 0, [1]) },
    { count },
    {}
  )
  return { plan: Plan.make(graph.launches, real) }
}

/** Sets the gradients, or moments, to 0. */
export const clear = (config: ModelConfig, memory: "gradients" | "firstMoment" | "secondMoment", real: Real) => {
  const graph = Graph.make()
  const { trainable: count } = layout(config)
  graph.emit("fill", { out: placed(memory, 0, [count]) }, { count }, { value: 0 })
  return { plan: Plan.make(graph.launches, real) }
}

/** The keys and values of all layers, as `cacheWrite` and `decodeAttention` have them, the keys of a layer before its values. */
const cache = (config: ModelConfig, batch: number, capacity: number) => {
  const { headWidth, keyHeads } = attentionShape(config)
  const keys = [batch, keyHeads, Math.ceil(capacity / cacheBlock), headWidth, cacheBlock]
  const values = [batch, keyHeads, capacity, headWidth]
  return (layer: number) => {
    const start = layer * (size(keys) + size(values))
    return { keys: placed("cache", start, keys), values: placed("cache", start + size(keys), values) }
  }
}

/** Runs prompts through the trunk and fills the cache of `slots` sequences from position 0: prompt b goes to slot places[b], if that is not negative. */
export const prefill = (config: ModelConfig, extent: Extent, slots: number, capacity: number, real: Real) => {
  const graph = Graph.make()
  const ports = { ...inputs(graph, extent), places: graph.port([extent.batch], "i32") }
  const { batch, length } = extent
  const shape = attentionShape(config)
  const kept = cache(config, slots, capacity)
  const { ids, places, positions } = ports
  hidden(graph, config, {
    ids,
    positions,
    attend: (qkv, layer) => {
      graph.emit("cacheWrite", { qkv, places, ...kept(layer) }, { batch, length, slots, capacity, ...shape }, {})
      return operations.attention(graph, qkv, batch, length, shape)
    },
    train: false
  })
  // Nobody wants what comes after the keys and values of the last layer.
  const end = graph.launches.findLastIndex(({ kernel }) => kernel === "cacheWrite") + 1
  return { ports, plan: Plan.make(graph.launches.slice(0, end), real) }
}

/** How the next token is drawn; `topK` 0 and `topP` 1 cut nothing, temperature 0 is argmax. */
export interface Sampling {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly endToken: number
}

/** One token for each of `batch` sequences against the cache, sampled on the device: running it n times makes n tokens. */
export const decode = (config: ModelConfig, batch: number, capacity: number, sampling: Sampling, real: Real) => {
  const graph = Graph.make()
  const shape = attentionShape(config)
  const kept = cache(config, batch, capacity)
  const ports = {
    ids: graph.port([batch], "i32"),
    positions: graph.port([batch], "i32"),
    keys: graph.port([batch, 2], "i32"),
    limits: graph.port([batch], "i32"),
    done: graph.port([batch], "i32"),
    tokens: graph.port([batch, capacity], "i32"),
    logProbability: graph.port([batch, capacity])
  }
  const model = hidden(graph, config, {
    ids: ports.ids,
    positions: ports.positions,
    attend: (qkv, layer) => {
      const out = graph.tensor([batch, shape.heads * shape.headWidth])
      const { keys, values } = kept(layer)
      const sizes = { batch, capacity, ...shape }
      graph.emit("decodeAttention", { qkv, positions: ports.positions, keys, values, out }, sizes, {})
      return out
    },
    train: false
  })
  graph.emit(
    "sample",
    { x: model.hidden, table: model.weight(headTable(config)), ...ports },
    {
      batch,
      width: config.width,
      vocabulary: config.vocabulary,
      capacity,
      topK: sampling.topK,
      endToken: sampling.endToken
    },
    { temperature: sampling.temperature, topP: sampling.topP }
  )
  return { ports, plan: Plan.make(graph.launches, real) }
}
