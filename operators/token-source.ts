/**
 * Where a language model's windows come from: a long sequence of tokens that can be read at any place.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Batch } from "../src/engine/batch.ts"
import type { ArtifactError } from "../src/operator/artifact.ts"
import { type RowRanges, union } from "../src/operator/row-ranges.ts"
import * as Order from "./order.ts"
import * as Windows from "./windows.ts"

/**
 * `count` tokens that stand for `bytes` bytes of text; `read` gives those from `from` on. `rowsAt` says in which rows of the input windows at these places
 * are, each with the token after it.
 */
export interface TokenSource {
  readonly count: number
  readonly bytes: number
  readonly rowsAt: (starts: ReadonlyArray<number>, length: number) => RowRanges
  readonly read: (from: number, count: number) => Effect.Effect<Int32Array, ArtifactError>
}

/** Tokens in memory. */
export const ofStream = (stream: Windows.TokenStream): TokenSource => ({
  count: stream.tokens.length,
  bytes: stream.bytes,
  rowsAt: (starts, length) => Windows.rowsAt(stream, starts, length),
  read: (from, count) => Effect.succeed(stream.tokens.subarray(from, from + count))
})

/** Of tokens that are in no rows: the tokens themselves. */
export const tokensAt = (starts: ReadonlyArray<number>, length: number): RowRanges =>
  union(starts.map((start) => [start, start + length] as const))

/** A batch of windows of `length` tokens at these places, each predicting the token after it too. */
export const windowsAt = Effect.fnUntraced(function* (
  source: TokenSource,
  starts: ReadonlyArray<number>,
  length: number
): Effect.fn.Return<Batch, ArtifactError> {
  const tokens = new Int32Array(starts.length * length)
  const targets = new Int32Array(starts.length * length)
  const sequences: Array<Batch["sequences"][number]> = []
  for (const [b, start] of starts.entries()) {
    const window = yield* source.read(start, length + 1)
    tokens.set(window.subarray(0, length), b * length)
    targets.set(window.subarray(1), b * length)
    sequences.push({ tokens: window, from: 1 })
  }
  return { batch: starts.length, length, tokens, targets, sequences }
})

/**
 * Places of the windows of update `step`, a function of seed and step alone, so that a resumed run goes on with the same. random: anywhere, drawn
 * with replacement; shuffled: each window of every epoch once, in an order of that epoch that takes no memory.
 */
export const startsOf = (
  order: "random" | "shuffled",
  count: number,
  batch: number,
  length: number,
  seed: number,
  step: number
): ReadonlyArray<number> => {
  if (order === "random") return Windows.randomStarts(count, batch, length, seed, step)
  const windows = Math.floor((count - 1) / length)
  return Array.from({ length: batch }, (_, b) => {
    const drawn = step * batch + b
    return length * Order.shuffled(windows, seed, Math.floor(drawn / windows), drawn % windows)
  })
}

/** So many tokens are counted at a time. */
const PIECE = 1 << 20

/** Entropy of the token distribution, in nats: the loss of the best predictor that ignores context. */
export const unigramEntropy = Effect.fnUntraced(function* (source: TokenSource, vocabulary: number) {
  const counts = new Float64Array(vocabulary)
  for (let from = 0; from < source.count; from += PIECE) {
    for (const token of yield* source.read(from, Math.min(PIECE, source.count - from))) counts[token]!++
    yield* Effect.yieldNow
  }
  let entropy = 0
  for (const count of counts) {
    if (count > 0) entropy -= (count / source.count) * Math.log(count / source.count)
  }
  return entropy
})
