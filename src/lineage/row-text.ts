/**
 * A set of rows as short text, as records have it: ranges, or, where that is shorter, its bits.
 *
 * @since 0.1.0
 */
import { deflateRawSync, inflateRawSync } from "node:zlib"
import { type RowRanges, rangesFromText, rangesText } from "../operator/row-ranges.ts"

/** Stands for a set that is too long for a record: the trace has it. */
const LONG = "*"

/** A record has no longer text than this. */
const MOST_TEXT = 16_384

/** What marks bits: no range begins so. */
const BITS = "~"

/** So many rows have bits: what has more is long in any case. */
const MOST_ROWS = 2_000_000

/** Bit `row & 7` of byte `row >> 3` is set for each row. */
const bitsOf = (ranges: RowRanges): Uint8Array => {
  const bits = new Uint8Array(((ranges.at(-1)?.[1] ?? -1) >> 3) + 1)
  for (const [first, last] of ranges) for (let row = first; row <= last; row++) bits[row >> 3]! |= 1 << (row & 7)
  return bits
}

const rangesOfBits = (bits: Uint8Array): RowRanges => {
  const found: Array<[number, number]> = []
  let open: [number, number] | undefined
  for (let row = 0; row < 8 * bits.length; row++) {
    if ((bits[row >> 3]! & (1 << (row & 7))) === 0) open = undefined
    else if (open !== undefined) open[1] = row
    else {
      open = [row, row]
      found.push(open)
    }
  }
  return found
}

/** The text of a set. */
export const rowText = (ranges: RowRanges): string => {
  const text = rangesText(ranges)
  if (text.length < 256) return text
  const last = ranges.at(-1)![1]
  const bits = last >= MOST_ROWS ? text : `${BITS}${deflateRawSync(bitsOf(ranges)).toString("base64")}`
  const shorter = bits.length < text.length ? bits : text
  return shorter.length > MOST_TEXT ? LONG : shorter
}

/** The set of a text; undefined where it was too long, or the text is none. */
export const rowsOfText = (text: string): RowRanges | undefined => {
  if (!text.startsWith(BITS)) return rangesFromText(text)
  try {
    return rangesOfBits(inflateRawSync(Buffer.from(text.slice(1), "base64")))
  } catch {
    return undefined
  }
}

/** Rows that are indexed together. */
export const CHUNK = 4096

/** The bits of a set by chunk; null where all rows of a chunk are in it. A chunk without rows is left out. */
export const chunksOf = (ranges: RowRanges): ReadonlyMap<number, Uint8Array | null> => {
  const chunks = new Map<number, Uint8Array | null>()
  for (const [first, last] of ranges) {
    for (let chunk = Math.floor(first / CHUNK); chunk * CHUNK <= last; chunk++) {
      const start = chunk * CHUNK
      const [from, to] = [Math.max(first, start), Math.min(last, start + CHUNK - 1)]
      if (to - from === CHUNK - 1) {
        chunks.set(chunk, null)
        continue
      }
      const bits = chunks.get(chunk) ?? new Uint8Array(CHUNK / 8)
      for (let row = from - start; row <= to - start; row++) bits[row >> 3]! |= 1 << (row & 7)
      chunks.set(chunk, bits)
    }
  }
  return chunks
}

/** Whether a chunk has one of these rows. */
export const chunkHas = (chunk: number, bits: Uint8Array | null, rows: RowRanges): boolean =>
  rows.some(([first, last]) => {
    const start = chunk * CHUNK
    for (let row = Math.max(first, start); row <= Math.min(last, start + CHUNK - 1); row++) {
      const at = row - start
      if (bits === null || (bits[at >> 3]! & (1 << (at & 7))) !== 0) return true
    }
    return false
  })
