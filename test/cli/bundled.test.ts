/** The bundle that the command line starts from: what is in it, when it is made, and that no module is there twice. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { bin, counting, Folder } from "./command-line.ts"

interface What {
  readonly own: string
  readonly effect: string
  readonly groups: ReadonlyArray<ReadonlyArray<string>>
}

const { bundled } = (await import(pathToFileURL(path.join(path.dirname(bin), "bundled.mjs")).href)) as {
  readonly bundled: (what: What) => Promise<ReadonlyMap<string, string>>
}

let folder: Folder
const { PTMFLOW_CACHE } = process.env
beforeEach(() => {
  folder = new Folder()
  process.env["PTMFLOW_CACHE"] = path.join(folder.root, "cache")
})
afterEach(() => {
  folder.remove()
  if (PTMFLOW_CACHE === undefined) delete process.env["PTMFLOW_CACHE"]
  else process.env["PTMFLOW_CACHE"] = PTMFLOW_CACHE
})

const url = (file: string) => pathToFileURL(file).href

/** Writes a file that is older than what is made after it. */
const write = (file: string, text: string) => {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
  fs.utimesSync(file, 1e9, 1e9)
}

describe("a bundle", () => {
  /** Two small packages, older than the clock's last tick. */
  const packages = () => {
    const own = path.join(folder.root, "own modules/")
    const effect = path.join(folder.root, "effect/dist/")
    const files = {
      [`${own}entry.mjs`]: `import * as path from "node:path"
        import { count as shared } from "effect/Count"
        import { two } from "./part/two.mjs"
        export const late = () => import("./part/late.mjs")
        export const place = import.meta.url
        export const of = path.join("a", "b")
        export { shared, two }`,
      [`${own}second.mjs`]: `import * as first from "./entry.mjs"
        import count from "effect/Count"
        import { third } from "./part/third.mjs"
        export const sum = first.two + count + third`,
      [`${own}part/third.mjs`]: 'import { two } from "./two.mjs"\nexport const third = two + 1\nexport { two }',
      [`${own}part/two.mjs`]: 'import { count } from "effect/Count"\nexport const two = count + 1',
      [`${own}part/late.mjs`]: "export const late = 1",
      [`${effect}Count.js`]: "export const count = 1\nexport default count",
      [`${effect}Unused.js`]: "throw new Error('loaded')",
      [`${effect}../package.json`]: JSON.stringify({ name: "effect", exports: { "./*": "./dist/*.js" } })
    }
    for (const [file, text] of Object.entries(files)) write(file, text)
    fs.mkdirSync(path.join(own, "node_modules"))
    fs.symlinkSync(path.dirname(effect), path.join(own, "node_modules/effect"))
    return { what: { own, effect, groups: [[`${own}entry.mjs`], [`${own}second.mjs`]] }, own, effect }
  }

  it("is made once, has what is imported statically, and passes it on", async () => {
    const { effect, own, what } = packages()
    assert.strictEqual((await bundled(what)).size, 0)
    const modules = await bundled(what)
    assert.deepStrictEqual(
      [...modules.keys()].toSorted(),
      [`${effect}Count.js`, ...["entry", "second", "part/two", "part/third"].map((name) => `${own}${name}.mjs`)]
        .map(url)
        .toSorted()
    )
    const entry = await import(modules.get(url(`${own}entry.mjs`))!)
    const original = await import(url(`${own}entry.mjs`))
    assert.deepStrictEqual(Object.keys(entry), Object.keys(original))
    assert.deepStrictEqual([entry.shared, entry.two, entry.of], [1, 2, "a/b"])
    assert.strictEqual(entry.place, url(`${own}entry.mjs`))
    assert.strictEqual((await entry.late()).late, 1)
    const two = await import(modules.get(url(`${own}part/two.mjs`))!)
    assert.strictEqual(two.two, entry.two)
    assert.strictEqual((await import(modules.get(url(`${effect}Count.js`))!)).default, 1)
    const second = await import(modules.get(url(`${own}second.mjs`))!)
    assert.strictEqual(second.sum, 2 + 1 + 3)
    // What the second has of the first is the same, and nothing is bundled twice.
    const made = path.dirname(fileURLToPath(modules.get(url(`${own}entry.mjs`))!))
    assert.deepStrictEqual(
      [0, 1].map((index) => fs.readFileSync(path.join(made, `bundle-${index}.mjs`), "utf8").includes("part/late.mjs")),
      [true, false]
    )
  })

  it("is made again when one of its modules changed, and only then", async () => {
    const { effect, own, what } = packages()
    await bundled(what)
    const first = await bundled(what)
    write(path.join(own, "part/late.mjs"), "export const late = 2")
    assert.deepStrictEqual(await bundled(what), first)
    fs.writeFileSync(path.join(effect, "Count.js"), "export const count = 10")
    assert.strictEqual((await bundled(what)).size, 0)
    // One that changed as it was made is not kept: the change may be younger than what was read.
    fs.utimesSync(path.join(effect, "Count.js"), 2e9, 2e9)
    assert.strictEqual((await bundled(what)).size, 0)
    assert.strictEqual((await bundled(what)).size, 0)
    fs.utimesSync(path.join(effect, "Count.js"), 1e9, 1e9)
    assert.strictEqual((await bundled(what)).size, 0)
    const second = await bundled(what)
    assert.notDeepEqual(second, first)
    // A process that began with the first may still load from it.
    assert.isTrue([...first.values()].every((each) => fs.existsSync(new URL(each))))
  })

  it("is kept for a day after it was replaced, however old it is", async () => {
    const { own, what } = packages()
    const start = path.join(folder.root, "cache/start")
    const made = () => {
      const place = path.join(start, fs.readdirSync(start)[0]!)
      return fs.readdirSync(place).flatMap((name) => (name.startsWith("made-") ? [path.join(place, name)] : []))
    }
    await bundled(what)
    const [old] = made()
    fs.utimesSync(old!, 1e9, 1e9)
    write(path.join(own, "part/two.mjs"), "export const two = 20")
    await bundled(what)
    assert.include(made(), old)
    fs.utimesSync(old!, 1e9, 1e9)
    write(path.join(own, "part/two.mjs"), "export const two = 200")
    await bundled(what)
    assert.notInclude(made(), old)
    assert.strictEqual(made().length, 2)
  })

  it("that cannot be made or kept costs nothing but time", async () => {
    const { own, what } = packages()
    fs.writeFileSync(path.join(folder.root, "cache"), "a file is in the way")
    assert.strictEqual((await bundled(what)).size, 0)
    fs.rmSync(path.join(folder.root, "cache"))
    write(path.join(own, "part/two.mjs"), 'import "./gone.mjs"')
    assert.strictEqual((await bundled(what)).size, 0)
    const left = fs.readdirSync(path.join(folder.root, "cache/start"), { recursive: true, withFileTypes: true })
    assert.deepStrictEqual(
      left.filter((each) => each.isFile()).map(({ name }) => name),
      []
    )
  })
})

describe("the command line", () => {
  it("has no module twice: what is in the bundle is loaded from nowhere else, for a person's files too", async () => {
    const counts = path.join(folder.root, "counts.json")
    const count = pathToFileURL(path.join(import.meta.dirname, "count.mjs")).href
    const env = { COUNTS: counts, NODE_OPTIONS: `--import ${count}` }
    assert.strictEqual((await folder.start(["plan", counting])).code, 2)
    const first = await folder.start(["run", counting], { env: { PTMFLOW_CACHE: path.join(folder.root, "cold") } })
    assert.strictEqual(first.code, 0, first.errors)
    for (const args of [["run", counting], ["run", counting], ["plan", counting], ["lineage", "last"], ["--version"]]) {
      const { code, errors } = await folder.start(args, { env })
      assert.strictEqual(code, 0, errors)
      const { modules } = JSON.parse(fs.readFileSync(counts, "utf8")) as { readonly modules: ReadonlyArray<string> }
      const start = path.join(folder.root, "cache/start")
      const [place] = fs.readdirSync(start)
      const note = JSON.parse(fs.readFileSync(path.join(start, place!, "note.json"), "utf8")) as {
        readonly name: string
        readonly modules: ReadonlyArray<readonly [string, string]>
      }
      const inside = new Set(note.modules.map(([file]) => url(file)))
      assert.deepStrictEqual(
        modules.filter((each) => inside.has(each)),
        []
      )
      // What the first run, which had no bundle, found out of the code still counts.
      assert.deepStrictEqual(
        modules.filter((each) => each.includes("/esbuild/")),
        []
      )
      assert.deepStrictEqual(
        modules.flatMap((each) => /\/(bundle-\d)\.mjs$/.exec(each)?.[1] ?? []),
        /run|plan/.test(args[0]!) ? ["bundle-0"] : ["bundle-0", "bundle-1"]
      )
      assert.isAbove(inside.size, 250)
    }
  })
})
