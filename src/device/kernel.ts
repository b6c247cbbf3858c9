/**
 * The kernels, the whole list in one table. A device is that which can run every row of it.
 *
 * Each row fixes the order of a launch's buffers, integers and reals; `src/device/cpu` generates its C++ names from it, so
 * the two cannot drift apart. Shapes are row-major and contiguous; `real` is the device's float type (f32; f64 in tests).
 * A buffer marked `?` may be null, an integer marked `?` absent, which is 0. "accumulates" means `+=`; every other output is overwritten.
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

/** Positions of a sequence whose keys lie together in the cache of `decodeAttention`. */
export const cacheBlock = 16

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
  /** out[count] = factor * x[count]; out may be x */
  scale: { buffers: ["x", "out"], integers: ["count"], reals: ["factor"] },
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
  /** out = x * rstd * gamma per row, rstd = 1 / sqrt(mean(x^2) + epsilon): real[rows] (Zhang & Sennrich 2019) */
  rmsnorm: { buffers: ["x", "gamma", "out", "rstd"], integers: ["rows", "width"], reals: ["epsilon"] },
  /** dx = (dResidual or 0) + the gradient through rmsnorm; dGamma accumulates. dx may be dResidual or dOut */
  rmsnormGradient: {
    buffers: ["dOut", "x", "gamma", "rstd", "dResidual?", "dx", "dGamma"],
    integers: ["rows", "width"],
    reals: []
  },
  /** out[rows,width] = silu(x[:, :width]) * x[:, width:], silu(g) = g / (1 + e^-g); x: [rows, 2*width] (Shazeer 2020) */
  swiglu: { buffers: ["x", "out"], integers: ["rows", "width"], reals: [] },
  /** dx[rows, 2*width] of dOut[rows, width]; dx may be x */
  swigluGradient: { buffers: ["dOut", "x", "dx"], integers: ["rows", "width"], reals: [] },
  /**
   * table[rows, headWidth] = cos, then sin, of positions[row] * theta^(-2i/headWidth) for i < headWidth/2 (Su et al. 2021); positions: i32[rows]
   */
  rotaryTable: { buffers: ["positions", "table"], integers: ["rows", "headWidth"], reals: ["theta"] },
  /**
   * Rotates, in place, the first heads*headWidth elements of each row of x[rows, rowWidth], each head by its row of the table: element i with
   * element i + headWidth/2 (as Hugging Face's Llama). inverse: by the negative angle, which is also the gradient.
   */
  rotary: {
    buffers: ["table", "x"],
    integers: ["rows", "heads", "headWidth", "rowWidth", "inverse"],
    reals: []
  },
  /**
   * y[m,n] = op(a)[m,k] . op(b)[k,n] (+ bias[n]), where op transposes if transposeA / transposeB: a is [k,m] / b is [n,k] then.
   * activation none: out = y (+ residual[m,n]); gelu: out = gelu(y) (tanh form, Hendrycks & Gimpel 2016), pre[m,n] = y and
   * slope[m,n] = gelu'(y) if given; geluGradient: out = y * slope[m,n]. accumulate (only with none and no residual): out += y.
   * training (default 0) is 1 where only a training step uses the product: a device may then multiply in a way whose rounding of a row depends on
   * the rows beside it (Strassen's). The heads' products that make gradients count as such.
   */
  matmul: {
    buffers: ["a", "b", "bias?", "residual?", "pre?", "slope?", "out"],
    integers: ["m", "n", "k", "transposeA", "transposeB", "accumulate", "activation", "precision", "training?"],
    reals: []
  },
  /** out = gelu(x), slope = gelu'(x), the same bits as in matmul; slope may be x */
  gelu: { buffers: ["x", "out", "slope"], integers: ["count"], reals: [] },
  /** dBias[width] accumulates the column sums of dOut[rows,width] */
  biasGradient: { buffers: ["dOut", "dBias"], integers: ["rows", "width"], reals: [] },
  /**
   * Causal self-attention, scale 1/sqrt(headWidth), never length x length in memory (Dao 2022).
   * qkv: [batch*length, (heads + 2*keyHeads)*headWidth] (q, then k, then v, each head after head); out: [batch*length, heads*headWidth];
   * logSumExp: [batch, heads, length] of the scaled scores. starts: i32[batch*length], the first position of its sequence that a row may see, itself at
   * most (none: position 0), so that several texts lie in one sequence and see nothing of each other. keyHeads divides heads: query head h reads key head
   * floor(h * keyHeads / heads) (grouped-query attention, Ainslie et al. 2023). precision bf16: a device may round q, k, v, dOut, the
   * weights (before they are divided by their sum, which is made of what they were) and the derivatives of the scores where they are factors of a product.
   */
  attention: {
    buffers: ["qkv", "starts?", "out", "logSumExp"],
    integers: ["batch", "length", "heads", "keyHeads", "headWidth", "precision?"],
    reals: []
  },
  attentionGradient: {
    buffers: ["dOut", "qkv", "starts?", "out", "logSumExp", "dQkv"],
    integers: ["batch", "length", "heads", "keyHeads", "headWidth", "precision?"],
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
   * Gradient of sum(dLogProbability * logProbability + dEntropy * entropy): dx overwritten, dTable (if given) accumulates.
   * d logit_j = invT * (dLogProbability * (1[j = target] - p_j) - dEntropy * p_j * (log p_j + entropy))
   */
  lmHeadGradient: {
    buffers: ["x", "table", "targets", "logSumExp", "entropy?", "dLogProbability", "dEntropy?", "dx", "dTable?"],
    integers: ["rows", "width", "vocabulary", "precision"],
    reals: ["inverseTemperature"]
  },
  /** lmHead and lmHeadGradient in one pass over the logits, for a dLogProbability known beforehand (cross-entropy) */
  lmHeadLoss: {
    buffers: ["x", "table", "targets", "dLogProbability", "logProbability", "dx", "dTable?"],
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
   * Copies k and v of qkv[batch*length, (heads + 2*keyHeads)*headWidth] into the cache from position 0. keys: [slots, keyHeads,
   * ceil(capacity / cacheBlock), headWidth, cacheBlock] (so that scores stream); values: [slots, keyHeads, capacity, headWidth]. length <= capacity. Sequence b goes
   * to slot places[b] (i32[batch], negative: nowhere; no two the same), or without them to slot b.
   */
  cacheWrite: {
    buffers: ["qkv", "places?", "keys", "values"],
    integers: ["batch", "length", "slots", "capacity", "heads", "keyHeads", "headWidth"],
    reals: []
  },
  /** one new token a sequence: writes its k, v at positions[b] (i32[batch]), attends to 0..positions[b]; qkv, keys, values as in cacheWrite; out: [batch, heads*headWidth] */
  decodeAttention: {
    buffers: ["qkv", "positions", "keys", "values", "out"],
    integers: ["batch", "capacity", "heads", "keyHeads", "headWidth"],
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
  readonly integers: { readonly [N in Required<(typeof kernels)[K]["integers"]>]: number } & {
    readonly [N in Optional<(typeof kernels)[K]["integers"]>]?: number | undefined
  }
  readonly reals: { readonly [N in (typeof kernels)[K]["reals"][number]]: number }
}

/** A launch of any kernel, as a union over the table. */
export type AnyLaunch = { [K in KernelName]: Launch<K> }[KernelName]
