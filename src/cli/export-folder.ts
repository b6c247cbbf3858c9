/**
 * A folder that an export makes: it is there with all of its files or not at all.
 *
 * @since 0.1.0
 */
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** What was to be written cannot be. */
export class ExportError extends Schema.TaggedError<ExportError>()("ExportError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** Makes `name`, a folder that is new or empty, with texts, and copies of files, by their names in it; gives its full path. */
export const newFolder = (
  name: string,
  files: {
    readonly texts?: ReadonlyArray<readonly [name: string, text: string]>
    readonly copies: ReadonlyArray<readonly [name: string, path: string]>
  }
): Effect.Effect<string, ExportError> =>
  Effect.tryPromise({
    try: async () => {
      const folder = resolve(name)
      const there = await readdir(folder).catch(() => [])
      if (there.length > 0) throw new Error(`it is there and has files: name a folder that is new or empty`)
      await mkdir(dirname(folder), { recursive: true })
      const made = await mkdtemp(`${folder}-`)
      try {
        const place = async (name: string) => {
          const path = join(made, name)
          await mkdir(dirname(path), { recursive: true })
          return path
        }
        for (const [name, text] of files.texts ?? []) await writeFile(await place(name), text)
        for (const [name, path] of files.copies) await copyFile(path, await place(name))
        await rm(folder, { recursive: true, force: true })
        await rename(made, folder)
      } finally {
        await rm(made, { recursive: true, force: true })
      }
      return folder
    },
    catch: (cause) => new ExportError({ place: name, message: cause instanceof Error ? cause.message : String(cause) })
  })
