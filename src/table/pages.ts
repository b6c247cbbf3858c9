/**
 * Rows of an Arrow IPC file page by page: of the file only the footer, the heads of record batches, and the batches that a page is in are read.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs/promises"
import type { RecordBatch, Schema } from "apache-arrow"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { ArtifactError } from "../operator/artifact.ts"
import { load } from "./arrow.ts"
import * as Ipc from "./ipc.ts"

/** An open file: `starts` are the numbers of the first rows of the record batches, and of the first row after them. */
export interface Pages {
  readonly schema: Schema
  readonly starts: ReadonlyArray<number>
  readonly batch: (index: number) => Effect.Effect<RecordBatch, ArtifactError>
}

interface Block {
  readonly offset: number
  readonly metaDataLength: number
}

/** Opens a file, until the scope closes. `place` is what errors call it. */
export const open = Effect.fnUntraced(function* (
  path: string,
  place: string
): Effect.fn.Return<Pages, ArtifactError, Scope.Scope> {
  const attempt = <A>(evaluate: () => Promise<A>) =>
    Effect.tryPromise({
      try: evaluate,
      catch: (cause) =>
        new ArtifactError({
          place,
          message: `${place} cannot be read as an Arrow IPC file: ${cause instanceof Error ? cause.message : cause}`
        })
    })
  const arrow = yield* attempt(load)
  const reader = yield* Ipc.open(path, place)
  const heads = yield* Effect.acquireRelease(
    attempt(() => fs.open(path)),
    (handle) => Effect.promise(() => handle.close())
  )
  const starts = yield* attempt(async () => {
    const footer = (reader as unknown as { _impl: { footer?: { recordBatches: () => Iterable<Block> } } })._impl.footer
    if (footer === undefined) throw new Error("it is a stream, which has no list of its batches")
    const starts = [0]
    for (const { metaDataLength, offset } of footer.recordBatches()) {
      const head = Buffer.alloc(Number(metaDataLength))
      await heads.read(head, 0, head.byteLength, Number(offset))
      // A message is its length, after a mark that files of old do not have, and itself.
      const at = head.readInt32LE(0) === -1 ? 8 : 4
      const message = arrow.Message.decode(head.subarray(at))
      starts.push(starts.at(-1)! + Number((message.header() as { readonly length: number }).length))
    }
    return starts
  })
  return {
    schema: reader.schema,
    starts,
    batch: (index) =>
      attempt(async () => {
        const batch = await reader.readRecordBatch(index)
        if (batch === null) throw new Error(`there is no record batch ${index}`)
        return batch
      })
  }
})
