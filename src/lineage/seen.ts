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
import {
  difference,
  intersection,
  type RowRanges,
  rangesFromText,
  rangesOf,
  textMeets,
  union,
  unionOf
} from "../operator/row-ranges.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { openIndex } from "./artifact-index.ts"
import { LineageError, type Made } from "./ledger.ts"
import type { StageRecord } from "./record.ts"
import { isKnownResult, type StageBrief } from "./records.ts"
import { rowsOfText } from "./row-text.ts"
import { type TraceError, traceOf } from "./trace.ts"

const MODEL = "checkpoint"

/** Rows of a table, and the stage that made it. */
export interface TableRows extends Made {
  readonly rows: RowRanges
}

/**
 * A stage learned from rows that came in through `port`. Where it was looked up: in which `updates`, from 1, `of` how many, and from which `rows` of that table.
 */
export interface Learning {
  readonly port: string
  readonly rows?: RowRanges
  readonly updates?: RowRanges
  readonly of?: number
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

/** What a stage learned of some rows that came in through `port`, by its trace; undefined where it learned from none of them. */
const learningOf = Effect.fnUntraced(function* (store: Store["Service"], view: View, port: string, rows: RowRanges) {
  const trace = yield* traceOf(store, view)
  const found: Array<number> = []
  const seen: Array<RowRanges> = []
  for (const [i, text] of (trace?.rows[port] ?? []).entries()) {
    if (!textMeets(text, rows)) continue
    found.push(i + 1)
    seen.push(intersection(rows, rangesFromText(text) ?? []))
  }
  if (trace === undefined || found.length === 0) return undefined
  const learning: Learning = { port, rows: unionOf(seen), updates: rangesOf(found), of: trace.losses.length }
  return learning
})

/** A checkpoint that saw the row, while they are looked for. */
interface Sighted {
  readonly made: Made
  readonly brief: StageBrief
  readonly learned: Map<string, Learning>
  readonly through: Map<string, Made>
}

/**
 * Which checkpoints saw a row of a table (of tokens in shards: a token). In which updates the nearest `detailed` (10) learned from it is looked up in their traces;
 * of others it is known that they did.
 */
export const rowSeen = Effect.fnUntraced(function* (
  table: Made,
  row: number,
  detailed = 10
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
  const checkpoints = new Map<string, Sighted>()
  /** Of each checkpoint digest the first that was found. */
  const models = new Map<string, Made>()
  const unknown = new Map<string, Made>()
  const { briefs, learners, users } = yield* openIndex(store)
  let next = new Set<string>()

  const sight = (key: string, brief: StageBrief, note: (found: Sighted) => void) => {
    for (const [port, artifact] of Object.entries(brief.outputs)) {
      if (artifact.kind !== MODEL) continue
      const id = `${key} ${port}`
      const made: Made = { artifact, key, stage: brief.stage, port }
      const found = checkpoints.get(id) ?? { made, brief, learned: new Map(), through: new Map() }
      note(found)
      if (checkpoints.has(id)) continue
      checkpoints.set(id, found)
      if (models.has(artifact.digest)) continue
      models.set(artifact.digest, made)
      next.add(artifact.digest)
    }
  }
  /** Follows rows to the tables that a stage made of them. */
  const follow = Effect.fnUntraced(function* (view: View, digest: string, rows: RowRanges) {
    const origins = (yield* traceOf(store, view))?.origins
    const ports = Object.entries(view.preimage.inputs).flatMap(([port, input]) =>
      input.digest === digest ? [port] : []
    )
    for (const [output, artifact] of Object.entries(view.outputs)) {
      if (!isNumbered(artifact)) continue
      const made = madeOf(artifact, view, output)
      const of = origins?.[output]
      if (of === undefined) unknown.set(`${view.key} ${output}`, made)
      for (const port of ports) {
        const known = tables.get(artifact.digest)
        const all = union(known?.rows ?? [], outputsOf(of?.[port] ?? [], rows))
        if (difference(all, known?.rows ?? []).length === 0) continue
        tables.set(artifact.digest, { made: known?.made ?? made, rows: all })
        next.add(artifact.digest)
      }
    }
  })

  for (let wave = new Set([table.artifact.digest]); wave.size > 0; wave = next) {
    next = new Set()
    const used = users([...wave])
    const taken = Array.from(wave, (digest, at) => [digest, used[at]!] as const)
    const keys = [...new Set(taken.flatMap(([, keys]) => keys))]
    const found = briefs(keys)
    const briefOf = new Map(keys.map((key, i) => [key, found[i]]))
    for (const [digest, keys] of taken) {
      const rows = tables.get(digest)?.rows
      const learned = rows === undefined ? [] : learners(digest, rows)
      for (const { isLong, key, port } of learned) {
        const brief = briefOf.get(key)
        const view = isLong ? viewOf(store, key) : undefined
        const learning = view === undefined ? undefined : yield* learningOf(store, view, port, rows!)
        if (brief === undefined || brief === null || (isLong && learning === undefined)) continue
        sight(key, brief, ({ learned }) => learned.set(port, learning ?? { port }))
      }
      const model = models.get(digest)
      for (const key of keys) {
        const brief = briefOf.get(key)
        if (brief === undefined || brief === null) continue
        if (model !== undefined) sight(key, brief, ({ through }) => through.set(`${model.key} ${model.port}`, model))
        if (rows === undefined || !Object.values(brief.outputs).some(isNumbered)) continue
        const view = viewOf(store, key)
        if (view !== undefined) yield* follow(view, digest, rows)
      }
    }
  }
  const near = [...checkpoints.values()].filter(({ learned }) => learned.size > 0).slice(0, detailed)
  const lookUp = Effect.fnUntraced(function* ({ learned, made }: Sighted) {
    const view = viewOf(store, made.key)
    for (const port of view === undefined ? [] : learned.keys()) {
      const rows = tables.get(view!.preimage.inputs[port]?.digest ?? "")?.rows ?? []
      const learning = yield* learningOf(store, view!, port, rows)
      if (learning !== undefined) learned.set(port, learning)
    }
  })
  yield* Effect.forEach(near, lookUp, { concurrency: "unbounded", discard: true })
  tables.delete(table.artifact.digest)
  return {
    table,
    row,
    became: [...tables.values()].map(({ made, rows }) => ({ ...made, rows })),
    checkpoints: [...checkpoints.values()].map(({ brief, learned, made, through }) => ({
      ...made,
      operator: brief.operator,
      run: brief.run,
      learned: [...learned.values()],
      through: [...through.values()]
    })),
    unknown: [...unknown.values()]
  }
})

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
    for (const [port, rows] of Object.entries(yield* learnedBy(store, view))) note(view, port, rows, true)
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

/** What a stage learned from, by port; of sets that are too long for the record the trace is asked. */
const learnedBy = Effect.fnUntraced(function* (store: Store["Service"], view: View) {
  const found: { [port: string]: RowRanges } = {}
  for (const [port, text] of Object.entries(view.learned ?? {})) {
    const rows = rowsOfText(text)
    const updates = rows === undefined ? (yield* traceOf(store, view))?.rows[port] : undefined
    found[port] = rows ?? unionOf((updates ?? []).map((each) => rangesFromText(each) ?? []))
  }
  return found
})

/** Rows of a table that one checkpoint saw and another did not; `other`: the other saw no row of this table at all. */
export interface SeenOnly extends SeenTable {
  readonly other: boolean
}

/** The rows that checkpoint `a` saw and `b` did not, by table; tables that come from others in the list are not in it. */
export const seenOnlyBy = (
  a: Made,
  b: Made
): Effect.Effect<ReadonlyArray<SeenOnly>, LineageError | TraceError, Store> =>
  Effect.map(seenByOne(a, b), ([only]) => only)

/** The same, and the rows that `b` saw and `a` did not. */
export const seenByOne = Effect.fnUntraced(function* (
  a: Made,
  b: Made
): Effect.fn.Return<
  readonly [a: ReadonlyArray<SeenOnly>, b: ReadonlyArray<SeenOnly>],
  LineageError | TraceError,
  Store
> {
  const store = yield* Store
  const [one, other] = [yield* seenBy(a), yield* seenBy(b)]
  return [onlyIn(store, one, other), onlyIn(store, other, one)]
})

const onlyIn = (
  store: Store["Service"],
  mine: ReadonlyArray<SeenTable>,
  others: ReadonlyArray<SeenTable>
): ReadonlyArray<SeenOnly> => {
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
}
