/**
 * Takes down what a stage tells of its updates while it runs.
 *
 * @since 0.1.0
 */
import { rowText } from "../lineage/row-text.ts"
import type { StageTrace } from "../lineage/trace.ts"
import { type RowRanges, rangesFromText, rangesText, union, unionOf } from "../operator/row-ranges.ts"
import type { Update } from "../operator/stage.ts"

/** The updates of one stage. */
export interface Updates {
  readonly add: (update: Update) => void
  /** Goes on from what was taken down before a resume point. */
  readonly restore: (trace: StageTrace) => void
  /** The first `step` updates are not of interest. */
  readonly skip: (step: number) => void
  readonly trace: () => StageTrace
  /** All rows that were learned from, by input. */
  readonly learned: () => { readonly [port: string]: string }
}

/** So many updates' rows are put together at a time. */
const SOME = 256

/** A set of rows that grows. */
const makeRowSet = () => {
  let whole: RowRanges = []
  let some: Array<RowRanges> = []
  const merge = () => {
    whole = unionOf([whole, ...some])
    some = []
    return whole
  }
  return {
    add: (rows: RowRanges) => {
      some.push(rows)
      if (some.length === SOME) merge()
    },
    rows: merge
  }
}

/** No updates yet. */
export const makeUpdates = (): Updates => {
  const losses: Array<number> = []
  const ports = new Map<string, { readonly updates: Array<string>; readonly learned: ReturnType<typeof makeRowSet> }>()
  const add = (loss: number, given: Update["rows"]) => {
    for (const [port, ranges] of Object.entries(given)) {
      const rows = union(ranges)
      const of = ports.get(port) ?? { updates: losses.map(() => ""), learned: makeRowSet() }
      ports.set(port, of)
      of.updates.push(rangesText(rows))
      of.learned.add(rows)
    }
    losses.push(loss)
    for (const { updates } of ports.values()) if (updates.length < losses.length) updates.push("")
  }
  return {
    add: ({ loss, rows, step }) => {
      if (step !== losses.length + 1) {
        throw new TypeError(`update ${step} was noted after update ${losses.length}: each is noted once, in order`)
      }
      add(loss, rows)
    },
    restore: (trace) => {
      trace.losses.forEach((loss, i) => {
        const given = Object.entries(trace.rows).map(([port, of]) => [port, rangesFromText(of[i] ?? "") ?? []] as const)
        add(loss, Object.fromEntries(given))
      })
    },
    skip: (step) => {
      for (let i = 0; i < step; i++) add(0, {})
    },
    trace: () => ({
      losses,
      rows: Object.fromEntries([...ports].map(([port, { updates }]) => [port, updates])),
      origins: {}
    }),
    learned: () => Object.fromEntries(Array.from(ports, ([port, { learned }]) => [port, rowText(learned.rows())]))
  }
}
