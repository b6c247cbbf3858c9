/** The models of the benchmark, and how many floating-point operations they need. */
import { layout, type ModelConfig } from "../src/engine/model.ts"
import { size } from "../src/engine/tensor.ts"

/** A model and the batch that it is trained with; `context` is also the length of a training sequence. */
export interface Shape {
  readonly layers: number
  readonly heads: number
  readonly width: number
  readonly vocabulary: number
  readonly context: number
  readonly batch: number
}

export const models = {
  tiny: { layers: 2, heads: 2, width: 128, vocabulary: 512, context: 128, batch: 8 },
  small: { layers: 4, heads: 4, width: 256, vocabulary: 2048, context: 256, batch: 8 },
  base: { layers: 6, heads: 6, width: 384, vocabulary: 4096, context: 256, batch: 16 },
  "124M": { layers: 12, heads: 12, width: 768, vocabulary: 50304, context: 256, batch: 4 }
} as const satisfies Record<string, Shape>

export type ModelName = keyof typeof models

/** The engine's configuration of a shape. */
export const configOf = (shape: Shape, scalarHead = false): ModelConfig => {
  const { context, heads, layers, vocabulary, width } = shape
  return { family: "gpt2", layers, heads, width, vocabulary, context, scalarHead }
}

/** Parameters of the model: the tied table once, the padding of the flat buffer not. */
export const parameterCount = (shape: Shape, scalarHead = false): number =>
  layout(configOf(shape, scalarHead)).parameters.reduce((sum, parameter) => sum + size(parameter.shape), 0)

/** What a fresh model of a shape has: its parameters, and the loss (nats a token) of one that knows nothing. */
export const freshModel = (shape: Shape, scalarHead = false) => ({
  parameters: parameterCount(shape, scalarHead),
  loss: Math.log(shape.vocabulary)
})

/** FLOPs of one token's forward pass in sequences of `length`: 2 N + 4 L C T, N without position embeddings (nanoGPT's formula, a third of it). */
export const forwardFlops = (shape: Shape, length = shape.context): number => {
  const n = parameterCount(shape) - shape.context * shape.width
  return 2 * n + 4 * shape.layers * shape.width * length
}

/** FLOPs of one token's training step: 6 N + 12 L C T. */
export const trainingFlops = (shape: Shape, length = shape.context): number => 3 * forwardFlops(shape, length)

/** "L4 H4 D256 V2048 T256 B8" */
export const shapeText = ({ batch, context, heads, layers, vocabulary, width }: Shape): string =>
  `L${layers} H${heads} D${width} V${vocabulary} T${context} B${batch}`
