/**
 * Tables, page by page.
 *
 * @since 0.1.0
 */
import type { RecordBatch } from "apache-arrow"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Store } from "../../store/store.ts"
import * as Pages from "../../table/pages.ts"
import type { ArtifactView, TablePage } from "../answers.ts"
import { artifactView, findArtifact } from "./artifact.ts"
import { cell } from "./cell.ts"
import { type Filter, keepsOf } from "./filter.ts"
import { PageError, wrong } from "./refusal.ts"

/** Milliseconds that a filter looks for the rows of one page: a rare match in a large table is looked for page by page, and nobody waits long. */
const LOOKS = 1_500

/** An open table, until the scope closes. */
export const openTable = Effect.fnUntraced(function* (reference: string) {
  const { artifact, key, port, stage } = yield* findArtifact(reference)
  const of: ArtifactView = artifactView(artifact, stage, key, port)
  const blob = artifact.parts["table.arrow"]
  if (artifact.kind !== "table" || blob === undefined) {
    return yield* new PageError({
      status: 400,
      place: reference,
      message: `${of.name} is a ${artifact.kind}, not a table`,
      next: ""
    })
  }
  const { source } = yield* Store
  const pages = yield* Pages.open(yield* source.path(blob), of.name)
  return { of, artifact, pages }
})

/** Rows from number `offset` on, `limit` at most, of those that the filter keeps. */
export const tablePage = Effect.fnUntraced(function* (
  reference: string,
  offset: number,
  limit: number,
  filter: Filter | undefined
) {
  const { of, pages } = yield* openTable(reference)
  const { fields } = pages.schema
  const names = fields.map(({ name }) => name)
  const at = filter === undefined ? -1 : names.indexOf(filter.column)
  if (filter !== undefined && at < 0) {
    return yield* wrong("column", `the table has no column ${filter.column}; it has ${names.join(", ")}`)
  }
  if (filter !== undefined && /below|above/.test(filter.operator) && !Number.isFinite(Number(filter.value || "x"))) {
    return yield* wrong("value", `${filter.value || "nothing"} is no number to compare with`)
  }
  const keepsIn = filter === undefined ? undefined : keepsOf(filter)
  const began = yield* Clock.currentTimeMillis
  const total = pages.starts.at(-1)!
  const rows: Array<TablePage["rows"][number]> = []
  const cellsOf = (batch: RecordBatch, row: number) => names.map((_, i) => cell(batch.getChildAt(i)?.get(row)))
  let row = offset
  let read = 0
  for (let index = pages.starts.findLastIndex((start) => start <= offset); index < pages.starts.length - 1; index++) {
    if (rows.length >= limit || (keepsIn !== undefined && (yield* Clock.currentTimeMillis) - began >= LOOKS)) break
    const start = pages.starts[index]!
    const batch = yield* pages.batch(index)
    read++
    const keeps = keepsIn === undefined ? () => true : keepsIn(batch.getChildAt(at))
    const end = start + batch.numRows
    if (keeps === undefined) row = end
    else
      for (; row < end && rows.length < limit; row++) {
        if (keeps(row - start)) rows.push({ row, cells: cellsOf(batch, row - start) })
      }
    yield* Effect.yieldNow
  }
  const page: TablePage = {
    of,
    columns: fields.map(({ name, type }) => ({ name, type: String(type) })),
    rows,
    total,
    next: row < total ? row : null,
    scanned: Math.max(row - offset, 0),
    batches: { read, total: pages.starts.length - 1 }
  }
  return page
}, Effect.scoped)
