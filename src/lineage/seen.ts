/**
 * Which rows a checkpoint saw: those that updates learned from, of it and of the checkpoints that it was trained on from.
 *
 * Rows are followed from table to table by their origins (see operator/origins.ts). A checkpoint also saw what a checkpoint that its stage took had seen. What was
 * only measured on, what a tokenizer was made of, and what a model that saw a row wrote, is not counted as seen.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Artifact } from "../operator/artifact.ts"
import { inputsOf, type Origins, outputsOf } from "../operator/origins.ts"
import { difference, intersection, type RowRanges, rangesFromText, rangesOf, union } from "../operator/row-ranges.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { openIndex } from "./artifact-index.ts"
import { LineageError, type Made } from "./ledger.ts"
import type { StageRecord } from "./record.ts"
import { isKnownResult } from "./records.ts"
import { type TraceError, traceOf } from "./trace.ts"

const MODEL = "checkpoint"

/** Rows of a table, and the stage that made it. */
export interface TableRows extends Made {
  readonly rows: RowRanges
}

/** The updates, from 1, in which a stage learned from rows that came in through `port`; `rows` of that table. */
export interface Learning {
  readonly port: string
  readonly rows: RowRanges
  readonly updates: RowRanges
  readonly of: number
}

/** A checkpoint that saw a row: its stage learned from it, or took checkpoints that had seen it (`through`), or both. */
export interface Sighting extends Made {
  readonly operator: string
  readonly run: string
  readonly learned: ReadonlyArray<Learning>
  readonly through: ReadonlyArray<Made>
}

/**
 * Who saw a row, nearest first: what it became in other tables, the checkpoints that saw it, and the tables that may have it in them, as it is not recorded which of
 * their rows came from which.
 */
export interface RowSeen {
  readonly table: Made
  readonly row: number
  readonly became: ReadonlyArray<TableRows>
  readonly checkpoints: ReadonlyArray<Sighting>
  readonly unknown: ReadonlyArray<Made>
}

/** Rows that a checkpoint saw of one table. `learned`: some stage learned from this table; else tables that were learned from came from it. */
export interface SeenTable extends TableRows {
  readonly total: number | undefined
  readonly learned: boolean
}

/** Of a record what is asked here, without the time that a whole one takes to check. */
type View = Pick<StageRecord, "inputs" | "key" | "learned" | "outputs" | "preimage" | "run" | "stage" | "trace">

const viewOf = ({ journal }: Store["Service"], key: string): View | undefined => {
  const value = (journal.newest("stage", key) ?? journal.newest("uncached", key))?.value()
  return isKnownResult(value) ? (value as unknown as View) : undefined
}

const madeOf = (artifact: Artifact, { key, stage }: View, port: string): Made => ({ artifact, key, stage, port })

const rowsIn = (artifact: Artifact): number | undefined => {
  const { count, rows } = artifact.meta
  return typeof rows === "number" ? rows : artifact.kind === "tokens" && typeof count === "number" ? count : undefined
}

/** Whether what an artifact holds has numbers: rows, or tokens. */
const isNumbered = (artifact: Artifact): boolean => rowsIn(artifact) !== undefined && artifact.kind !== MODEL

/** What a stage learned of some rows that came in through `port`; the trace is only read where it may have. */
const learningOf = Effect.fnUntraced(function* (store: Store["Service"], view: View, port: string, rows: RowRanges) {
  if (view.learned === undefined) return undefined
  const all = rangesFromText(view.learned[port] ?? "")
  if (Object.hasOwn(view.learned, port) && all !== undefined && intersection(rows, all).length === 0) return undefined
  const trace = yield* traceOf(store, view)
  const updates = trace?.rows[port]
  if (trace === undefined || updates === undefined) return undefined
  const found: Array<number> = []
  const seen: Array<RowRanges> = []
  for (const [i, text] of updates.entries()) {
    const common = intersection(rows, rangesFromText(text) ?? [])
    if (common.length === 0) continue
    found.push(i + 1)
    seen.push(common)
  }
  if (found.length === 0) return undefined
  const learning: Learning = { port, rows: union(...seen), updates: rangesOf(found), of: trace.losses.length }
  return learning
})

/** Which checkpoints saw a row of a table (of tokens in shards: a token). */
export const rowSeen = Effect.fnUntraced(function* (
  table: Made,
  row: number
): Effect.fn.Return<RowSeen, LineageError | StoreError | TraceError, Scope.Scope | Store> {
  const store = yield* Store
  const total = rowsIn(table.artifact)
  const name = `${table.stage}.${table.port}`
  if (total === undefined || !isNumbered(table.artifact) || row < 0 || row >= total || !Number.isInteger(row)) {
    const message =
      total === undefined || !isNumbered(table.artifact)
        ? `${name} is a ${table.artifact.kind}, which has no rows`
        : `${name} has no row ${row}: its rows are 0 to ${total - 1}`
    return yield* new LineageError({ reference: name, candidates: [], message })
  }
  const tables = new Map<string, { made: Made; rows: RowRanges }>([
    [table.artifact.digest, { made: table, rows: [[row, row]] }]
  ])
  const checkpoints = new Map<
    string,
    { made: Made; view: View; learned: Map<string, Learning>; through: Map<string, Made> }
  >()
  const unknown = new Map<string, Made>()
  const { users } = yield* openIndex(store)
  const queue = [table.artifact.digest]
  const sight = (view: View, note: (found: { learned: Map<string, Learning>; through: Map<string, Made> }) => void) => {
    for (const [port, artifact] of Object.entries(view.outputs)) {
      if (artifact.kind !== MODEL) continue
      const id = `${view.key} ${port}`
      const known = checkpoints.get(id)
      const found = known ?? { made: madeOf(artifact, view, port), view, learned: new Map(), through: new Map() }
      note(found)
      if (known !== undefined) continue
      checkpoints.set(id, found)
      queue.push(artifact.digest)
    }
  }
  const follow = Effect.fnUntraced(function* (view: View, port: string, rows: RowRanges) {
    const learning = yield* learningOf(store, view, port, rows)
    if (learning !== undefined) sight(view, ({ learned }) => learned.set(port, learning))
    const outputs = Object.entries(view.outputs).filter(([, artifact]) => isNumbered(artifact))
    if (outputs.length === 0) return
    const origins = (yield* traceOf(store, view))?.origins
    for (const [output, artifact] of outputs) {
      const made = madeOf(artifact, view, output)
      const of = origins?.[output]?.[port]
      if (of === undefined) {
        if (origins?.[output] === undefined) unknown.set(`${view.key} ${output}`, made)
        continue
      }
      const known = tables.get(artifact.digest)
      const all = union(known?.rows ?? [], outputsOf(of, rows))
      if (difference(all, known?.rows ?? []).length === 0) continue
      tables.set(artifact.digest, { made: known?.made ?? made, rows: all })
      queue.push(artifact.digest)
    }
  })
  for (let at = 0; at < queue.length; at++) {
    const digest = queue[at]!
    for (const key of users(digest)) {
      const view = viewOf(store, key)
      if (view === undefined) continue
      const ports = Object.entries(view.preimage.inputs).filter(([, input]) => input.digest === digest)
      const rows = tables.get(digest)?.rows
      for (const [port] of ports) {
        const from = view.inputs[port]
        if (rows !== undefined) yield* follow(view, port, rows)
        else if (from !== undefined) {
          const source = checkpoints.get(`${from.key} ${from.port}`)?.made
          const made = source ?? [...checkpoints.values()].find((each) => each.made.artifact.digest === digest)?.made
          if (made !== undefined) sight(view, ({ through }) => through.set(`${made.key} ${made.port}`, made))
        }
      }
    }
  }
  tables.delete(table.artifact.digest)
  return {
    table,
    row,
    became: [...tables.values()].map(({ made, rows }) => ({ ...made, rows })),
    checkpoints: [...checkpoints.values()].map(({ learned, made, through, view }) => ({
      ...made,
      operator: view.preimage.operator.name,
      run: view.run,
      learned: [...learned.values()],
      through: [...through.values()]
    })),
    unknown: [...unknown.values()]
  }
}, Effect.scoped)

/**
 * The rows that a checkpoint saw: of the tables that its stage, and those of the checkpoints before it, learned from, and of the tables that these came from, as far
 * back as origins go.
 */
export const seenBy = Effect.fnUntraced(function* (
  made: Made
): Effect.fn.Return<ReadonlyArray<SeenTable>, LineageError | TraceError, Store> {
  const store = yield* Store
  if (made.artifact.kind !== MODEL) {
    const message = `${made.stage}.${made.port} is a ${made.artifact.kind}: rows are seen by checkpoints`
    return yield* new LineageError({ reference: `${made.stage}.${made.port}`, candidates: [], message })
  }
  const tables = new Map<string, { made: Made; rows: RowRanges; learned: boolean }>()
  const queue: Array<string> = []
  const note = (of: View, port: string, rows: RowRanges, learned: boolean) => {
    const input = of.inputs[port]
    const source = input === undefined ? undefined : viewOf(store, input.key)
    const artifact = input === undefined ? undefined : source?.outputs[input.port]
    if (source === undefined || artifact === undefined || !isNumbered(artifact)) return
    const known = tables.get(artifact.digest)
    const all = union(known?.rows ?? [], rows)
    const isNew = difference(all, known?.rows ?? []).length > 0
    const from = known?.made ?? madeOf(artifact, source, input!.port)
    tables.set(artifact.digest, { made: from, rows: all, learned: learned || known?.learned === true })
    if (isNew) queue.push(artifact.digest)
  }
  const stages = [made.key]
  const visited = new Set(stages)
  for (const key of stages) {
    const view = viewOf(store, key)
    if (view === undefined) continue
    if (view.learned !== undefined) {
      const learned = { ...(yield* longOf(store, view)), ...shortOf(view.learned) }
      for (const [port, rows] of Object.entries(learned)) note(view, port, rows, true)
    }
    for (const { key: before, port } of Object.values(view.inputs)) {
      if (visited.has(before) || viewOf(store, before)?.outputs[port]?.kind !== MODEL) continue
      visited.add(before)
      stages.push(before)
    }
  }
  for (let at = 0; at < queue.length; at++) {
    const { made: of, rows } = tables.get(queue[at]!)!
    const view = viewOf(store, of.key)
    if (view?.trace === undefined) continue
    const origins: { readonly [input: string]: Origins } = (yield* traceOf(store, view))?.origins[of.port] ?? {}
    for (const [port, runs] of Object.entries(origins)) note(view, port, inputsOf(runs, rows), false)
  }
  return [...tables.values()].map(({ learned, made, rows }) => ({
    ...made,
    rows,
    learned,
    total: rowsIn(made.artifact)
  }))
})

const shortOf = (learned: { readonly [port: string]: string }): { readonly [port: string]: RowRanges } =>
  Object.fromEntries(Object.entries(learned).map(([port, text]) => [port, rangesFromText(text) ?? []]))

/** The rows of the inputs whose sets are too long for the record. */
const longOf = Effect.fnUntraced(function* (store: Store["Service"], view: View) {
  const ports = Object.keys(view.preimage.inputs).filter((port) => !Object.hasOwn(view.learned ?? {}, port))
  const mayBe = ports.filter((port) => {
    const { key = "", port: from = "" } = view.inputs[port] ?? {}
    const artifact = viewOf(store, key)?.outputs[from]
    return artifact !== undefined && isNumbered(artifact)
  })
  if (mayBe.length === 0) return {}
  const trace = yield* traceOf(store, view)
  const found = mayBe.flatMap((port): ReadonlyArray<readonly [string, RowRanges]> => {
    const updates = trace?.rows[port]
    return updates === undefined ? [] : [[port, union(...updates.map((text) => rangesFromText(text) ?? []))]]
  })
  return Object.fromEntries(found) as { readonly [port: string]: RowRanges }
})

/** Rows of a table that one checkpoint saw and another did not; `other`: the other saw no row of this table at all. */
export interface SeenOnly extends SeenTable {
  readonly other: boolean
}

/** The rows that checkpoint `a` saw and `b` did not, by table; tables that come from others in the list are not in it. */
export const seenOnlyBy = Effect.fnUntraced(function* (
  a: Made,
  b: Made
): Effect.fn.Return<ReadonlyArray<SeenOnly>, LineageError | TraceError, Store> {
  const store = yield* Store
  const [mine, others] = [yield* seenBy(a), yield* seenBy(b)]
  const rowsOf = new Map(others.map(({ artifact, rows }) => [artifact.digest, rows]))
  const found = mine.flatMap((table): ReadonlyArray<SeenOnly> => {
    const other = rowsOf.get(table.artifact.digest)
    const rows = difference(table.rows, other ?? [])
    return rows.length === 0 ? [] : [{ ...table, rows, other: other === undefined }]
  })
  const listed = new Set(found.map(({ artifact }) => artifact.digest))
  return found.filter(({ key }) => {
    const view = viewOf(store, key)
    return !Object.values(view?.preimage.inputs ?? {}).some(({ digest }) => listed.has(digest))
  })
})
