/**
 * Maps that are pure per batch: what a batch gave before is not made again.
 *
 * A table that came in through a port is cut by content, so a row that is inserted changes at most three batches. For every other batch the rows
 * are taken from the table that was made last time, after a look at their digest.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import * as Stream from "effect/Stream"
import { BatchMemo, type BatchTrace, type KnownRows, type MappedBatch } from "../operator/batches.ts"
import { makeOrigins, type Origins } from "../operator/origins.ts"
import type { Batch } from "./arrow.ts"
import { structReader } from "./cells.ts"
import { type Column, columns, type RowSchema } from "./columns.ts"
import { tableDigest } from "./digest.ts"
import { of } from "./port.ts"
import { makeRowsAt, type RowsAt } from "./rows-at.ts"
import { fromCells, fromRows, type Table, toReadError } from "./table.ts"

const digestOf = (all: ReadonlyArray<Column>, batches: ReadonlyArray<Batch>): string => {
  const digest = tableDigest(all)
  for (const batch of batches) digest.add(batch)
  return digest.finish()
}

const originsIn = (from: ReadonlyArray<number>): Origins => {
  const origins = makeOrigins()
  for (const row of from) origins.add([[row, row]])
  return origins.runs()
}

/**
 * The rows that `rows` gives for each batch of `table`, in order. It must be a function of the batch's rows, of the operator's parameters and inputs
 * (but for the input port `over`, through which the table came) and of `key` (default: null); which batch it is it must not know. `output` tells
 * the maps of one operator apart: the name of the output port that the rows go to. Where `rows` also says which row of the batch each row came `from`, lineage
 * can follow single rows; else it knows of each row which batch it came from.
 */
export const mapBatches = Effect.fnUntraced(function* <In, Out, E extends { readonly message: string }>(
  table: Table<In>,
  options: {
    readonly over: string
    readonly output: string
    readonly key?: Json
    readonly rowSchema: RowSchema<Out>
    readonly rows: (
      rows: ReadonlyArray<In>
    ) => Effect.Effect<
      ReadonlyArray<Out> | { readonly rows: ReadonlyArray<Out>; readonly from: ReadonlyArray<number> },
      E
    >
  }
): Effect.fn.Return<Table<Out>> {
  const memo = yield* BatchMemo
  const { key = null, output, over, rowSchema } = options
  const taken = columns(table.rowSchema).all
  const given = columns(rowSchema).all
  const trace: BatchTrace = { map: { over, output, key }, batches: [], complete: false }

  const reuse = Effect.fnUntraced(function* (known: KnownRows, rowsAt: RowsAt) {
    const { digest, file, first, rows } = known
    const batch = yield* Effect.orElseSucceed(rowsAt(file, first, rows), () => undefined)
    return batch !== undefined && digestOf(given, [batch]) === digest ? batch : undefined
  })

  const make = (batch: Batch) => {
    const read = structReader(taken, batch.cells)
    const rows = Array.from({ length: batch.length }, (_, row) => read(row) as In)
    return Effect.mapError(options.rows(rows), toReadError).pipe(
      Effect.flatMap((made) => {
        const rows = "from" in made ? made.rows : made
        const origins = "from" in made ? originsIn(made.from) : undefined
        return Effect.map(Stream.runCollect(fromRows(rowSchema, rows, { name: output }).cells), (cells) => {
          return { cells: cells as ReadonlyArray<Batch>, origins }
        })
      })
    )
  }
  /** Origins of the rows of all batches so far. */
  let whole = makeOrigins()
  let taking = 0
  const note = (batch: Batch, rows: number, origins: Origins | undefined) => {
    if (origins === undefined) whole.add([[taking, taking + batch.length - 1]], rows)
    else whole.append(origins, taking)
    taking += batch.length
  }

  const cells = Stream.unwrap(
    Effect.gen(function* () {
      const rowsAt = yield* makeRowsAt(rowSchema)
      const batches: Array<MappedBatch> = []
      trace.complete = false
      whole = makeOrigins()
      taking = 0
      /** What was made since something was kept. */
      let fresh: Array<MappedBatch> = []
      let freshCells: Array<Batch> = []
      const keep = Effect.suspend(() => {
        const cells = Stream.fromIterable(freshCells)
        const piece = fromCells({ rowSchema, numRows: undefined, digest: undefined, cells })
        const kept = memo.keep(trace.map, fresh, (sink) => of(rowSchema).encode(piece, sink))
        fresh = []
        freshCells = []
        return Effect.mapError(kept, toReadError)
      })
      const mapped = Stream.mapEffect(
        table.cells,
        Effect.fnUntraced(function* (batch) {
          const digest = digestOf(taken, [batch])
          const known = yield* memo.find(trace.map, digest)
          const reused = known === undefined ? undefined : yield* reuse(known, rowsAt)
          if (known !== undefined && reused !== undefined) {
            const { digest: of, origins, rows } = known
            batches.push({ batch: digest, digest: of, rows, made: false, origins })
            note(batch, rows, origins)
            return [reused]
          }
          const { cells: made, origins } = yield* make(batch)
          const rows = made.reduce((sum, { length }) => sum + length, 0)
          const mapped = { batch: digest, digest: digestOf(given, made), rows, made: true, origins }
          note(batch, rows, origins)
          batches.push(mapped)
          fresh.push(mapped)
          freshCells.push(...made)
          if (yield* memo.isDue) yield* keep
          return made
        })
      )
      const end = Stream.fromEffect(
        Effect.sync(() => {
          trace.batches = batches
          trace.complete = true
          return []
        })
      )
      return Stream.flattenIterable(Stream.concat(mapped, end))
    })
  )
  const origins = () => (trace.complete ? { [over]: whole.runs() } : {})
  return { ...fromCells({ rowSchema, numRows: undefined, digest: undefined, cells }), trace, origins }
})
