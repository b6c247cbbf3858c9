/**
 * Samples of a stage: some of its batches, or some of its updates.
 *
 * @since 0.1.0
 */
import type { KeptPoint } from "../executor/kept-points.ts"
import type { Blob } from "../operator/artifact.ts"
import { digestOf } from "../operator/digest.ts"
import { type RowRanges, union } from "../operator/row-ranges.ts"
import type { BatchIndex } from "../store/batches.ts"

/** How much of a stage is to run again, above 0 and at most 1, and what the choice is drawn from. */
export interface Sample {
  readonly share: number
  readonly seed: number
}

/** A number in [0, 1) that is a function of the seed and a name. */
const draw = ({ seed }: Sample, name: string): number =>
  Number.parseInt(digestOf("verify-sample", [seed, name]).slice(0, 12), 16) / 2 ** 48

/**
 * Asks a batch index as if it did not know a share of the batches, evenly spread and at least one of `batches`, so that they are made again. `counts` says how many
 * were, of how many: those that are not known, or not there, too.
 */
export const sampledBatches = (
  index: Pick<BatchIndex, "find">,
  isThere: (blob: Blob) => boolean,
  batches: number,
  sample: Sample
): { readonly find: BatchIndex["find"]; readonly counts: () => { readonly made: number; readonly total: number } } => {
  const wanted = Math.min(batches, Math.max(1, Math.round(sample.share * batches)))
  const chosen = new Map<string, boolean>()
  const offset = draw(sample, "batches")
  const unknown = new Set<string>()
  const isChosen = (batch: string): boolean => {
    const known = chosen.get(batch)
    if (known !== undefined) return known
    const i = chosen.size
    const is = Math.floor(((i + 1) * wanted) / batches + offset) > Math.floor((i * wanted) / batches + offset)
    chosen.set(batch, is)
    return is
  }
  return {
    find: (scope, batch) => {
      const known = isChosen(batch) ? undefined : index.find(scope, batch)
      const found = known !== undefined && isThere(known.blob) ? known : undefined
      if (found === undefined) unknown.add(batch)
      return found
    },
    counts: () => ({ made: unknown.size, total: chosen.size })
  }
}

/** Updates `first` to `last`, from 1, that run again, from a resume point that was kept or from the start. */
export interface UpdateRange {
  readonly from: KeptPoint | undefined
  readonly first: number
  readonly last: number
}

/** Starts that ranges are drawn from, at most: each costs loading what is there. */
const MOST_RANGES = 4

/**
 * Ranges of a share of `total` updates, each from the start or from one of the points, which are drawn. One that would reach the next goes on through it, so that
 * this point is proven too.
 */
export const updateRanges = (
  total: number,
  points: ReadonlyArray<KeptPoint>,
  sample: Sample
): ReadonlyArray<UpdateRange> => {
  const starts = [undefined, ...points.filter(({ step }) => step < total)]
    .map((from) => ({ from, place: draw(sample, `update ${from?.step ?? 0}`) }))
    .toSorted((a, b) => a.place - b.place)
    .slice(0, MOST_RANGES)
    .map(({ from }) => from)
    .toSorted((a, b) => (a?.step ?? 0) - (b?.step ?? 0))
  const rooms = starts.map((from, i) => {
    const [first, end] = [(from?.step ?? 0) + 1, starts[i + 1]?.step ?? total]
    return { from, first, room: end - first + 1 }
  })
  let wanted = Math.min(Math.max(1, Math.ceil(sample.share * total)), total)
  const counts = new Map<number, number>()
  for (const [i, { first, room }] of rooms.toSorted((a, b) => a.room - b.room).entries()) {
    const count = Math.min(Math.ceil(wanted / (rooms.length - i)), room)
    counts.set(first, count)
    wanted -= count
  }
  const ranges: Array<UpdateRange> = []
  for (const { first, from } of rooms) {
    const count = counts.get(first)!
    if (count === 0) continue
    const before = ranges.at(-1)
    if (before?.last === first - 1) ranges[ranges.length - 1] = { ...before, last: before.last + count }
    else ranges.push({ from, first, last: first + count - 1 })
  }
  return ranges
}

/** The updates of all ranges. */
export const updatesIn = (ranges: ReadonlyArray<UpdateRange>): RowRanges =>
  union(ranges.map(({ first, last }) => [first, last] as const))
