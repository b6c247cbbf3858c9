/**
 * Values that are copies of what the journal says, made to be read at once: a file each, with its checksum. Losing one costs time and nothing else.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import { type Durable, look } from "./durable.ts"
import { frame, unframe } from "./journal.ts"
import type { StoreError } from "./storeError.ts"

/** A copy under a name is of something that `of` tells from what else may have that name. */
export interface Copies {
  /** Undefined where there is none of that, or where it is damaged. */
  readonly get: (name: string, of: string) => Effect.Effect<Json | undefined>
  /** Where the store cannot be written there is none. */
  readonly set: (name: string, of: string, value: Json) => Effect.Effect<void>
}

const KIND = "copy"

/** Copies in `folder`; `name` and `of` are fit for file names. */
export const makeCopies = (durable: Durable, folder: string, prepare: Effect.Effect<void, StoreError>): Copies => ({
  get: (name, of) => {
    const file = path.join(folder, name)
    return look(file, () => {
      const line = durable.disk.read(file)
      const found = line === undefined ? undefined : unframe(line.subarray(0, -1), 0)
      return found?.kind === KIND && found.key === of ? found.value() : undefined
    }).pipe(Effect.orElseSucceed(() => undefined))
  },
  set: (name, of, value) =>
    prepare.pipe(
      Effect.andThen(durable.whole(path.join(folder, name), frame({ kind: KIND, key: of, value }))),
      Effect.ignore
    )
})
