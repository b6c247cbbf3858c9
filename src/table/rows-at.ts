/**
 * Rows of Arrow IPC files by their numbers, without reading what lies between.
 *
 * @since 0.1.0
 */
import type { RecordBatchReader } from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { ArtifactError } from "../operator/artifact.ts"
import { type Arrow, type Batch, load } from "./arrow.ts"
import { gatherColumns, type Span } from "./cells.ts"
import { columns, type RowSchema } from "./columns.ts"
import { fromRecordBatch } from "./from-arrow.ts"
import * as Ipc from "./ipc.ts"

/** An open file: `starts` are the numbers of the first rows of the record batches that were seen, and of the first row after them. */
interface Open {
  readonly arrow: Arrow
  readonly reader: RecordBatchReader
  readonly starts: Array<number>
  last: { readonly index: number; readonly batch: Batch } | undefined
}

/** Rows `first` to `first + rows` of the table in `file`, as one batch; undefined where the file has no such rows. */
export type RowsAt = (file: string, first: number, rows: number) => Effect.Effect<Batch | undefined, ArtifactError>

/** Reads rows of `rowSchema`; files stay open until the scope closes. */
export const makeRowsAt = Effect.fnUntraced(function* <Row>(
  rowSchema: RowSchema<Row>
): Effect.fn.Return<RowsAt, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const wanted = columns(rowSchema)
  const files = new Map<string, Open>()

  const open = Effect.fnUntraced(function* (file: string) {
    const known = files.get(file)
    if (known !== undefined) return known
    const reader = yield* Ipc.open(file, file).pipe(Effect.provideService(Scope.Scope, scope))
    const opened: Open = { arrow: yield* Effect.promise(load), reader, starts: [0], last: undefined }
    files.set(file, opened)
    return opened
  })

  const batchAt = (file: string, opened: Open, index: number): Effect.Effect<Batch, ArtifactError> =>
    opened.last?.index === index
      ? Effect.succeed(opened.last.batch)
      : Effect.tryPromise({
          try: async () => {
            const read = await opened.reader.readRecordBatch(index)
            if (read === null) throw new Error(`there is no record batch ${index}`)
            const start = opened.starts[index]!
            const batch = fromRecordBatch(opened.arrow, wanted, read, { table: file, firstRow: start })
            if (index === opened.starts.length - 1) opened.starts.push(start + batch.length)
            opened.last = { index, batch }
            return batch
          },
          catch: (cause) => new ArtifactError({ place: file, message: `${file} cannot be read as Arrow IPC: ${cause}` })
        })

  return Effect.fnUntraced(function* (file, first, rows) {
    const opened = yield* open(file)
    const { starts } = opened
    const end = first + rows
    while (starts.at(-1)! < end) {
      if (starts.length - 1 === opened.reader.numRecordBatches) return undefined
      yield* batchAt(file, opened, starts.length - 1)
    }
    const spans: Array<{ readonly batch: Batch } & Pick<Span, "from" | "to">> = []
    for (let index = indexOf(starts, first); index < starts.length - 1 && starts[index]! < end; index++) {
      const batch = yield* batchAt(file, opened, index)
      const start = starts[index]!
      spans.push({ batch, from: Math.max(first - start, 0), to: Math.min(end - start, batch.length) })
    }
    return { length: rows, cells: gatherColumns(wanted.all, spans) }
  })
})

/** The last of rising numbers that is not above `row`. */
const indexOf = (starts: ReadonlyArray<number>, row: number): number => {
  let [low, high] = [0, starts.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (starts[middle]! <= row) low = middle
    else high = middle - 1
  }
  return low
}
