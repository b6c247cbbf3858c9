/**
 * The kernels, the whole list in one table. A device is that which can run every row of it.
 *
 * Each row fixes the order of a launch's buffers, integers and reals; `src/device/cpu` generates its C++ names from it, so
 * the two cannot drift apart. Shapes are row-major and contiguous; `real` is the device's float type (f32; f64 in tests).
 * A buffer marked `?` may be null. "accumulates" means `+=`; every other output is overwritten.
 *
 * @since 0.1.0
 */

interface KernelShape {
  readonly buffers: ReadonlyArray<string>
  readonly integers: ReadonlyArray<string>
  readonly reals: ReadonlyArray<string>
}

/** Values of the `activation` integer of `matmul`. */
export const Activation = { none: 0, gelu: 1, geluGradient: 2 } as const

/**
 * Values of the `precision` integer of matrix products: bf16 rounds the elements of both factors to bfloat16 (8 bits of mantissa, to nearest,
 * ties to even) and sums their products as f32 does. What is read and written stays `real`.
 */
export const Precision = { f32: 0, bf16: 1 } as const

export const kernels = {
  /** out[count] = value */
  fill: { buffers: ["out"], integers: ["count"], reals: ["value"] },
  /** out[count] = a[count] + b[count]; out may be a or b */
  add: { buffers: ["a", "b", "out"], integers: ["count"], reals: [] },
  /**
   * out[rows,width] = tokenTable[ids[row]] + positionTable[positions[row]]; ids, positions: i32[rows];
   * tokenTable: [vocabulary,width]; positionTable: [context,width]
   */
  embedding: {
    buffers: ["ids", "positions?", "tokenTable", "positionTable?", "out"],
    integers: ["rows", "width", "vocabulary", "context"],
    reals: []
  },
  /** dTokenTable[ids[row]] and dPositionTable[positions[row]] accumulate dOut[row], rows in ascending order */
  embeddingGradient: {
    buffers: ["ids", "positions?", "dOut", "dTokenTable", "dPositionTable?"],
    integers: ["rows", "width", "vocabulary", "context"],
    reals: []
  },
  /** out = (x - mean) * rstd * gamma + beta per row; mean, rstd: real[rows] (Ba et al. 2016, eq. 4) */
  layernorm: {
    buffers: ["x", "gamma", "beta", "out", "mean", "rstd"],
    integers: ["rows", "width"],
    reals: ["epsilon"]
  },
  /** dx = (dResidual or 0) + the gradient through layernorm; dGamma, dBeta accumulate. dx may be dResidual or dOut */
  layernormGradient: {
    buffers: ["dOut", "x", "gamma", "mean", "rstd", "dResidual?", "dx", "dGamma", "dBeta"],
    integers: ["rows", "width"],
    reals: []
  },
  /**
   * y[m,n] = op(a)[m,k] . op(b)[k,n] (+ bias[n]), where op transposes if transposeA / transposeB: a is [k,m] / b is [n,k] then.
   * activation none: out = y (+ residual[m,n]); gelu: out = gelu(y) (tanh form, Hendrycks & Gimpel 2016), pre[m,n] = y and
   * slope[m,n] = gelu'(y) if given; geluGradient: out = y * slope[m,n]. accumulate (only with none and no residual): out += y.
   */
  matmul: {
    buffers: ["a", "b", "bias?", "residual?", "pre?", "slope?", "out"],
    integers: ["m", "n", "k", "transposeA", "transposeB", "accumulate", "activation", "precision"],
    reals: []
  },
  /** out = gelu(x), slope = gelu'(x), the same bits as in matmul; slope may be x */
  gelu: { buffers: ["x", "out", "slope"], integers: ["count"], reals: [] },
  /** dBias[width] accumulates the column sums of dOut[rows,width] */
  biasGradient: { buffers: ["dOut", "dBias"], integers: ["rows", "width"], reals: [] },
  /**
   * Causal self-attention, scale 1/sqrt(headWidth), never length x length in memory (Dao 2022).
   * qkv: [batch*length, 3*heads*headWidth] (q, then k, then v, each head after head); out: [batch*length, heads*headWidth];
   * logSumExp: [batch, heads, length] of the scaled scores.
   */
  attention: {
    buffers: ["qkv", "out", "logSumExp"],
    integers: ["batch", "length", "heads", "headWidth"],
    reals: []
  },
  attentionGradient: {
    buffers: ["dOut", "qkv", "out", "logSumExp", "dQkv"],
    integers: ["batch", "length", "heads", "headWidth"],
    reals: []
  },
  /**
   * logits = inverseTemperature * x . table^T in chunks, never rows x vocabulary in memory.
   * x: [rows,width]; table: [vocabulary,width]; targets: i32[rows], a negative target is ignored (its statistics are 0).
   * logProbability, entropy (nats), logSumExp: real[rows].
   */
  lmHead: {
    buffers: ["x", "table", "targets", "logProbability", "entropy?", "logSumExp"],
    integers: ["rows", "width", "vocabulary", "precision"],
    reals: ["inverseTemperature"]
  },
  /**
   * Gradient of sum(dLogProbability * logProbability + dEntropy * entropy): dx overwritten, dTable accumulates.
   * d logit_j = invT * (dLogProbability * (1[j = target] - p_j) - dEntropy * p_j * (log p_j + entropy))
   */
  lmHeadGradient: {
    buffers: ["x", "table", "targets", "logSumExp", "entropy?", "dLogProbability", "dEntropy?", "dx", "dTable"],
    integers: ["rows", "width", "vocabulary", "precision"],
    reals: ["inverseTemperature"]
  },
  /** lmHead and lmHeadGradient in one pass over the logits, for a dLogProbability known beforehand (cross-entropy) */
  lmHeadLoss: {
    buffers: ["x", "table", "targets", "dLogProbability", "logProbability", "dx", "dTable"],
    integers: ["rows", "width", "vocabulary", "precision"],
    reals: ["inverseTemperature"]
  },
  /** out[rows] = x[rows,width] . weight[width] + bias[1] */
  scalarHead: { buffers: ["x", "weight", "bias", "out"], integers: ["rows", "width"], reals: [] },
  /** dx = dOut * weight (dx += if accumulate); dWeight, dBias accumulate */
  scalarHeadGradient: {
    buffers: ["x", "weight", "dOut", "dx", "dWeight", "dBias"],
    integers: ["rows", "width", "accumulate"],
    reals: []
  },
  /** norm[1] = sqrt(sum of squares of gradients[count]), summed in double over fixed chunks */
  gradientNorm: { buffers: ["gradients", "norm"], integers: ["count"], reals: [] },
  /**
   * AdamW (Loshchilov & Hutter 2019) over one flat buffer; gradients are scaled by min(1, maxNorm/norm) first (maxNorm <= 0: never)
   * and set to 0 after. control: real[4] = learningRate, 1 - beta1^t, 1 - beta2^t, weightDecay; decay on indices < decayCount.
   * form 0: m^/(sqrt(v^) + epsilon) (PyTorch); form 1: lr * sqrt(c2)/c1 * m/(sqrt(v) + epsilon) (TensorFlow 1).
   */
  adamw: {
    buffers: ["weights", "gradients", "m", "v", "norm", "control"],
    integers: ["count", "decayCount", "form"],
    reals: ["beta1", "beta2", "epsilon", "maxNorm"]
  },
  /**
   * Copies k and v of qkv[batch*length, 3*heads*headWidth] into the cache from position 0. keys: [batch, heads, headWidth, capacity] (so that
   * scores stream); values: [batch, heads, capacity, headWidth]. length <= capacity.
   */
  cacheWrite: {
    buffers: ["qkv", "keys", "values"],
    integers: ["batch", "length", "capacity", "heads", "headWidth"],
    reals: []
  },
  /** one new token a sequence: writes its k, v at positions[b] (i32[batch]), attends to 0..positions[b]; qkv: [batch, 3*C]; out: [batch, C] */
  decodeAttention: {
    buffers: ["qkv", "positions", "keys", "values", "out"],
    integers: ["batch", "capacity", "heads", "headWidth"],
    reals: []
  },
  /**
   * Draws the next token of each sequence that is not done, from softmax(x . table^T / temperature) cut to the topK largest (0: all)
   * and then to the smallest prefix with mass >= topP (1: all); temperature 0 is argmax (lowest id on a tie). The uniform is Philox4x32-10 with
   * key keys[b] (u32[batch,2]) and counter (position + 1, 0, 0, 0), word 0 >> 8 times 2^-24, so it does not depend on the rest of the batch.
   * With p = positions[b]: ids[b] = tokens[b, p+1] = token; logProbability[b, p+1] = its log-softmax(logits / temperature) before the
   * cuts (temperature 1 when 0); positions[b] = p + 1; done[b] = 1 if token = endToken or p + 1 >= limits[b].
   * The run of the program may end once every sequence is done.
   * ids, positions, done, limits: i32[batch]; tokens: i32[batch,capacity]; logProbability: real[batch,capacity]; x: [batch,width].
   */
  sample: {
    buffers: ["x", "table", "keys", "limits", "ids", "positions", "done", "tokens", "logProbability"],
    integers: ["batch", "width", "vocabulary", "capacity", "topK", "endToken"],
    reals: ["temperature", "topP"]
  }
} as const satisfies Record<string, KernelShape>

/** The name of a kernel. */
export type KernelName = keyof typeof kernels

type Required<Names extends ReadonlyArray<string>> = Exclude<Names[number], `${string}?`>
type Optional<Names extends ReadonlyArray<string>> = Names[number] extends infer N
  ? N extends `${infer Name}?`
    ? Name
    : never
  : never

/** Where a buffer lies: the index of one of a program's memories, and an offset into it in bytes. */
export interface BufferRef {
  readonly memory: number
  readonly offset: number
}

/** One kernel launch, its operands by name. */
export interface Launch<K extends KernelName = KernelName> {
  readonly kernel: K
  readonly buffers: { readonly [N in Required<(typeof kernels)[K]["buffers"]>]: BufferRef } & {
    readonly [N in Optional<(typeof kernels)[K]["buffers"]>]?: BufferRef | undefined
  }
  readonly integers: { readonly [N in (typeof kernels)[K]["integers"][number]]: number }
  readonly reals: { readonly [N in (typeof kernels)[K]["reals"][number]]: number }
}

/** A launch of any kernel, as a union over the table. */
export type AnyLaunch = { [K in KernelName]: Launch<K> }[KernelName]
