/** Puts modules of ptmflow and of effect into one file, with esbuild. */
import { readFileSync } from "node:fs"
import path from "node:path"
import { pathToFileURL } from "node:url"
import { outside } from "./resolve.mjs"

const urlOf = (file) => pathToFileURL(file).href
const exactly = (texts) => new RegExp(`^(?:${texts.map((text) => RegExp.escape(text)).join("|")})$`)

/**
 * For each group of entries the modules that they import statically, of the folders, that no group before has; `earlier` is what they import of those, and
 * `others` what they import otherwise. A group that imports from elsewhere statically has none: what is there may import from the group before it is loaded.
 */
const groupsOf = (inputs, { folders, groups, root }) => {
  const inside = (file) => folders.some((folder) => file.startsWith(folder))
  const taken = new Set()
  return groups.map((entries) => {
    const modules = new Set(entries)
    const earlier = []
    const others = []
    let closed = true
    for (const file of modules) {
      for (const { external, kind, original, path: target } of inputs[path.relative(root, file)].imports) {
        if (target.startsWith("node:")) continue
        const found = path.join(root, target)
        const outer = external === true || !inside(found)
        const name = original ?? target
        if (outer && kind === "import-statement") closed = false
        if (outer) others.push({ file, name, to: outside.put(urlOf(file), name) })
        else if (kind !== "import-statement") others.push({ file, name, to: urlOf(found) })
        else if (taken.has(found)) earlier.push({ file, name, module: found })
        else modules.add(found)
      }
    }
    if (!closed) return { modules: [], earlier: [], others: [] }
    for (const file of modules) taken.add(file)
    return { modules: [...modules], earlier, others }
  })
}

/**
 * Imports that stay as they are, with names that mean the same in another folder; modules of earlier bundles, as `passOn` says; and `import.meta` of the
 * module where it was.
 */
const keep = ({ earlier, modules, others }, passOn) => ({
  name: "keep",
  setup: ({ onLoad, onResolve }) => {
    const namesOf = (imports) => exactly([...new Set(imports.map(({ name }) => name))])
    const finder = (imports) => {
      const found = new Map(imports.map((each) => [`${each.file}\n${each.name}`, each]))
      return ({ importer, path: name }) => found.get(`${importer}\n${name}`)
    }
    const [other, known] = [finder(others), finder(earlier)]
    onResolve({ filter: namesOf(others) }, (asked) => {
      const found = other(asked)
      return found === undefined ? undefined : { path: found.to, external: true }
    })
    onResolve({ filter: namesOf(earlier) }, (asked) => {
      const found = known(asked)
      return found === undefined ? undefined : { path: found.module, namespace: "earlier" }
    })
    onResolve({ filter: /./, namespace: "earlier" }, ({ path: name }) => ({ path: name, external: true }))
    onLoad({ filter: /./, namespace: "earlier" }, ({ path: file }) => ({ contents: passOn(file) }))
    // Node makes what an import of its own modules needs anew in each process, and for that runs what is meant to run late.
    onResolve({ filter: /^node:/ }, ({ path: name }) => ({ path: name, namespace: "node" }))
    onLoad({ filter: /./, namespace: "node" }, ({ path: name }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(name)})`
    }))
    const texts = new Map(
      modules.flatMap((file) => {
        const text = readFileSync(file, "utf8")
        return text.includes("import.meta.") ? [[file, text]] : []
      })
    )
    onLoad({ filter: exactly([...texts.keys()]) }, ({ path: file }) => ({
      contents: texts
        .get(file)
        .replaceAll("import.meta.url", JSON.stringify(urlOf(file)))
        .replaceAll("import.meta.dirname", JSON.stringify(path.dirname(file))),
      loader: file.endsWith(".ts") ? "ts" : "js"
    }))
  }
})

/** Text that binds what a module exports, from the function that a bundle has for it. */
const passing = (exported, { at, from }) => {
  const names = exported.map((_, index) => `_${index}`)
  const passed = exported.map((name, index) => `_${index} as ${name}`)
  return `import { parts } from ${JSON.stringify(from)}\nconst [${names}] = parts[${at}]()\nexport { ${passed} }\n`
}

/**
 * A bundle for each group of entries: what they import statically of ptmflow's own folder, of effect and of the packages, and no group before has.
 * Everything else is imported when it runs. `modules` are the files that are in them.
 *
 * `files` are the bundles, and for each module, by its place in `modules`, one that passes on what it exports. To export it all by name would cost each
 * start as much as the rest of loading does: a bundle has a function for each module, which gives what is asked for.
 */
export const bundle = async ({ groups, own, packages }) => {
  const { build } = await import("esbuild")
  const { root } = path.parse(own)
  const built = (options) =>
    build({
      absWorkingDir: root,
      alias: Object.fromEntries(Object.entries(packages).map(([name, folder]) => [name, folder.slice(0, -1)])),
      bundle: true,
      format: "esm",
      logLevel: "silent",
      metafile: true,
      minifySyntax: true,
      minifyWhitespace: true,
      outdir: path.join(root, "out"),
      packages: "external",
      platform: "node",
      target: "node24",
      write: false,
      ...options
    })
  const { metafile } = await built({ entryPoints: groups.flat(), splitting: true })
  const found = groupsOf(metafile.inputs, { folders: [own, ...Object.values(packages)], groups, root })
  const modules = found.flatMap((group) => group.modules)
  const exported = new Map(
    await Promise.all(modules.map(async (file) => [file, Object.keys(await import(urlOf(file)))]))
  )
  const places = new Map(
    found.flatMap((group, index) => group.modules.map((file, at) => [file, { at, from: `./bundle-${index}.mjs` }]))
  )
  const passOn = (file) => passing(exported.get(file), places.get(file))
  const files = new Map(modules.map((file, index) => [`${index}.mjs`, passOn(file)]))
  for (const [index, group] of found.entries()) {
    const imports = group.modules.map((file, at) => {
      const names = exported.get(file).map((name) => `${name} as ${name}_${at}`)
      return `import { ${names} } from ${JSON.stringify(file)}`
    })
    const parts = group.modules.map((file, at) => `() => [${exported.get(file).map((name) => `${name}_${at}`)}]`)
    const contents = `${imports.join("\n")}\nexport const parts = [${parts}]`
    const { outputFiles } = await built({ plugins: [keep(group, passOn)], stdin: { contents, resolveDir: root } })
    files.set(`bundle-${index}.mjs`, outputFiles[0].text)
  }
  return { modules, files }
}
