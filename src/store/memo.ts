/**
 * What need not be found out again on this machine: digests of files, and what follows from them. Losing it costs time and nothing else.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import type { Durable } from "./durable.ts"
import { frame, type Journal, openJournal } from "./journal.ts"
import type { StoreError } from "./storeError.ts"

/** Values by kind and key, kept between processes. */
export interface Memo {
  readonly get: (kind: string, key: string) => Json | undefined
  /** Where the store cannot be written the value is forgotten. */
  readonly set: (kind: string, key: string, value: Json) => Effect.Effect<void>
}

/** Opens the memo in `file`; one that is mostly superseded is rewritten. */
export const openMemo = Effect.fnUntraced(function* (
  durable: Durable,
  file: string,
  prepare: Effect.Effect<void, StoreError>
): Effect.fn.Return<Memo, StoreError> {
  let journal = yield* openJournal(durable, file, prepare)
  yield* journal.refresh
  const all = journal.kinds().flatMap(journal.all)
  const live = all.filter((entry) => journal.newest(entry.kind, entry.key) === entry)
  if (all.length + journal.damaged() > 2 * live.length + 1000) {
    const text = live.map(({ key, kind, value }) => frame({ kind, key, value: value() })).join("")
    journal = yield* durable.whole(file, text).pipe(
      Effect.andThen(openJournal(durable, file, prepare)),
      Effect.orElseSucceed((): Journal => journal)
    )
  }
  return {
    get: (kind, key) => journal.newest(kind, encodeURIComponent(key))?.value(),
    set: (kind, key, value) =>
      Effect.ignore(journal.append([{ kind, key: encodeURIComponent(key), value }], { durable: false }))
  }
})
