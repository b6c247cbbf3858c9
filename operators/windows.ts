/**
 * Windows of a token stream: what a language model is pretrained and validated on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Batch } from "../src/engine/batch.ts"
import { philox } from "../src/engine/random.ts"
import { type RowRanges, rangesOf } from "../src/operator/row-ranges.ts"
import type { ReadError, Table } from "../src/table/index.ts"
import type { TokenSequence } from "./rows.ts"

/** All tokens of a table in one buffer, in the table's order, and the bytes of text they stand for; `ends` has the place after each row's last token. */
export interface TokenStream {
  readonly tokens: Int32Array
  readonly bytes: number
  readonly ends: Float64Array
}

/** Reads a table of token sequences as one stream. */
export const read = (table: Table<TokenSequence>): Effect.Effect<TokenStream, ReadError> =>
  Effect.gen(function* () {
    const parts: Array<Int32Array> = []
    let length = 0
    let bytes = 0
    yield* Stream.runForEach(table.rows, (row) =>
      Effect.sync(() => {
        parts.push(row.tokens.slice())
        length += row.tokens.length
        bytes += row.bytes
      })
    )
    const tokens = new Int32Array(length)
    let at = 0
    const ends = new Float64Array(parts.length)
    for (const [row, part] of parts.entries()) {
      tokens.set(part, at)
      at += part.length
      ends[row] = at
    }
    return { tokens, bytes, ends }
  })

/** The row that a token of a stream is in. */
const rowAt = (ends: Float64Array, token: number): number => {
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ends[middle]! > token) high = middle
    else low = middle + 1
  }
  return low
}

/** The rows of the table that windows of `length` tokens at these places, and the token that each predicts last, are in. */
export const rowsAt = ({ ends }: TokenStream, starts: ReadonlyArray<number>, length: number): RowRanges =>
  rangesOf(
    starts.flatMap((start) => {
      const first = rowAt(ends, start)
      return Array.from({ length: rowAt(ends, start + length) - first + 1 }, (_, i) => first + i)
    })
  )

const windows = (tokens: Int32Array, starts: ReadonlyArray<number>, length: number): Batch => {
  const inputs = new Int32Array(starts.length * length)
  const targets = new Int32Array(starts.length * length)
  const sequences = starts.map((start, b) => {
    inputs.set(tokens.subarray(start, start + length), b * length)
    targets.set(tokens.subarray(start + 1, start + length + 1), b * length)
    return { tokens: tokens.subarray(start, start + length + 1), from: 1 }
  })
  return { batch: starts.length, length, tokens: inputs, targets, sequences }
}

/**
 * The same batch with attention and positions that begin anew after each `end` token: a document sees nothing of the one before it. A window that
 * begins inside a document begins at its position 0.
 */
export const byDocument = (batch: Batch, end: number): Batch => {
  const { length, tokens } = batch
  const starts = new Int32Array(tokens.length)
  let start = 0
  for (let i = 0; i < tokens.length; i++) {
    const t = i % length
    if (t === 0) start = 0
    else if (tokens[i - 1] === end) start = t
    starts[i] = start
  }
  return { ...batch, starts }
}

/** Places of `batch` windows at random, a function of seed and step alone: the cursor of the data is the step. */
export const randomStarts = (
  count: number,
  batch: number,
  length: number,
  seed: number,
  step: number
): ReadonlyArray<number> => {
  const room = count - length
  return Array.from({ length: batch }, (_, b) => {
    const [high, low] = philox([seed >>> 0, 0xda7a], [step, b, 0, 0])
    return Number(((BigInt(high!) << 32n) | BigInt(low!)) % BigInt(room))
  })
}

/** Windows at those places. */
export const random = (tokens: Int32Array, batch: number, length: number, seed: number, step: number): Batch =>
  windows(tokens, randomStarts(tokens.length, batch, length, seed, step), length)

/** Places of windows one after the other from the start, at most `limit` of them, `batch` at a time. */
export const consecutiveStarts = (
  count: number,
  batch: number,
  length: number,
  limit: number
): ReadonlyArray<ReadonlyArray<number>> => {
  const all = Math.min(limit, Math.floor((count - 1) / length))
  return Array.from({ length: Math.ceil(all / batch) }, (_, part) =>
    Array.from({ length: Math.min(batch, all - part * batch) }, (_, i) => (part * batch + i) * length)
  )
}
