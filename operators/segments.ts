/**
 * Segments of a long text, cut between sentences or lines by content: an edit changes the segments near it and no others.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import { makeCutter } from "../src/table/cut.ts"
import type { Document } from "./rows.ts"

/** A stretch of a document; together the segments of a document are its text. */
export interface Segment {
  readonly id: string
  readonly text: string
  readonly last: boolean
}

/** The end of a line, or of a sentence before the space after it: that space begins the next word for a byte-level tokenizer. */
const boundary = /\n+|[.!?]["'”’)\]]*(?= )/g

const hashOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Where `text` may be cut, ending with its length. */
const ends = (text: string): ReadonlyArray<number> => {
  const result = Array.from(text.matchAll(boundary), (match) => match.index + match[0].length)
  if (result.at(-1) !== text.length) result.push(text.length)
  return result
}

/**
 * A document in segments of `length` characters on the average, at least half and at most 8 times as much where sentences allow. A document
 * up to `length` characters is one segment and keeps its id; others are told apart by a digest of their text.
 */
export const segmentsOf = ({ id, text }: Document, length: number): ReadonlyArray<Segment> => {
  if (text.length <= length) return [{ id, text, last: true }]
  const cutter = makeCutter(length / 2)
  const places = ends(text)
  const cuts: Array<number> = []
  let from = 0
  for (const end of places) {
    const piece = text.slice(from, end)
    cuts.push(...cutter.push(hashOf(piece), piece.length))
    from = end
  }
  const stretches = [...cuts.map((piece) => places[piece]!).filter((end) => end < text.length), text.length]
  return stretches.map((end, i) => {
    const segment = text.slice(stretches[i - 1] ?? 0, end)
    const digest = createHash("sha256").update(segment).digest("hex").slice(0, 12)
    return { id: `${id}#${digest}`, text: segment, last: end === text.length }
  })
}
