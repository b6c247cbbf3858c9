/**
 * Where to cut rows into batches, by content.
 *
 * A batch ends after row i where the hash of i is strictly less than the hash of every other row within `window` of it, on both sides; the
 * distance of two rows is the weight of the rows from the first up to the second. The rule looks at no row further away than that, so rows
 * inserted, removed or changed move only the cuts near them: one row changes at most 3 batches. Two cuts are more than a window apart, and
 * with hashes spread evenly 2 windows on the average. Where no cut comes (many equal rows), one is forced after 16 windows; forced cuts
 * depend on what is before them up to the last cut by content. The rows in the first and the last window are never cut off.
 *
 * @since 0.1.0
 */

import * as Stream from "effect/Stream"
import type { Batch } from "./arrow.ts"
import { gatherColumns } from "./cells.ts"
import type { Column } from "./columns.ts"
import { rowHashes } from "./row-hash.ts"

/** Takes rows in order and tells after which of them to cut, as soon as that is known. */
export interface Cutter {
  /** Takes one row; returns the numbers of rows (counted from 0) after which to cut, that became known: almost always none. */
  readonly push: (hash: number, weight: number) => ReadonlyArray<number>
}

/** Half a batch's mean weight, in bytes. */
const WINDOW = 256 * 1024

const FORCED = 16

const none: ReadonlyArray<number> = []

/** A cutter for a sequence of rows that starts here. */
export const makeCutter = (window: number = WINDOW): Cutter => {
  // The rows within a window before the next one that are less than all rows after them: hashes rise from first to last.
  const rows: Array<{ readonly row: number; readonly start: number; readonly hash: number }> = []
  let first = 0
  let candidate = -1
  let next = 0
  let start = 0
  let lastCut = 0
  return {
    push: (hash, weight) => {
      const cuts: Array<number> = []
      while (first < rows.length && start - rows[first]!.start > window) {
        const { row, start: from } = rows[first]!
        if (row === candidate) {
          cuts.push(row)
          candidate = -1
          lastCut = Math.max(lastCut, from)
        }
        first++
      }
      while (rows.length > first && rows.at(-1)!.hash > hash) rows.pop()
      if (rows.length === first) candidate = start > window ? next : -1
      else if (rows.at(-1)!.hash === hash && rows.at(-1)!.row === candidate) candidate = -1
      if (rows.length === first) rows.length = first = 0
      if (first > 4096) {
        rows.splice(0, first)
        first = 0
      }
      rows.push({ row: next, start, hash })
      if (candidate === -1 && start - lastCut > window * FORCED) {
        cuts.push(next)
        lastCut = start
      }
      next++
      start += weight
      return cuts.length === 0 ? none : cuts
    }
  }
}

/** The same rows in batches cut by content. Holds about as many bytes as a batch has. */
export const cutByContent =
  (columns: ReadonlyArray<Column>, window: number = WINDOW) =>
  <E>(batches: Stream.Stream<Batch, E>): Stream.Stream<Batch, E> =>
    batches.pipe(
      Stream.mapAccumArray(
        () => makeRecut(columns, window),
        (recut, arrays) => [recut, arrays.flatMap(recut.push)],
        { onHalt: (recut) => recut.rest() }
      )
    )

const makeRecut = (columns: ReadonlyArray<Column>, window: number) => {
  const cutter = makeCutter(window)
  // Batches of which some rows are not given out; `first` is the number, in the table, of a batch's first row.
  let held: Array<{ readonly batch: Batch; readonly first: number }> = []
  let taken = 0
  let given = 0
  /** The rows given out last up to and without row `end`. */
  const take = (end: number): Batch => {
    const spans = held
      .filter(({ first }) => first < end)
      .map(({ batch, first }) => ({ batch, from: Math.max(given - first, 0), to: Math.min(end - first, batch.length) }))
    const cells = gatherColumns(columns, spans)
    const length = end - given
    given = end
    held = held.filter(({ batch, first }) => first + batch.length > end)
    return { length, cells }
  }
  return {
    push: (batch: Batch): ReadonlyArray<Batch> => {
      held.push({ batch, first: taken })
      taken += batch.length
      const { hashes, weights } = rowHashes(columns, batch)
      const cuts: Array<number> = []
      for (let i = 0; i < batch.length; i++) cuts.push(...cutter.push(hashes[i]!, weights[i]!))
      return cuts.map((row) => take(row + 1))
    },
    rest: (): ReadonlyArray<Batch> => (taken > given ? [take(taken)] : [])
  }
}
