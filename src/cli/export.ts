/**
 * `ptmflow export`: an artifact's files, in a folder.
 *
 * @since 0.1.0
 */
import { copyFile, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises"
import { basename, dirname, join, resolve as resolvePath } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { resolve } from "../lineage/ledger.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { printJson, printLines } from "./output.ts"
import { bytes } from "./render/quantity.ts"

/** The folder cannot be written. */
export class ExportError extends Schema.TaggedError<ExportError>()("ExportError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** Copies the artifact's blobs under the names of its parts. The folder is there with all of them or not at all. */
export const exportFiles = Effect.fnUntraced(
  function* (input: {
    readonly artifact: string
    readonly folder: string
    readonly store: string
    readonly json: boolean
  }) {
    const { artifact } = yield* resolve(input.artifact)
    const { source } = yield* Store
    const folder = resolvePath(input.folder)
    const parts: Array<readonly [name: string, path: string, bytes: number]> = []
    for (const [name, blob] of Object.entries(artifact.parts)) {
      parts.push([basename(name), yield* source.path(blob), blob.bytes])
    }
    yield* Effect.tryPromise({
      try: async () => {
        const there = await readdir(folder).catch(() => [])
        if (there.length > 0) throw new Error(`it is there and has files: name a folder that is new or empty`)
        await mkdir(dirname(folder), { recursive: true })
        const made = await mkdtemp(`${folder}-`)
        try {
          for (const [name, path] of parts) await copyFile(path, join(made, name))
          await rm(folder, { recursive: true, force: true })
          await rename(made, folder)
        } finally {
          await rm(made, { recursive: true, force: true })
        }
      },
      catch: (cause) =>
        new ExportError({ place: input.folder, message: cause instanceof Error ? cause.message : String(cause) })
    })
    const files = parts.map(([name, , size]) => ({ name, bytes: size }))
    if (input.json) return yield* printJson({ folder, files })
    yield* printLines(files.map(({ bytes: size, name }) => `${join(input.folder, name)}  ${bytes(size)}`))
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
