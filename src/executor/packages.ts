/**
 * The installed packages that code uses, as the lock file says what they are.
 *
 * @since 0.1.0
 */
import { existsSync, readFileSync, realpathSync } from "node:fs"
import * as path from "node:path"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { digestOf } from "../operator/digest.ts"
import type { PackageUse } from "./codeClosure.ts"

/** A package: `integrity` is the lock file's digest of it, or the commit it is of; empty where `version` must do, as no lock file of npm has it. */
export const Package = Schema.Struct({ name: Schema.String, version: Schema.String, integrity: Schema.String })
export type Package = typeof Package.Type

/** Packages and the digest of them. */
export const PackageSet = Schema.Struct({ digest: Schema.String, packages: Schema.Array(Package) })
export type PackageSet = typeof PackageSet.Type

/** The packages of some code, and the files that say what they are. */
export interface Installed {
  readonly set: PackageSet
  readonly files: ReadonlyArray<string>
}

const Entry = Schema.Struct({
  version: Schema.optionalKey(Schema.String),
  integrity: Schema.optionalKey(Schema.String),
  resolved: Schema.optionalKey(Schema.String),
  dependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  optionalDependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  peerDependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})
const decodeEntry = Schema.decodeUnknownOption(Entry)

interface Lock {
  readonly file: string
  readonly root: string
  readonly entries: { readonly [location: string]: unknown }
}

/** npm's note of what it installed, then the project's own lock file. */
const LOCKS = [path.join("node_modules", ".package-lock.json"), "package-lock.json"]

/** `@scope/name` or `name` of what is imported. */
const nameOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")

const above = (folder: string): ReadonlyArray<string> => {
  const parent = path.dirname(folder)
  return parent === folder ? [folder] : [folder, ...above(parent)]
}

/**
 * The packages that code uses and all that they depend on, by npm's lock file or, where that has none of them, as they are installed. The major version of Node is among them: it decides
 * what letters and numbers are in regular expressions.
 */
export const installedPackages = (uses: ReadonlyArray<PackageUse>): Installed => {
  const files = new Set<string>()
  const found = new Map<string, Package>()
  const locks = new Map<string, Lock | undefined>()
  const note = (each: Package) => found.set(`${each.name} ${each.version} ${each.integrity}`, each)
  note({ name: "node", version: process.versions.node.split(".")[0]!, integrity: "" })

  const lockIn = (root: string): Lock | undefined => {
    if (locks.has(root)) return locks.get(root)
    const file = LOCKS.map((name) => path.join(root, name)).find((name) => existsSync(name))
    const entries = file === undefined ? undefined : (readJson(file) as { packages?: Lock["entries"] }).packages
    const lock = file === undefined || entries === undefined ? undefined : { file, root, entries }
    locks.set(root, lock)
    return lock
  }

  const seen = new Set<string>()
  const visit = (lock: Lock, location: string) => {
    const entry = Option.getOrUndefined(decodeEntry(lock.entries[location]))
    if (entry === undefined || seen.has(`${lock.root} ${location}`)) return
    seen.add(`${lock.root} ${location}`)
    const name = location.slice(location.lastIndexOf("node_modules/") + 13)
    note({ name, version: entry.version ?? "", integrity: entry.integrity ?? commitOf(entry) })
    for (const dependency of neededBy(entry)) {
      for (let at = location; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
        const candidate = `${at === "" ? "" : `${at}/`}node_modules/${dependency}`
        if (candidate in lock.entries) {
          visit(lock, candidate)
          break
        }
        if (at === "") break
      }
    }
  }

  const folders = new Set<string>()
  const add = (folder: string | undefined) => {
    if (folder !== undefined) folders.add(folder)
  }
  for (const { importer, specifier } of uses) {
    const name = nameOf(specifier)
    const folder = folderOf(name, path.dirname(importer))
    if (folder === undefined) note({ name, version: "", integrity: "" })
    add(folder)
  }
  for (const folder of folders) {
    const locked = above(path.dirname(folder))
      .map(lockIn)
      .find((lock) => lock !== undefined && locationIn(lock, folder) in lock.entries)
    if (locked !== undefined) {
      files.add(locked.file)
      visit(locked, locationIn(locked, folder))
      continue
    }
    const file = path.join(folder, "package.json")
    const content = readJson(file) as { readonly name?: string; readonly version?: string }
    files.add(file)
    note({ name: content.name ?? path.basename(folder), version: content.version ?? "", integrity: "" })
    for (const each of neededBy(Option.getOrElse(decodeEntry(content), () => ({})))) add(folderOf(each, folder))
  }
  const packages = [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each)
  return {
    set: { digest: digestOf("packages/1", packages as ReadonlyArray<{ [key: string]: string }>), packages },
    files: [...files]
  }
}

const neededBy = (entry: typeof Entry.Type): ReadonlyArray<string> =>
  Object.keys({ ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies })

/** Where Node finds a package from a folder, links followed. */
const folderOf = (name: string, from: string): string | undefined => {
  const folder = above(from)
    .map((each) => path.join(each, "node_modules", name))
    .find((each) => existsSync(path.join(each, "package.json")))
  return folder === undefined ? undefined : realpathSync(folder)
}

/** The commit of a package that is of a repository: such ones have no digest. */
const commitOf = ({ resolved = "" }: typeof Entry.Type): string =>
  resolved.startsWith("git") ? resolved.slice(resolved.indexOf("#") + 1) : ""

const locationIn = ({ root }: Lock, folder: string): string => path.relative(root, folder).split(path.sep).join("/")

const readJson = (file: string): object => {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"))
    return typeof value === "object" && value !== null ? value : {}
  } catch {
    return {}
  }
}
