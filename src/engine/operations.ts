/**
 * The operations of models, each with its gradient beside it. Shapes: rows = batch * length, C = width, V = vocabulary.
 *
 * @since 0.1.0
 */
import { Activation, Precision } from "../device/kernel.ts"
import type { LowRank } from "./family.ts"
import type { Graph } from "./graph.ts"
import type { Tensor } from "./tensor.ts"

/** Where the gradient of a weight goes; of one that is not trained, somewhere that nobody reads. */
const gradientOf = (graph: Graph, weight: Tensor): Tensor => graph.gradient(weight) ?? graph.tensor(weight.shape)

const rowsAndWidth = (x: Tensor) => ({ rows: x.shape[0]!, width: x.shape[1]! })

/** x[rows,C] = tokens[ids] (+ places.table[places.ids]); ids, places.ids: i32[rows]. */
export const embedding = (
  graph: Graph,
  ids: Tensor,
  tokenTable: Tensor,
  places?: { readonly ids: Tensor; readonly table: Tensor }
) => {
  const [vocabulary, width] = tokenTable.shape as [number, number]
  const rows = ids.elements
  const sizes = { rows, width, vocabulary, context: places?.table.shape[0] ?? 0 }
  const out = graph.tensor([rows, width])
  const positions = places?.ids
  graph.emit("embedding", { ids, positions, tokenTable, positionTable: places?.table, out }, sizes, {})
  graph.record(() => {
    if (graph.gradient(tokenTable) === undefined) return
    graph.emit(
      "embeddingGradient",
      {
        ids,
        positions,
        dOut: graph.gradient(out)!,
        dTokenTable: graph.gradient(tokenTable)!,
        dPositionTable: places === undefined ? undefined : graph.gradient(places.table)!
      },
      sizes,
      {}
    )
  })
  return out
}

/** Layer normalisation over C, epsilon 1e-5 (GPT-2's). */
export const layernorm = (graph: Graph, x: Tensor, gamma: Tensor, beta: Tensor) => {
  const { rows, width } = rowsAndWidth(x)
  const mean = graph.tensor([rows])
  const rstd = graph.tensor([rows])
  const normalized = () => {
    const out = graph.tensor(x.shape)
    graph.emit("layernorm", { x, gamma, beta, out, mean, rstd }, { rows, width }, { epsilon: 1e-5 })
    return out
  }
  const out = normalized()
  graph.remakable(out, normalized)
  graph.record(() => {
    // The gradient that already reached x (the residual branch) is folded in, in place.
    const dResidual = graph.gradient(x)
    const dx = dResidual ?? graph.tensor(x.shape)
    graph.emit(
      "layernormGradient",
      {
        dOut: graph.gradient(out)!,
        x,
        gamma,
        mean,
        rstd,
        dResidual,
        dx,
        dGamma: gradientOf(graph, gamma),
        dBeta: gradientOf(graph, beta)
      },
      { rows, width },
      {}
    )
    graph.contribute(x, dx)
  })
  return out
}

/** Root-mean-square normalisation over C. */
export const rmsnorm = (graph: Graph, x: Tensor, gamma: Tensor, epsilon: number) => {
  const sizes = rowsAndWidth(x)
  const rstd = graph.tensor([sizes.rows])
  const normalized = () => {
    const out = graph.tensor(x.shape)
    graph.emit("rmsnorm", { x, gamma, out, rstd }, sizes, { epsilon })
    return out
  }
  const out = normalized()
  graph.remakable(out, normalized)
  graph.record(() => {
    // As in layernorm, what already reached x is folded in.
    const dResidual = graph.gradient(x)
    const dx = dResidual ?? graph.tensor(x.shape)
    graph.emit(
      "rmsnormGradient",
      { dOut: graph.gradient(out)!, x, gamma, rstd, dResidual, dx, dGamma: gradientOf(graph, gamma) },
      sizes,
      {}
    )
    graph.contribute(x, dx)
  })
  return out
}

/** out[rows,F] = silu(x[:, :F]) * x[:, F:] of x[rows,2F]. */
export const swiglu = (graph: Graph, x: Tensor) => {
  const { rows, width } = rowsAndWidth(x)
  const sizes = { rows, width: width / 2 }
  const gated = () => {
    const out = graph.tensor([rows, width / 2])
    graph.emit("swiglu", { x, out }, sizes, {})
    return out
  }
  const out = gated()
  graph.remakable(out, gated)
  graph.record(() => {
    const dx = graph.tensor(x.shape)
    graph.emit("swigluGradient", { dOut: graph.gradient(out)!, x, dx }, sizes, {})
    graph.contribute(x, dx)
  })
  return out
}

/** Cosines and sines of each row's angles: real[rows, headWidth]. positions: i32[rows]. */
export const rotaryTable = (graph: Graph, positions: Tensor, headWidth: number, theta: number) => {
  const table = graph.tensor([positions.elements, headWidth])
  graph.emit("rotaryTable", { positions, table }, { rows: positions.elements, headWidth }, { theta })
  return table
}

/** Rotates the first `heads` heads of each row of x by the table, in place: x itself is what comes out. */
export const rotary = (graph: Graph, x: Tensor, table: Tensor, heads: number) => {
  const { rows, width: rowWidth } = rowsAndWidth(x)
  const sizes = { rows, heads, headWidth: table.shape[1]!, rowWidth }
  graph.emit("rotary", { table, x }, { ...sizes, inverse: 0 }, {})
  graph.record(() => {
    graph.emit("rotary", { table, x: graph.gradient(x)! }, { ...sizes, inverse: 1 }, {})
  })
  return x
}

/** The GELU's derivative, for each output of a linear layer that applies one. */
const geluSlope = new WeakMap<Tensor, Tensor>()

const plain = { transposeA: 0, transposeB: 0, accumulate: 0, activation: Activation.none } as const

/** added[rows,N] = scale * x . a . b (+ residual), and the gradients of the factors and of x. */
const lowRank = (graph: Graph, x: Tensor, { a, b, scale }: LowRank, residual: Tensor | undefined) => {
  const { rows, width: k } = rowsAndWidth(x)
  const [rank, n] = b.shape as [number, number]
  const precision = Precision[graph.precision]
  const inner = graph.tensor([rows, rank])
  const added = graph.tensor([rows, n])
  const scaled = (tensor: Tensor) =>
    graph.emit("scale", { x: tensor, out: tensor }, { count: tensor.elements }, { factor: scale })
  const forward = { ...plain, m: rows, precision, training: Number(graph.training) }
  graph.emit("matmul", { a: x, b: a, out: inner }, { ...forward, n: rank, k }, {})
  scaled(inner)
  graph.emit("matmul", { a: inner, b, residual, out: added }, { ...forward, n, k: rank }, {})
  const backward = (dOut: Tensor) => {
    const dInner = graph.tensor([rows, rank])
    const down = { ...plain, m: rows, n: rank, k: n, transposeB: 1, precision, training: 1 }
    graph.emit("matmul", { a: dOut, b, out: dInner }, down, {})
    scaled(dInner)
    const summed = { ...plain, k: rows, transposeA: 1, accumulate: 1, precision, training: 1 }
    graph.emit("matmul", { a: inner, b: dOut, out: graph.gradient(b)! }, { ...summed, m: rank, n }, {})
    graph.emit("matmul", { a: graph.again(x), b: dInner, out: graph.gradient(a)! }, { ...summed, m: k, n: rank }, {})
    inputGradient(graph, x, dInner, a)
  }
  return { added, backward }
}

/** Adds dOut . weight^T to the gradient of x: through GELU, where x is what one gave. */
const inputGradient = (graph: Graph, x: Tensor, dOut: Tensor, weight: Tensor) => {
  const [k, n] = weight.shape as [number, number]
  const slope = geluSlope.get(x)
  // Where x is made again, its slope is made with it.
  if (slope !== undefined) graph.again(x)
  const dx = graph.tensor(x.shape)
  const activation = slope === undefined ? Activation.none : Activation.geluGradient
  const precision = Precision[graph.precision]
  const sizes = { ...plain, m: x.shape[0]!, n: k, k: n, transposeB: 1, activation, precision, training: 1 }
  graph.emit("matmul", { a: dOut, b: weight, out: dx, slope }, sizes, {})
  graph.contribute(x, dx)
}

/**
 * out[rows,N] = x[rows,K] . weight[K,N] (+ bias[N]) (+ what an adapter adds), then GELU or + residual[rows,N].
 * An output with GELU may feed only linear layers: their input gradient goes through GELU in the matmul's epilogue.
 */
export const linear = (
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: {
    readonly gelu?: boolean
    readonly residual?: Tensor | undefined
    readonly adapter?: LowRank | undefined
    readonly train?: boolean
  } = {}
) => {
  const { rows, width: k } = rowsAndWidth(x)
  const n = weight.shape[1]!
  const precision = Precision[graph.precision]
  const gelu = options.gelu === true
  const adapted = options.adapter === undefined ? undefined : lowRank(graph, x, options.adapter, options.residual)
  const residual = adapted?.added ?? options.residual
  const out = graph.tensor([rows, n])
  // The slope; where things are recomputed, what it and the output are made of.
  const kept = gelu && options.train !== false ? graph.tensor([rows, n]) : undefined
  const sizes = { ...plain, m: rows, n, k, precision, training: Number(graph.training) }
  if (gelu && adapted !== undefined) {
    const sum = kept ?? graph.tensor([rows, n])
    graph.emit("matmul", { a: x, b: weight, bias, residual, out: sum }, sizes, {})
    const slope = graph.recompute ? graph.tensor([rows, n]) : sum
    graph.emit("gelu", { x: sum, out, slope }, { count: out.elements }, {})
  } else {
    const activation = gelu ? Activation.gelu : Activation.none
    const derived = graph.recompute ? { pre: kept } : { slope: kept }
    graph.emit("matmul", { a: x, b: weight, bias, residual, ...derived, out }, { ...sizes, activation }, {})
  }
  if (kept !== undefined) {
    geluSlope.set(out, kept)
    graph.remakable(out, () => {
      const again = graph.tensor([rows, n])
      graph.emit("gelu", { x: kept, out: again, slope: kept }, { count: again.elements }, {})
      return again
    })
  }
  graph.record(() => {
    const dOut = graph.gradient(out)!
    const [dWeight, dBias] = [graph.gradient(weight), bias === undefined ? undefined : graph.gradient(bias)]
    if (dBias !== undefined) graph.emit("biasGradient", { dOut, dBias }, { rows, width: n }, {})
    if (dWeight !== undefined) {
      const product = { ...plain, m: k, n, k: rows, transposeA: 1, accumulate: 1, precision, training: 1 }
      graph.emit("matmul", { a: graph.again(x), b: dOut, out: dWeight }, product, {})
    }
    inputGradient(graph, x, dOut, weight)
    adapted?.backward(dOut)
    if (options.residual !== undefined) graph.contribute(options.residual, dOut)
  })
  return out
}

/** How many heads attention has, and how wide they are. */
export interface AttentionShape {
  readonly heads: number
  readonly keyHeads: number
  readonly headWidth: number
}

/**
 * Causal self-attention of qkv[batch*length, (heads + 2 keyHeads) headWidth]; starts (i32[batch*length]): the first position that each row may see,
 * where several texts share a sequence.
 */
export const attention = (
  graph: Graph,
  qkv: Tensor,
  batch: number,
  length: number,
  shape: AttentionShape,
  starts?: Tensor
) => {
  const { heads, headWidth } = shape
  const sizes = { batch, length, ...shape, precision: Precision[graph.precision] }
  const out = graph.tensor([batch * length, heads * headWidth])
  const logSumExp = graph.tensor([batch, heads, length])
  graph.emit("attention", { qkv, starts, out, logSumExp }, sizes, {})
  graph.record(() => {
    const dQkv = graph.tensor(qkv.shape)
    graph.emit("attentionGradient", { dOut: graph.gradient(out)!, qkv, starts, out, logSumExp, dQkv }, sizes, {})
    graph.contribute(qkv, dQkv)
  })
  return out
}

/** What a language-model head gives for each row; the derivatives are written by the host before the backward pass. */
export interface LanguageModelHead {
  readonly logProbability: Tensor
  readonly entropy: Tensor
  readonly dLogProbability: Tensor
  readonly dEntropy: Tensor
}

/** Log-probability of targets (i32[rows], negative: ignored) and entropy of softmax(x . table^T / temperature), in nats. */
export const lmHead = (
  graph: Graph,
  x: Tensor,
  table: Tensor,
  targets: Tensor,
  temperature: number
): LanguageModelHead => {
  const { rows, width } = rowsAndWidth(x)
  const sizes = { rows, width, vocabulary: table.shape[0]!, precision: Precision[graph.precision] }
  const scale = { inverseTemperature: 1 / temperature }
  const logProbability = graph.port([rows])
  const entropy = graph.port([rows])
  const dLogProbability = graph.port([rows])
  const dEntropy = graph.port([rows])
  const logSumExp = graph.tensor([rows])
  graph.emit("lmHead", { x, table, targets, logProbability, entropy, logSumExp }, sizes, scale)
  graph.record(() => {
    const dx = graph.tensor(x.shape)
    graph.emit(
      "lmHeadGradient",
      { x, table, targets, logSumExp, entropy, dLogProbability, dEntropy, dx, dTable: graph.gradient(table) },
      sizes,
      scale
    )
    graph.contribute(x, dx)
  })
  return { logProbability, entropy, dLogProbability, dEntropy }
}

/** The head and its gradient in one pass over the logits: for a loss that is linear in the log-probabilities. */
export const lmHeadLoss = (graph: Graph, x: Tensor, table: Tensor, targets: Tensor) => {
  const { rows, width } = rowsAndWidth(x)
  const logProbability = graph.port([rows])
  const dLogProbability = graph.port([rows])
  const dx = graph.tensor(x.shape)
  graph.emit(
    "lmHeadLoss",
    { x, table, targets, dLogProbability, logProbability, dx, dTable: graph.gradient(table) },
    { rows, width, vocabulary: table.shape[0]!, precision: Precision[graph.precision] },
    { inverseTemperature: 1 }
  )
  graph.contribute(x, dx)
  return { logProbability, dLogProbability }
}

/** out[rows] = x . weight + bias: the value or reward head. */
export const scalarHead = (graph: Graph, x: Tensor, weight: Tensor, bias: Tensor) => {
  const { rows, width } = rowsAndWidth(x)
  const value = graph.port([rows])
  const dValue = graph.port([rows])
  graph.emit("scalarHead", { x, weight, bias, out: value }, { rows, width }, {})
  graph.record(() => {
    const sum = graph.gradient(x)
    const dx = sum ?? graph.tensor(x.shape)
    graph.emit(
      "scalarHeadGradient",
      { x, weight, dOut: dValue, dx, dWeight: graph.gradient(weight)!, dBias: graph.gradient(bias)! },
      { rows, width, accumulate: sum === undefined ? 0 : 1 },
      {}
    )
    graph.contribute(x, dx)
  })
  return { value, dValue }
}
