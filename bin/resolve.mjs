/**
 * Finds modules of ptmflow and of effect without looking for them: Node asks the file system several times for each of some 250 modules, which takes
 * longer than all else that a run does in which nothing changed.
 *
 * Only relative imports within the two packages, and ptmflow's own imports of effect, are answered here. What a person's files import, Node finds.
 */
import module from "node:module"

/** The URL that a relative specifier means; `..` never leads out of a package here. */
const relative = (specifier, parent) => {
  let folder = parent.slice(0, parent.lastIndexOf("/"))
  let rest = specifier
  for (;;) {
    if (rest.startsWith("./")) rest = rest.slice(2)
    else if (rest.startsWith("../")) {
      rest = rest.slice(3)
      folder = folder.slice(0, folder.lastIndexOf("/"))
    } else return `${folder}/${rest}`
  }
}

const found = (url) => ({ url, format: url.endsWith(".ts") ? "module-typescript" : "module", shortCircuit: true })

/** `own` are the URLs, ending in a slash, of the folders that have ptmflow's modules. */
export const resolveQuickly = (own) => {
  const probe = import.meta.resolve("effect/Effect")
  if (!probe.endsWith("/dist/Effect.js") || module.registerHooks === undefined) return
  const effect = probe.slice(0, -"Effect.js".length)
  module.registerHooks({
    resolve: (specifier, context, next) => {
      const parent = context.parentURL ?? ""
      const ours = own.some((folder) => parent.startsWith(folder))
      if (/^\.\.?\/.*\.[jt]s$/.test(specifier)) {
        if (ours || parent.startsWith(effect)) return found(relative(specifier, parent))
      } else if (ours && /^effect\/([a-z-]+\/)*[A-Z]\w*$/.test(specifier)) {
        return found(`${effect}${specifier.slice("effect/".length)}.js`)
      }
      return next(specifier, context)
    }
  })
}
