/**
 * `ptmflow init`: a new project, from the files in `templates/project`.
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import { existsSync, statSync } from "node:fs"
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { printErrors, printJson, printLines } from "./output.ts"
import { count } from "./render/quantity.ts"

/** The project cannot be made; nothing was written. */
export class InitError extends Schema.TaggedError<InitError>()("InitError", {
  place: Schema.String,
  message: Schema.String,
  next: Schema.String
}) {}

/** ptmflow's own package: two folders up from here, three from where this is built. */
const own = ["../..", "../../.."]
  .map((up) => path.resolve(path.dirname(fileURLToPath(import.meta.url)), up))
  .find((folder) => existsSync(path.join(folder, "package.json")))!

/** The name of a package for a folder. */
const nameOf = (folder: string): string =>
  path
    .basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "") || "project"

type Files = ReadonlyMap<string, Uint8Array>

interface Versions {
  readonly version: string
  readonly dependencies: { readonly [name: string]: string }
  readonly devDependencies: { readonly [name: string]: string }
}

/** The package of a checkout, which no registry has: what `npm pack` makes of it. */
const packed = async (): Promise<Uint8Array> => {
  const folder = await mkdtemp(path.join(tmpdir(), "ptmflow-pack-"))
  try {
    await promisify(execFile)("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: own })
    const [name] = await readdir(folder)
    return await readFile(path.join(folder, name!))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The files of a new project by their paths in it; `tarball` is the name of ptmflow's package where it is one of them. */
const filesOf = async (name: string): Promise<{ readonly files: Files; readonly tarball: string | undefined }> => {
  const { dependencies, devDependencies, version } = JSON.parse(
    await readFile(path.join(own, "package.json"), "utf8")
  ) as Versions
  const tarball = existsSync(path.join(own, "src", "cli")) ? `ptmflow-${version}.tgz` : undefined
  const ptmflow = tarball === undefined ? version : `file:${tarball}`
  const known: { readonly [name: string]: string } = { ...devDependencies, ...dependencies, ptmflow }
  const folder = path.join(own, "templates", "project")
  const files = new Map<string, Uint8Array>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = path.join(entry.parentPath, entry.name)
    // npm leaves a file out whose name is .gitignore.
    const inside = path.relative(folder, file).replace(/^gitignore$/, ".gitignore")
    files.set(inside, await readFile(file))
  }
  const textOf = (file: string): string => Buffer.from(files.get(file)!).toString()
  const manifest = JSON.parse(textOf("package.json")) as Omit<Versions, "version">
  const withVersions = (names: { readonly [name: string]: string }) =>
    Object.fromEntries(Object.keys(names).map((each) => [each, known[each]]))
  const filled = {
    ...manifest,
    name,
    dependencies: withVersions(manifest.dependencies),
    devDependencies: withVersions(manifest.devDependencies)
  }
  files.set("package.json", Buffer.from(`${JSON.stringify(filled, null, 2)}\n`))
  files.set("README.md", Buffer.from(textOf("README.md").replace(/^# .*/, `# ${name}`)))
  return { files, tarball }
}

const isThere = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    (cause: NodeJS.ErrnoException) => cause.code !== "ENOENT" && cause.code !== "ENOTDIR"
  )

/** The files of a folder that are in the way: those that would be replaced, and those where a folder is to be. */
const inTheWay = async (folder: string, names: Iterable<string>): Promise<ReadonlyArray<string>> => {
  const found = new Set<string>()
  for (const name of names) {
    if (await isThere(path.join(folder, name))) found.add(name)
    for (let parent = path.dirname(name); parent !== "."; parent = path.dirname(parent)) {
      const stats = await lstat(path.join(folder, parent)).catch(() => undefined)
      if (stats !== undefined && !stats.isDirectory()) found.add(parent)
    }
  }
  return [...found].toSorted()
}

/** Writes all files, or none: what was written is removed again where one cannot be. */
const writeAll = async (folder: string, files: Files): Promise<void> => {
  const made: Array<() => Promise<void>> = []
  try {
    for (const [name, bytes] of files) {
      const file = path.join(folder, name)
      const first = await mkdir(path.dirname(file), { recursive: true })
      if (first !== undefined) made.push(() => removeEmpty(path.dirname(file), first))
      await writeFile(file, bytes, { flag: "wx" })
      made.push(() => rm(file))
    }
  } catch (cause) {
    for (const undo of made.toReversed()) await undo().catch(() => undefined)
    throw cause
  }
}

/** Removes a folder and those above it up to `first`, as long as they are empty. */
const removeEmpty = async (folder: string, first: string): Promise<void> => {
  await rmdir(folder)
  if (folder !== first) await removeEmpty(path.dirname(folder), first)
}

/** Writes the project, and says what to type next. */
export const init = Effect.fnUntraced(function* (input: { readonly folder: string; readonly json: boolean }) {
  const folder = path.resolve(input.folder)
  const attempt = <A>(promise: () => Promise<A>) =>
    Effect.tryPromise({
      try: promise,
      catch: (cause) =>
        new InitError({
          place: input.folder,
          message: `the project could not be made: ${cause instanceof Error ? cause.message : cause}`,
          next: "Nothing was written."
        })
    })
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false) {
    const message = `${input.folder} is a file, not a folder`
    return yield* new InitError({ place: input.folder, message, next: "Nothing was written: name another folder." })
  }
  const { files: templates, tarball } = yield* attempt(() => filesOf(nameOf(folder)))
  const names = [...templates.keys(), ...(tarball === undefined ? [] : [tarball])].toSorted()
  const found = yield* attempt(() => inTheWay(folder, names))
  if (found.length > 0) {
    return yield* new InitError({
      place: input.folder,
      message: `in ${input.folder} there ${found.length === 1 ? "is" : "are"} ${found.join(", ")}`,
      next: "Nothing was written: move what is in the way, or name another folder."
    })
  }
  const files = new Map(templates)
  if (tarball !== undefined) {
    yield* printErrors(["packing this checkout of ptmflow for the project"])
    files.set(tarball, yield* attempt(packed))
  }
  yield* attempt(() => writeAll(folder, files))
  if (input.json) return yield* printJson({ folder, files: names })
  const enter = folder === process.cwd() ? [] : [`  cd ${path.relative(process.cwd(), folder)}`]
  yield* printLines([
    `made ${count(names.length, "file")} in ${folder}: ${names.join(", ")}`,
    "",
    ...enter,
    "  npm install",
    "  npm start"
  ])
})
