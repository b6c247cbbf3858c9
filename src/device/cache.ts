/**
 * What devices keep between processes: compiled kernels, and what was found out about them.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"

/** Default: `ptmflow` in `$XDG_CACHE_HOME` or `~/.cache`; `PTMFLOW_CACHE` overrides it. */
export const defaultCache = (): string =>
  process.env["PTMFLOW_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "ptmflow")

/** SHA-256 of texts, each with its length. */
export const digest = (parts: ReadonlyArray<string>): string => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest("hex")
}

/** A digest that is kept in a file once it is found out. Where the file cannot be written it is found out again. */
export const remembered = <E>(file: string, find: Effect.Effect<string, E>): Effect.Effect<string, E> =>
  Effect.suspend(() => {
    const known = existsSync(file) ? readFileSync(file, "utf8") : ""
    if (/^[0-9a-f]{64}$/.test(known)) return Effect.succeed(known)
    return Effect.tap(find, (text) =>
      Effect.sync(() => {
        try {
          const written = `${file}.${process.pid}`
          writeFileSync(written, text)
          renameSync(written, file)
        } catch {
          // A cache that cannot be written costs time only.
        }
      })
    )
  })
