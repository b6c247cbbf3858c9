/**
 * Samples of a stage: some of its batches, or some of its updates.
 *
 * @since 0.1.0
 */
import type { KeptPoint } from "../executor/trace.ts"
import type { Blob } from "../operator/artifact.ts"
import { digestOf } from "../operator/digest.ts"
import type { RowRanges } from "../operator/row-ranges.ts"
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

/** Ranges of a share of `total` updates, each behind the start or one of the points, which are drawn. */
export const updateRanges = (
  total: number,
  points: ReadonlyArray<KeptPoint>,
  sample: Sample
): ReadonlyArray<UpdateRange> => {
  const starts = [undefined, ...points.filter(({ step }) => step < total)]
    .map((from) => ({ from, place: draw(sample, `update ${from?.step ?? 0}`) }))
    .toSorted((a, b) => a.place - b.place)
    .slice(0, MOST_RANGES)
    .toSorted((a, b) => (a.from?.step ?? 0) - (b.from?.step ?? 0))
  let wanted = Math.max(1, Math.ceil(sample.share * total))
  const ranges: Array<UpdateRange> = []
  for (const [i, { from }] of starts.entries()) {
    const first = (from?.step ?? 0) + 1
    const end = starts[i + 1]?.from?.step ?? total
    const count = Math.min(Math.ceil(wanted / (starts.length - i)), end - first + 1)
    if (count <= 0) continue
    wanted -= count
    ranges.push({ from, first, last: first + count - 1 })
  }
  return ranges
}

/** The updates of all ranges. */
export const updatesIn = (ranges: ReadonlyArray<UpdateRange>): RowRanges =>
  ranges.map(({ first, last }) => [first, last] as const)
