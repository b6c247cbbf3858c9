/**
 * Who saw a row of a table.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Made } from "../../lineage/ledger.ts"
import { rowSeen, type SeenTable, seenByOne } from "../../lineage/seen.ts"
import { countRows, type RowRanges, rangesText } from "../../operator/row-ranges.ts"
import type { RowSeen, RowsApart } from "../answers.ts"
import { artifactView, findArtifact } from "./artifact.ts"

/** Artifacts of an answer at most, of each kind. */
const MOST = 100

const viewOf = ({ artifact, key, port, stage }: Made) => artifactView(artifact, stage, key, port)

const countOf = (ranges: RowRanges | undefined) =>
  ranges === undefined ? null : { count: countRows(ranges), ranges: rangesText(ranges) }

/** The checkpoints that learned from a row, nearest first, and what it became on the way. */
export const seen = Effect.fnUntraced(function* (reference: string, row: number) {
  const made = yield* findArtifact(reference)
  const { became, checkpoints, unknown } = yield* rowSeen(made, row)
  const view: RowSeen = {
    of: viewOf(made),
    row,
    total: checkpoints.length,
    checkpoints: checkpoints.slice(0, MOST).map(({ learned, operator, run, through, ...checkpoint }) => ({
      artifact: viewOf(checkpoint),
      operator,
      run,
      learned: learned.map(({ of, port, rows, updates }) => ({
        port,
        rows: countOf(rows),
        updates: countOf(updates),
        of: of ?? null
      })),
      through: through.map(viewOf)
    })),
    became: became.slice(0, MOST).map(({ rows, ...table }) => ({ artifact: viewOf(table), rows: countOf(rows)! })),
    unknown: unknown.slice(0, MOST).map(viewOf)
  }
  return view
}, Effect.scoped)

/** The rows that one of two checkpoints saw and the other did not. */
export const seenApart = Effect.fnUntraced(function* (first: string, second: string) {
  const [a, b] = [yield* findArtifact(first), yield* findArtifact(second)]
  const tables = (found: ReadonlyArray<SeenTable>) =>
    found.slice(0, MOST).map(({ rows, ...table }) => ({ artifact: viewOf(table), rows: countOf(rows)! }))
  const [mine, others] = yield* seenByOne(a, b)
  const view: RowsApart = { a: tables(mine), b: tables(others) }
  return view
})
