/**
 * Finds modules of ptmflow and of effect without looking for them: Node asks the file system several times for each, which takes longer than all else
 * that a run does in which nothing changed. Those that are in the bundle are taken from it, whoever imports them: no module is there twice.
 *
 * Without a bundle only relative imports within the two packages, and ptmflow's own imports of effect, are answered here. What a person's files
 * import, Node finds.
 */
import module from "node:module"

/** How a bundle imports what Node has to look for: by the URL of the module that does, and the name. */
export const outside = {
  put: (parent, name) => `bundled:${parent} ${name}`,
  take: (text) => /^bundled:(\S+) (.*)$/.exec(text)?.slice(1)
}

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

/**
 * `own` are the URLs, ending in a slash, of the folders that have ptmflow's modules, `effect` is that of effect's folder, and `bundled` has the URLs that
 * stand for those of modules in the bundle.
 */
export const resolveQuickly = ({ bundled, effect, own }) => {
  const found = (url) => {
    const instead = bundled.get(url)
    if (instead !== undefined) return { url: instead, format: "module", shortCircuit: true }
    return { url, format: url.endsWith(".ts") ? "module-typescript" : "module", shortCircuit: true }
  }
  module.registerHooks({
    resolve: (specifier, context, next) => {
      const [parent, name] = outside.take(specifier) ?? [context.parentURL ?? "", specifier]
      const ours = own.some((folder) => parent.startsWith(folder))
      if (/^\.\.?\/.*\.[jt]s$/.test(name)) {
        if (ours || parent.startsWith(effect)) return found(relative(name, parent))
      } else if (ours && /^effect\/([a-z-]+\/)*[A-Z]\w*$/.test(name)) {
        return found(`${effect}${name.slice("effect/".length)}.js`)
      }
      const resolved = next(name, { ...context, parentURL: parent })
      return bundled.has(resolved.url) ? found(resolved.url) : resolved
    }
  })
}
