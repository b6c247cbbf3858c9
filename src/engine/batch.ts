/**
 * A batch: token sequences of different lengths, padded on the right to one rectangle.
 *
 * Row (b, t) reads token t of sequence b at position t and predicts token t + 1. Causality makes what is right of a sequence's end
 * invisible to it, so padding changes no bit of the rows that count.
 *
 * @since 0.1.0
 */

/** Tokens, and the index of the first that is predicted: those before `from` are the prompt (1: all but the first count). */
export interface Sequence {
  readonly tokens: Int32Array
  readonly from: number
}

/** `tokens`, `targets`: i32[batch * length]; a target is -1 where nothing is predicted. */
export interface Batch {
  readonly batch: number
  readonly length: number
  readonly tokens: Int32Array
  readonly targets: Int32Array
  readonly sequences: ReadonlyArray<Sequence>
}

/** The number of rows that predict a token. */
export const targetCount = (batch: Batch): number => batch.targets.reduce((n, target) => n + (target >= 0 ? 1 : 0), 0)

/**
 * Pads sequences to their longest, rounded up to `multiple` (default 16, so that few shapes are compiled) but not beyond `context`, or to
 * `length`.
 */
export const pad = (
  sequences: ReadonlyArray<Sequence>,
  options: {
    readonly multiple?: number
    readonly context?: number
    readonly length?: number
    readonly batch?: number
  } = {}
): Batch => {
  const multiple = options.multiple ?? 16
  const longest = sequences.reduce((n, s) => Math.max(n, s.tokens.length), 1)
  const length = options.length ?? Math.ceil(longest / multiple) * multiple
  const batch = options.batch ?? sequences.length
  const tokens = new Int32Array(batch * length)
  const targets = new Int32Array(batch * length).fill(-1)
  sequences.forEach(({ from, tokens: source }, b) => {
    tokens.set(source, b * length)
    for (let t = Math.max(from, 1); t < source.length; t++) targets[b * length + t - 1] = source[t]!
  })
  return { batch, length, tokens, targets, sequences }
}

/** A batch in parts of at most `rows` sequences. */
export const split = (batch: Batch, rows: number): ReadonlyArray<Batch> => {
  if (rows >= batch.batch) return [batch]
  const { length } = batch
  return Array.from({ length: Math.ceil(batch.batch / rows) }, (_, i) => {
    const [from, to] = [i * rows, Math.min((i + 1) * rows, batch.batch)]
    return {
      batch: to - from,
      length,
      tokens: batch.tokens.subarray(from * length, to * length),
      targets: batch.targets.subarray(from * length, to * length),
      sequences: batch.sequences.slice(from, to)
    }
  })
}
