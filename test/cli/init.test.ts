import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, expect, test } from "vitest"
import { Folder } from "./command-line.ts"

const checkout = fileURLToPath(new URL("../..", import.meta.url))
const folder = new Folder()
afterAll(() => folder.remove())

const list = (root: string) => (fs.readdirSync(root, { recursive: true }) as ReadonlyArray<string>).toSorted()

const manifestOf = (root: string) => JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))

/** What npm installs, without the registry: ptmflow as it was packed, and of this checkout's packages those that the project and ptmflow name. */
const install = (project: string) => {
  const modules = path.join(project, "node_modules")
  const ptmflow = path.join(modules, "ptmflow")
  fs.mkdirSync(ptmflow, { recursive: true })
  const [, tarball] = /^file:(.*)$/.exec(manifestOf(project).dependencies.ptmflow) ?? []
  execFileSync("tar", ["xzf", path.join(project, tarball!), "-C", ptmflow, "--strip-components=1"])
  const names = [
    manifestOf(ptmflow).dependencies,
    manifestOf(project).dependencies,
    manifestOf(project).devDependencies
  ]
  for (const name of new Set(names.flatMap((each) => Object.keys(each)))) {
    if (name === "ptmflow") continue
    fs.mkdirSync(path.dirname(path.join(modules, name)), { recursive: true })
    fs.symlinkSync(path.join(checkout, "node_modules", name), path.join(modules, name))
  }
  fs.chmodSync(path.join(ptmflow, "bin/ptmflow.mjs"), 0o755)
  const bin = path.join(modules, ".bin")
  fs.mkdirSync(bin)
  fs.symlinkSync("../ptmflow/bin/ptmflow.mjs", path.join(bin, "ptmflow"))
  for (const name of ["node", "tsc"])
    fs.symlinkSync(path.join(checkout, "node_modules/.bin", name), path.join(bin, name))
}

const npm = (project: string, ...args: ReadonlyArray<string>) => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_|^VITEST|^NODE_/.test(name)))
  const { status, stderr, stdout } = spawnSync("npm", args, { cwd: project, encoding: "utf8", env })
  return { status, out: stdout, errors: stderr }
}

test("a new project runs, reuses, and passes its own tests; the package that it has makes another", async () => {
  const made = await folder.start(["init", "My Model", "--json"])
  expect(made.code, made.errors).toBe(0)
  const project = path.join(folder.root, "My Model")
  const { files, folder: where } = JSON.parse(made.out)
  expect(where).toBe(project)
  expect(files).toEqual(list(project).filter((name) => fs.statSync(path.join(project, name)).isFile()))
  expect(manifestOf(project)).toMatchObject({ name: "my-model", dependencies: { effect: expect.any(String) } })

  install(project)
  const first = npm(project, "start")
  expect(first.status, first.out + first.errors).toBe(0)
  expect(first.out).toMatch(/rhymes: succeeded in .*: 5 ran/)
  expect(first.out).toContain("npx ptmflow generate checkpoint")
  expect(npm(project, "start").out).toMatch(/rhymes: nothing to do: 5 stages reused/)
  const tested = npm(project, "test")
  expect(tested.status, tested.out + tested.errors).toBe(0)
  expect(tested.out).toMatch(/pass 2$/m)

  // Installed, ptmflow is not packed: the project takes its version from the registry.
  const installed = path.join(project, "node_modules/ptmflow/bin/ptmflow.mjs")
  const other = spawnSync(process.execPath, [installed, "init", "other"], { cwd: folder.root, encoding: "utf8" })
  expect(other.stdout).toMatch(/^made 8 files[\s\S]*cd other\n {2}npm install\n {2}npm start\n$/)
  expect(list(path.join(folder.root, "other"))).toContain(".gitignore")
  expect(manifestOf(path.join(folder.root, "other")).dependencies.ptmflow).toBe(manifestOf(checkout).version)
})

test("where files are in the way they are named, and nothing is written", async () => {
  const project = path.join(folder.root, "taken")
  fs.mkdirSync(path.join(project, "data"), { recursive: true })
  fs.writeFileSync(path.join(project, "data/rhymes.txt"), "mine")
  fs.writeFileSync(path.join(project, "operators"), "a file")
  fs.writeFileSync(path.join(project, "notes.md"), "mine")
  const before = list(project)
  const { code, errors, out } = await folder.start(["init", "taken"])
  expect({ code, out }).toEqual({ code: 1, out: "" })
  expect(errors).toMatch(/in taken there are data\/rhymes\.txt, operators\n/)
  expect(errors).toContain("Nothing was written")
  expect(list(project)).toEqual(before)
  expect(fs.readFileSync(path.join(project, "data/rhymes.txt"), "utf8")).toBe("mine")
  expect((await folder.start(["init", "taken/notes.md"])).errors).toContain("taken/notes.md is a file, not a folder")
})
