/** Puts modules of ptmflow and of effect into one file, with esbuild. */
import { readFileSync } from "node:fs"
import path from "node:path"
import { pathToFileURL } from "node:url"
import { outside } from "./resolve.mjs"

const urlOf = (file) => pathToFileURL(file).href
const exactly = (texts) => new RegExp(`^(?:${texts.map((text) => RegExp.escape(text)).join("|")})$`)

/** The modules that the entries import statically, of ptmflow's folder and of effect's, and what those import otherwise. */
const graphOf = async (built, { effect, entries, own, root }) => {
  const inside = (file) => [own, effect].some((folder) => file.startsWith(folder))
  const { inputs } = (await built({ entryPoints: entries, splitting: true })).metafile
  const modules = new Set(entries)
  const others = []
  for (const file of modules) {
    for (const { external, kind, original, path: target } of inputs[path.relative(root, file)].imports) {
      if (target.startsWith("node:")) continue
      const found = path.join(root, target)
      const outer = external === true || !inside(found)
      const name = original ?? target
      if (!outer && kind === "import-statement") modules.add(found)
      else others.push({ file, name, to: outer ? outside.put(urlOf(file), name) : urlOf(found) })
    }
  }
  return { modules: [...modules], others }
}

/** Imports that stay as they are, with names that mean the same in another folder, and `import.meta` of the module where it was. */
const keep = ({ modules, others }) => ({
  name: "keep",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: exactly(others.map(({ name }) => name)) }, ({ importer, path: name }) => {
      const other = others.find((each) => each.file === importer && each.name === name)
      return other === undefined ? undefined : { path: other.to, external: true }
    })
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

/**
 * What the entries import statically of their own folder and of effect's; everything else is imported when it runs. `modules` are the files in it.
 *
 * `text` is the bundle, and `shims` has for each module the text of one that passes on, from `all.mjs` beside it, what that exports. To export it all
 * by name would cost each start as much as the rest of loading does: the bundle has a function for each module, which gives what is asked for.
 */
export const bundle = async ({ effect, entries, own }) => {
  const { build } = await import("esbuild")
  const { root } = path.parse(own)
  const built = (options) =>
    build({
      absWorkingDir: root,
      alias: { effect: effect.slice(0, -1) },
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
  const { modules, others } = await graphOf(built, { effect, entries, own, root })
  const exported = await Promise.all(modules.map(async (file) => Object.keys(await import(urlOf(file)))))
  const imports = modules.map((file, index) => {
    const names = exported[index].map((name) => `${name} as ${name}_${index}`)
    return `import { ${names.join(", ")} } from ${JSON.stringify(file)}`
  })
  const parts = exported.map((names, index) => `() => [${names.map((name) => `${name}_${index}`).join(", ")}]`)
  const contents = `${imports.join("\n")}\nexport const parts = [${parts.join(",\n")}]`
  const { outputFiles } = await built({ plugins: [keep({ modules, others })], stdin: { contents, resolveDir: root } })
  const shims = exported.map((names, index) => {
    const own = names.map((_, at) => `_${at}`)
    const passed = names.map((name, at) => `${own[at]} as ${name}`)
    return `import { parts } from "./all.mjs"\nconst [${own.join(", ")}] = parts[${index}]()\nexport { ${passed.join(", ")} }\n`
  })
  return { modules, shims, text: outputFiles[0].text }
}
