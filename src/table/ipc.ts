/**
 * Arrow IPC files, written and read one record batch at a time.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs/promises"
import type { RecordBatch, Schema } from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ArtifactError } from "../operator/artifact.ts"
import { type Arrow, load } from "./arrow.ts"

/** The bytes of an Arrow IPC file with these batches, one chunk a batch. */
export const write = <E>(
  arrow: Arrow,
  schema: Schema,
  batches: Stream.Stream<RecordBatch, E>
): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    const writer = new arrow.RecordBatchFileWriter()
    const chunks = writer[Symbol.asyncIterator]()
    let taken = 0
    // What the writer has put in its queue so far; `_position` counts the bytes it has written.
    const drain = async (): Promise<Uint8Array> => {
      const parts: Array<Uint8Array> = []
      while (taken < writer["_position"]) {
        const { value } = await chunks.next()
        parts.push(value)
        taken += value.byteLength
      }
      return Buffer.concat(parts)
    }
    const rest = async (): Promise<Uint8Array> => {
      writer.finish()
      const parts: Array<Uint8Array> = []
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) parts.push(next.value)
      return Buffer.concat(parts)
    }
    const header = Effect.promise(() => {
      writer.reset(undefined, schema)
      return drain()
    })
    const body = (batch: RecordBatch) =>
      Effect.promise(() => {
        writer.write(batch)
        return drain()
      })
    return Stream.fromEffect(header).pipe(
      Stream.concat(Stream.mapEffect(batches, body)),
      Stream.concat(Stream.fromEffect(Effect.promise(rest)))
    )
  })

/** The record batches of an Arrow IPC file or stream on disk, read one at a time. `place` is what errors call it. */
export const read = (path: string, place: string): Stream.Stream<RecordBatch, ArtifactError> =>
  Stream.unwrap(
    Effect.map(open(path, place), (reader) => Stream.fromAsyncIterable(reader, (cause) => unreadable(place, cause)))
  )

/** The schema of an Arrow IPC file or stream on disk. */
export const schema = (path: string, place: string): Effect.Effect<Schema, ArtifactError> =>
  Effect.scoped(Effect.map(open(path, place), (reader) => reader.schema))

const unreadable = (place: string, cause: unknown) =>
  new ArtifactError({
    place,
    message: `${place} cannot be read as Arrow IPC: ${cause instanceof Error ? cause.message : cause}`
  })

/** A reader of an Arrow IPC file or stream on disk, open until the scope closes. */
export const open = Effect.fnUntraced(function* (path: string, place: string) {
  const attempt = <A>(evaluate: () => Promise<A>) =>
    Effect.tryPromise({ try: evaluate, catch: (cause) => unreadable(place, cause) })
  const arrow = yield* attempt(load)
  const file = yield* Effect.acquireRelease(
    attempt(() => fs.open(path)),
    (handle) => Effect.promise(() => handle.close())
  )
  const reader = yield* attempt(() => arrow.RecordBatchReader.from(file))
  yield* attempt(async () => reader.open())
  return reader
})
