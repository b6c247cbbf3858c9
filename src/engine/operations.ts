/**
 * The operations of models, each with its gradient beside it. Shapes: rows = batch * length, C = width, V = vocabulary.
 *
 * @since 0.1.0
 */
import { Activation, Precision } from "../device/kernel.ts"
import type { Graph } from "./graph.ts"
import type { Tensor } from "./tensor.ts"

const rowsAndWidth = (x: Tensor) => ({ rows: x.shape[0]!, width: x.shape[1]! })

/** x[rows,C] = tokens[ids] + positions[positions]; ids, positions: i32[rows]. */
export const embedding = (graph: Graph, ids: Tensor, positions: Tensor, tokenTable: Tensor, positionTable: Tensor) => {
  const [vocabulary, width] = tokenTable.shape as [number, number]
  const rows = ids.elements
  const sizes = { rows, width, vocabulary, context: positionTable.shape[0]! }
  const out = graph.tensor([rows, width])
  graph.emit("embedding", { ids, positions, tokenTable, positionTable, out }, sizes, {})
  graph.record(() => {
    graph.emit(
      "embeddingGradient",
      {
        ids,
        positions,
        dOut: graph.gradient(out)!,
        dTokenTable: graph.gradient(tokenTable)!,
        dPositionTable: graph.gradient(positionTable)!
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
        dGamma: graph.gradient(gamma)!,
        dBeta: graph.gradient(beta)!
      },
      { rows, width },
      {}
    )
    graph.contribute(x, dx)
  })
  return out
}

/** The GELU's derivative, for each output of a linear layer that applies one. */
const geluSlope = new WeakMap<Tensor, Tensor>()

/**
 * out[rows,N] = x[rows,K] . weight[K,N] + bias[N], then GELU or + residual[rows,N].
 * An output with GELU may feed only linear layers: their input gradient goes through GELU in the matmul's epilogue.
 */
export const linear = (
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options: { readonly gelu?: boolean; readonly residual?: Tensor; readonly train?: boolean } = {}
) => {
  const { rows, width: k } = rowsAndWidth(x)
  const n = weight.shape[1]!
  const precision = Precision[graph.precision]
  const out = graph.tensor([rows, n])
  const gelu = options.gelu === true
  // The slope; where things are recomputed, what it and the output are made of.
  const kept = gelu && options.train !== false ? graph.tensor([rows, n]) : undefined
  if (kept !== undefined) {
    geluSlope.set(out, kept)
    graph.remakable(out, () => {
      const again = graph.tensor([rows, n])
      graph.emit("gelu", { x: kept, out: again, slope: kept }, { count: again.elements }, {})
      return again
    })
  }
  graph.emit(
    "matmul",
    { a: x, b: weight, bias, residual: options.residual, ...(graph.recompute ? { pre: kept } : { slope: kept }), out },
    {
      m: rows,
      n,
      k,
      transposeA: 0,
      transposeB: 0,
      accumulate: 0,
      activation: gelu ? Activation.gelu : Activation.none,
      precision
    },
    {}
  )
  graph.record(() => {
    const dOut = graph.gradient(out)!
    graph.emit("biasGradient", { dOut, dBias: graph.gradient(bias)! }, { rows, width: n }, {})
    graph.emit(
      "matmul",
      { a: graph.again(x), b: dOut, out: graph.gradient(weight)! },
      { m: k, n, k: rows, transposeA: 1, transposeB: 0, accumulate: 1, activation: Activation.none, precision },
      {}
    )
    const xSlope = geluSlope.get(x)
    const dx = graph.tensor(x.shape)
    graph.emit(
      "matmul",
      { a: dOut, b: weight, out: dx, slope: xSlope },
      {
        m: rows,
        n: k,
        k: n,
        transposeA: 0,
        transposeB: 1,
        accumulate: 0,
        activation: xSlope === undefined ? Activation.none : Activation.geluGradient,
        precision
      },
      {}
    )
    graph.contribute(x, dx)
    if (options.residual !== undefined) graph.contribute(options.residual, dOut)
  })
  return out
}

/** Causal self-attention of qkv[batch*length, 3C]. */
export const attention = (graph: Graph, qkv: Tensor, batch: number, length: number, heads: number) => {
  const width = qkv.shape[1]! / 3
  const sizes = { batch, length, heads, headWidth: width / heads }
  const out = graph.tensor([batch * length, width])
  const logSumExp = graph.tensor([batch, heads, length])
  graph.emit("attention", { qkv, out, logSumExp }, sizes, {})
  graph.record(() => {
    const dQkv = graph.tensor(qkv.shape)
    graph.emit("attentionGradient", { dOut: graph.gradient(out)!, qkv, out, logSumExp, dQkv }, sizes, {})
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
      { x, table, targets, logSumExp, entropy, dLogProbability, dEntropy, dx, dTable: graph.gradient(table)! },
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
    { x, table, targets, dLogProbability, logProbability, dx, dTable: graph.gradient(table)! },
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
