/**
 * `ptmflow export`: an artifact's files, in a folder; or a run for other programs.
 *
 * @since 0.1.0
 */
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { resolve } from "../lineage/ledger.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { ExportError, newFolder } from "./export-folder.ts"
import { type ExportRunInput, exportRun } from "./export-run.ts"
import { printJson, printLines } from "./output.ts"
import { bytes } from "./render/quantity.ts"

/** What was typed after `export`. */
export interface ExportInput extends ExportRunInput {
  readonly as: Option.Option<"openlineage" | "ro-crate" | "tensorboard">
}

/** Writes what is asked for: with `as` a run, else an artifact. */
export const exportTo = Effect.fnUntraced(function* ({ as, ...input }: ExportInput) {
  yield* Option.isSome(as) ? exportRun(input, as.value) : exportFiles(input)
})

/** Copies the artifact's blobs under the names of its parts. */
const exportFiles = Effect.fnUntraced(
  function* ({ json, to, what }: ExportRunInput) {
    if (Option.isNone(to)) {
      return yield* new ExportError({ place: "", message: `where to? Name a folder after ${what}` })
    }
    const { artifact } = yield* resolve(what)
    const { source } = yield* Store
    const parts = Object.entries(artifact.parts).map(([name, blob]) => [basename(name), blob] as const)
    const copies: Array<readonly [name: string, path: string]> = []
    for (const [name, blob] of parts) copies.push([name, yield* source.path(blob)])
    const folder = yield* newFolder(to.value, { copies })
    const files = parts.map(([name, { bytes }]) => ({ name, bytes }))
    if (json) return yield* printJson({ folder, files })
    yield* printLines(files.map(({ bytes: size, name }) => `${join(to.value, name)}  ${bytes(size)}`))
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
