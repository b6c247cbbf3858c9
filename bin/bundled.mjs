/**
 * One file with the modules of ptmflow and effect that `run` and `plan` need where nothing changed: Node loads it in half of the time that some 230
 * modules take. It is made when it is first needed, and again when one of them changed, and lies in the cache beside a note of what they were.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import path from "node:path"
import { pathToFileURL } from "node:url"

const day = 24 * 60 * 60 * 1000

/** A folder for each place that ptmflow is installed in. */
const folderOf = (own) => {
  const { PTMFLOW_CACHE, XDG_CACHE_HOME } = process.env
  const cache = PTMFLOW_CACHE ?? path.join(XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "ptmflow")
  return path.join(cache, "start", own.replaceAll(/[^\w.]+/g, "-").slice(-100))
}

/** Tells a file from its other versions. */
const stampOf = (file) => {
  const { mtimeMs, size } = statSync(file)
  return `${size} ${mtimeMs}`
}

/** What the note names, if its modules are still what they were. */
const current = (folder, { effect, own }) => {
  try {
    const note = JSON.parse(readFileSync(path.join(folder, "note.json"), "utf8"))
    if (note.own !== own || note.effect !== effect) return undefined
    if (note.modules.some(([file, stamp]) => stampOf(file) !== stamp)) return undefined
    const at = pathToFileURL(path.join(folder, note.name)).href
    return new Map(note.modules.map(([file], index) => [pathToFileURL(file).href, `${at}/${index}.mjs`]))
  } catch {
    return undefined
  }
}

/** Makes the bundle, and removes those that were replaced a day ago and more: a process may still load from one that just was. */
const make = async (folder, what) => {
  const began = Date.now()
  const name = `bundle-${began}-${process.pid}`
  const temporary = path.join(folder, `making-${name}`)
  try {
    mkdirSync(temporary, { recursive: true })
    const { bundle } = await import("./bundle.mjs")
    const { modules, shims, text } = await bundle(what)
    // A file that changes meanwhile may be in the bundle as it was before.
    if (modules.some((file) => statSync(file).mtimeMs >= began)) return
    const stamped = modules.map((file) => [file, stampOf(file)])
    mkdirSync(path.join(temporary, name))
    writeFileSync(path.join(temporary, name, "all.mjs"), text)
    for (const [index, shim] of shims.entries()) writeFileSync(path.join(temporary, name, `${index}.mjs`), shim)
    writeFileSync(path.join(temporary, "note.json"), JSON.stringify({ ...what, name, modules: stamped }))
    renameSync(path.join(temporary, name), path.join(folder, name))
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
 * Modules that pass on what the bundle has, by the URL of the module that they stand for. Empty in a process that has to make the bundle, as it loads
 * the modules for that, and where it cannot be made or kept: then that costs time only.
 *
 * `own` is the folder of ptmflow's modules, `effect` that of effect's, and the bundle is of what the `entries` import.
 */
export const bundled = async (what) => {
  const folder = folderOf(what.own)
  const found = current(folder, what)
  if (found !== undefined) return found
  await make(folder, what).catch(() => {})
  return new Map()
}
