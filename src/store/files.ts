/**
 * Digests of files outside the store, found once for as long as a file is not touched.
 *
 * @since 0.1.0
 */
import { type BigIntStats, statSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { digestFile } from "./disk.ts"
import type { Memo } from "./memo.ts"
import { fromCause, StoreError } from "./storeError.ts"

/** A file's content, and when it became what it is (milliseconds since 1970): not the time that a copy of an older file has. */
export interface FileDigest {
  readonly digest: string
  readonly changed: number
}

/** Digests of files by absolute path. */
export interface Files {
  readonly digest: (file: string) => Effect.Effect<FileDigest, StoreError>
}

/** A file whose `stamp` is what it was has the content that it had. */
const Known = Schema.Struct({ stamp: Schema.String, digest: Schema.String })
const decodeKnown = Schema.decodeUnknownOption(Known)

const stampOf = (stats: BigIntStats): string => `${stats.size} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.ino}`

/**
 * Within this time (milliseconds) two changes of a file may get the same time stamp: 20 where the file system keeps fractions of a second,
 * 2 seconds (FAT) where it does not.
 */
const clockTick = (stats: BigIntStats): number => (stats.mtimeNs % 1_000_000_000n === 0n ? 2000 : 20)

/** Digests that are remembered in `memo`. */
export const makeFiles = (memo: Memo): Files => ({
  digest: Effect.fnUntraced(function* (file: string): Effect.fn.Return<FileDigest, StoreError> {
    for (let attempts = 0; attempts < 3; attempts++) {
      const before = yield* stat(file)
      const stamp = stampOf(before)
      const known = decodeKnown(memo.get("file", file))
      if (known._tag === "Some" && known.value.stamp === stamp) {
        return { digest: known.value.digest, changed: Number(before.ctimeMs) }
      }
      const started = Date.now()
      const digest = yield* digestFile(file)
      if (stampOf(yield* stat(file)) !== stamp) continue
      if (started - Number(before.mtimeMs) > clockTick(before)) yield* memo.set("file", file, { stamp, digest })
      return { digest, changed: Number(before.ctimeMs) }
    }
    return yield* new StoreError({
      reason: "io",
      place: file,
      message: `${file} is being written: run again when it is finished`
    })
  })
})

const stat = (file: string): Effect.Effect<BigIntStats, StoreError> =>
  Effect.try({ try: () => statSync(file, { bigint: true }), catch: (cause) => fromCause(file, cause) })
