/**
 * Finding the files that a reader's patterns name.
 *
 * @since 0.1.0
 */
import { existsSync, statSync } from "node:fs"
import { glob, readdir, stat } from "node:fs/promises"
import { basename, dirname, extname, join, relative, resolve, sep } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { OperatorError, type SourceFile } from "../../src/operator/operator.ts"

/** What one pattern names: files, and the folder that their names are relative to. `prefix` is put before names. */
interface Found {
  readonly paths: ReadonlyArray<string>
  readonly folder: string
  readonly prefix?: string
}

const NPM = "npm:"

/**
 * The files that `patterns` name, sorted by name. A pattern is a file, a folder (its files, at any depth, that have one of `extensions`), a
 * glob, or `npm:package/glob` in a package that is installed in the project (`npm:package` alone: the .txt files in its `data` folder). Names
 * are relative to the folder that all patterns have in common, so that they do not depend on where that folder is; those of a package begin
 * with its name.
 */
export const findFiles = Effect.fnUntraced(function* (
  operator: string,
  patterns: ReadonlyArray<string>,
  extensions: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<SourceFile>, OperatorError> {
  const refuse = (pattern: string, message: string) =>
    new OperatorError({ operator, place: `paths: ${JSON.stringify(pattern)}`, message })
  if (patterns.length === 0) return yield* refuse("", "no path is given")
  const found: Array<Found> = []
  for (const pattern of patterns) {
    const result = yield* Effect.tryPromise({
      try: () => findOne(pattern, extensions),
      catch: (cause) => refuse(pattern, cause instanceof Error ? cause.message : String(cause))
    })
    if (result.paths.length === 0) {
      return yield* refuse(pattern, `no file matches ${JSON.stringify(pattern)} in ${process.cwd()}`)
    }
    const unknown = result.paths.find((path) => !extensions.includes(extname(path).toLowerCase()))
    if (unknown !== undefined) {
      return yield* refuse(pattern, `${basename(unknown)} is of no known kind: ${extensions.join(", ")} can be read`)
    }
    found.push(result)
  }
  const folder = commonFolder(found.filter(({ prefix }) => prefix === undefined).map((result) => result.folder))
  const files = new Map<string, SourceFile>()
  for (const { paths, prefix, ...result } of found) {
    for (const path of paths) {
      const inside = relative(prefix === undefined ? folder : result.folder, path)
      const name = `${prefix ?? ""}${inside.split(sep).join("/")}`
      files.set(path, { path, name })
    }
  }
  return [...files.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
})

const findOne = async (pattern: string, extensions: ReadonlyArray<string>): Promise<Found> => {
  if (pattern.startsWith(NPM)) return findInPackage(pattern.slice(NPM.length))
  const path = resolve(pattern)
  const info = await stat(path).catch(() => undefined)
  if (info?.isFile() === true) return { paths: [path], folder: dirname(path) }
  if (info?.isDirectory() === true) return { paths: await filesIn(path, extensions), folder: path }
  const fixed = pattern.split(/[\\/]/)
  const firstSpecial = fixed.findIndex((part) => /[*?[\]{}!()]/.test(part))
  if (firstSpecial < 0) throw new Error(`there is no file or folder ${pattern} in ${process.cwd()}`)
  return {
    paths: await matches(pattern, process.cwd()),
    folder: resolve(fixed.slice(0, firstSpecial).join("/") || (pattern.startsWith("/") ? "/" : "."))
  }
}

/** The files that a glob names, without hidden ones and those of `node_modules`. */
const matches = async (pattern: string, cwd: string): Promise<ReadonlyArray<string>> => {
  const paths: Array<string> = []
  for await (const match of glob(pattern, { cwd })) {
    const path = resolve(cwd, match)
    if (!isHidden(match) && statSync(path).isFile()) paths.push(path)
  }
  return paths
}

const isHidden = (path: string) =>
  path.split(/[\\/]/).some((part) => part === "node_modules" || (part.startsWith(".") && part !== "." && part !== ".."))

const filesIn = async (folder: string, extensions: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  if (!existsSync(folder)) return []
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && extensions.includes(extname(entry.name).toLowerCase()))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !isHidden(relative(folder, path)))
}

const findInPackage = async (pattern: string): Promise<Found> => {
  const parts = pattern.split("/")
  const name = parts.splice(0, pattern.startsWith("@") ? 2 : 1).join("/")
  const root = packageFolder(process.cwd(), name) ?? packageFolder(dirname(fileURLToPath(import.meta.url)), name)
  if (root === undefined) {
    throw new Error(`npm package ${name} is not installed in this project: npm install --save-dev ${name}`)
  }
  const prefix = `${name}/`
  if (parts.length === 0) return { paths: await filesIn(join(root, "data"), [".txt"]), folder: root, prefix }
  return { paths: await matches(parts.join("/"), root), folder: root, prefix }
}

/** The nearest `node_modules/name` at or above a folder. */
const packageFolder = (from: string, name: string): string | undefined => {
  const candidate = join(from, "node_modules", name)
  if (existsSync(join(candidate, "package.json"))) return candidate
  return dirname(from) === from ? undefined : packageFolder(dirname(from), name)
}

const commonFolder = (folders: ReadonlyArray<string>): string => {
  const [first = "", ...others] = folders.map((folder) => folder.split(sep))
  const parts = [...first]
  for (const other of others) {
    const differs = parts.findIndex((part, i) => part !== other[i])
    if (differs >= 0) parts.length = differs
  }
  return parts.join(sep) || sep
}
