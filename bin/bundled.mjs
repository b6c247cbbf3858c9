/**
 * Two files with the modules of ptmflow, of effect and of its services for Node that commands need: one for `run` and `plan` where nothing changed, one for
 * the parser of all commands and the questions. Node loads them in half of the time that some 350 modules take. They are made when they are first
 * needed, and again when one of the modules changed, and lie in the cache beside a note of what those were.
 */
import module, { createRequire } from "node:module"
import path from "node:path"
import { pathToFileURL } from "node:url"

// As in ptmflow.mjs.
const require = createRequire(import.meta.url)
const { mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } =
  require("node:fs")

const day = 24 * 60 * 60 * 1000

/** A folder for each place that ptmflow is installed in. */
const folderOf = (own) => {
  const { PTMFLOW_CACHE, XDG_CACHE_HOME } = process.env
  const cache =
    PTMFLOW_CACHE ?? path.join(XDG_CACHE_HOME ?? path.join(require("node:os").homedir(), ".cache"), "ptmflow")
  return path.join(cache, "start", own.replaceAll(/[^\w.]+/g, "-").slice(-100))
}

/** Tells a file from its other versions. */
const stampOf = (file) => {
  const { mtimeMs, size } = statSync(file)
  return `${size} ${mtimeMs}`
}

const noteIn = (folder) => JSON.parse(readFileSync(path.join(folder, "note.json"), "utf8"))

/** What the note names, if its modules are still what they were. */
const current = (folder, { effect, own }) => {
  try {
    const note = noteIn(folder)
    if (note.own !== own || note.packages.effect !== effect) return undefined
    if (note.modules.some(([file, stamp]) => stampOf(file) !== stamp)) return undefined
    const at = pathToFileURL(path.join(folder, note.name)).href
    return new Map(note.modules.map(([file], index) => [pathToFileURL(file).href, `${at}/${index}.mjs`]))
  } catch {
    return undefined
  }
}

/** The folders of packages whose modules are bundled with ptmflow's; the second may lie inside of the first. */
const packagesOf = (effect) => {
  const packages = { effect }
  let from = import.meta.url
  for (const name of ["@effect/platform-node", "@effect/platform-node-shared"]) {
    const manifest = module.findPackageJSON(name, from)
    if (manifest === undefined) break
    packages[name] = `${path.dirname(realpathSync(manifest))}/dist/`
    from = pathToFileURL(realpathSync(manifest))
  }
  return packages
}

/** Lets the bundles that the note names be as old as now, from when they are not used any more. */
const replacing = (folder) => {
  try {
    const now = new Date()
    utimesSync(path.join(folder, noteIn(folder).name), now, now)
  } catch {
    // There were none.
  }
}

/** Makes the bundles, and removes those that were replaced a day ago and more: a process may still load from one that just was. */
const make = async (folder, { effect, groups, own }) => {
  const began = Date.now()
  const name = `made-${began}-${process.pid}`
  const temporary = path.join(folder, `making-${process.pid}`)
  try {
    mkdirSync(temporary, { recursive: true })
    const { bundle } = await import("./bundle.mjs")
    const packages = packagesOf(effect)
    const { files, modules } = await bundle({ groups, own, packages })
    // A file that changes meanwhile may be in a bundle as it was before.
    if (modules.some((file) => statSync(file).mtimeMs >= began)) return
    const stamped = modules.map((file) => [file, stampOf(file)])
    mkdirSync(path.join(temporary, name))
    for (const [file, text] of files) writeFileSync(path.join(temporary, name, file), text)
    writeFileSync(path.join(temporary, "note.json"), JSON.stringify({ own, packages, name, modules: stamped }))
    renameSync(path.join(temporary, name), path.join(folder, name))
    replacing(folder)
    renameSync(path.join(temporary, "note.json"), path.join(folder, "note.json"))
    for (const each of readdirSync(folder)) {
      const old = path.join(folder, each)
      if (each !== name && began - statSync(old).mtimeMs > day) rmSync(old, { recursive: true, force: true })
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/**
 * Modules that pass on what the bundles have, by the URL of the module that they stand for. Empty in a process that has to make them, as it loads the
 * modules for that, and where they cannot be made or kept: then that costs time only.
 *
 * `own` is the folder of ptmflow's modules, `effect` that of effect's, and there is a bundle of what each of the `groups` of files imports.
 */
export const bundled = async (what) => {
  const folder = folderOf(what.own)
  const found = current(folder, what)
  if (found !== undefined) return found
  await make(folder, what).catch(() => {})
  return new Map()
}
