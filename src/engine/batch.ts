/**
 * A batch: token sequences of different lengths, padded on the right to one rectangle.
 *
 * Row (b, t) reads token t of sequence b at position t and predicts token t + 1. Causality makes what is right of a sequence's end
 * invisible to it, so padding changes no bit of the rows that count. A packed batch has several texts in a sequence: each is read from position 0
 * on, and sees nothing of the others.
 *
 * @since 0.1.0
 */

/**
 * Tokens, and the index of the first that is predicted: those before `from` are the prompt (1: all but the first count). With `trained`, of those
 * from `from` on only the tokens with a 1 are.
 */
export interface Sequence {
  readonly tokens: Int32Array
  readonly from: number
  readonly trained?: Uint8Array
}

/**
 * `tokens`, `targets`: i32[batch * length]; a target is -1 where nothing is predicted. Of a packed batch, `starts` is the place in its sequence where
 * each row's text begins.
 */
export interface Batch {
  readonly batch: number
  readonly length: number
  readonly tokens: Int32Array
  readonly targets: Int32Array
  readonly sequences: ReadonlyArray<Sequence>
  readonly starts?: Int32Array
}

/** Writes a sequence's tokens and targets at a place of a batch. */
const put = ({ from, tokens, trained }: Sequence, at: number, into: { tokens: Int32Array; targets: Int32Array }) => {
  into.tokens.set(tokens, at)
  for (let t = Math.max(from, 1); t < tokens.length; t++) {
    if (trained === undefined || trained[t] === 1) into.targets[at + t - 1] = tokens[t]!
  }
}

/** How many tokens of a sequence are predicted. */
export const predicted = ({ from, tokens, trained }: Sequence): number => {
  const first = Math.max(from, 1)
  return trained === undefined ? Math.max(0, tokens.length - first) : trained.subarray(first).reduce((n, t) => n + t, 0)
}

/** Which sequences share a row of `length` tokens: the longest first, each in the row with the least room that has enough (best fit, decreasing). */
export const pack = (lengths: ReadonlyArray<number>, length: number): ReadonlyArray<ReadonlyArray<number>> => {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b)
  const rows: Array<{ readonly members: Array<number>; room: number }> = []
  // Rows by their room, so that a fit is found without looking at all.
  const byRoom: Array<Array<number>> = Array.from({ length: length + 1 }, () => [])
  for (const index of order) {
    let room = lengths[index]!
    while (room <= length && byRoom[room]!.length === 0) room++
    const row = room <= length ? byRoom[room]!.pop()! : rows.push({ members: [], room: length }) - 1
    rows[row]!.members.push(index)
    rows[row]!.room -= lengths[index]!
    byRoom[rows[row]!.room]!.push(row)
  }
  return rows.map(({ members }) => members)
}

/** A packed batch: each row's sequences one after the other, in `rows` (default: as many as there are) rows of `length`. */
export const padPacked = (
  packed: ReadonlyArray<ReadonlyArray<Sequence>>,
  length: number,
  rows: number = packed.length
): Batch => {
  const tokens = new Int32Array(rows * length)
  const targets = new Int32Array(rows * length).fill(-1)
  // What is behind the last text is a text of its own.
  const starts = new Int32Array(rows * length)
  packed.forEach((sequences, row) => {
    let at = 0
    for (const sequence of sequences) {
      put(sequence, row * length + at, { tokens, targets })
      starts.fill(at, row * length + at, (row + 1) * length)
      at += sequence.tokens.length
    }
    if (at < length) starts.fill(at, row * length + at, (row + 1) * length)
  })
  return { batch: rows, length, tokens, targets, sequences: packed.flat(), starts }
}

/** The number of rows that predict a token. */
export const targetCount = (batch: Batch): number => batch.targets.reduce((n, target) => n + (target >= 0 ? 1 : 0), 0)

/**
 * Tokens of the longest sequence, rounded up to `multiple` (default 16, so that few shapes are compiled), but not beyond `context` unless the
 * sequence itself is.
 */
export const paddedLength = (
  sequences: ReadonlyArray<Sequence>,
  { context = Infinity, multiple = 16 }: { readonly context?: number; readonly multiple?: number }
): number => {
  const longest = sequences.reduce((n, s) => Math.max(n, s.tokens.length), 1)
  return Math.max(longest, Math.min(Math.ceil(longest / multiple) * multiple, context))
}

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
  const length = options.length ?? paddedLength(sequences, options)
  const batch = options.batch ?? sequences.length
  const tokens = new Int32Array(batch * length)
  const targets = new Int32Array(batch * length).fill(-1)
  sequences.forEach((sequence, b) => {
    put(sequence, b * length, { tokens, targets })
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
      sequences: batch.sequences.slice(from, to),
      ...(batch.starts === undefined ? {} : { starts: batch.starts.subarray(from * length, to * length) })
    }
  })
}
