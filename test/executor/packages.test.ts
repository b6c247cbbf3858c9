/** Packages in the key (row 6 of the table of features). */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { codeClosure } from "../../src/executor/codeClosure.ts"
import { readProject } from "../../src/executor/codeProject.ts"
import { installedPackages } from "../../src/executor/packages.ts"

describe("packages that code uses (row 6)", () => {
  let root: string
  const write = (file: string, content: string | object) => {
    const at = path.join(root, file)
    fs.mkdirSync(path.dirname(at), { recursive: true })
    fs.writeFileSync(at, typeof content === "string" ? content : JSON.stringify(content))
  }
  const install = (name: string, version = "1.0.0") => {
    write(`node_modules/${name}/package.json`, { name, version, type: "module", exports: "./index.js" })
    write(`node_modules/${name}/index.js`, "export const f = 1")
  }
  const entry = (integrity: string, dependencies: object = {}) => ({ version: "1.0.0", integrity, dependencies })
  const lock = (entries: object) => ({ lockfileVersion: 3, packages: entries })
  const found = async () => {
    const file = path.join(root, "op.ts")
    const modules = await Effect.runPromise(readProject([file]))
    const { packages } = codeClosure(modules, [{ path: file, exported: "op" }])
    return installedPackages(packages)
  }
  const named = async () =>
    (await found()).set.packages
      .filter(({ name }) => name !== "node")
      .map(({ integrity, name, version }) => `${name}@${version} ${integrity}`.trim())

  beforeEach(() => {
    root = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "ptmflow-packages-")))
    write("package.json", { name: "mine", type: "module" })
    for (const name of ["used", "@scope/deep", "unused", "lazy", "effects", "below", "nested"]) install(name)
    write("helper.ts", `import { f } from "@scope/deep"; export const helper = () => f`)
    write(
      "op.ts",
      `import "effects"
      import { f } from "used"
      import { f as g } from "unused"
      import * as path from "node:path"
      import { helper } from "./helper.ts"
      export const other = g
      export const op = () => [f, helper, path, import("lazy")]`
    )
  })
  afterEach(() => fs.rmSync(root, { recursive: true }))

  it("are those of the declarations it reaches, as they are installed where there is no lock file", async () => {
    assert.deepStrictEqual(await named(), ["@scope/deep@1.0.0", "effects@1.0.0", "lazy@1.0.0", "used@1.0.0"])
    const before = (await found()).set.digest
    install("unused", "2.0.0")
    assert.strictEqual((await found()).set.digest, before)
    install("used", "2.0.0")
    assert.notStrictEqual((await found()).set.digest, before)
  })

  it("count by the lock file's integrity, and so does all that they depend on", async () => {
    const entries = {
      "node_modules/used": entry("sha512-used", { below: "^1" }),
      "node_modules/used/node_modules/below": entry("sha512-below-inside", { nested: "*" }),
      "node_modules/below": entry("sha512-below"),
      "node_modules/nested": entry("sha512-nested"),
      "node_modules/unused": entry("sha512-unused"),
      "node_modules/lazy": entry("sha512-lazy"),
      "node_modules/effects": entry("sha512-effects")
    }
    write("package-lock.json", lock(entries))
    assert.deepStrictEqual(await named(), [
      "@scope/deep@1.0.0",
      "below@1.0.0 sha512-below-inside",
      "effects@1.0.0 sha512-effects",
      "lazy@1.0.0 sha512-lazy",
      "nested@1.0.0 sha512-nested",
      "used@1.0.0 sha512-used"
    ])
    const digest = async (changed: object) => {
      write("package-lock.json", lock({ ...entries, ...changed }))
      return (await found()).set.digest
    }
    const before = await digest({})
    assert.notStrictEqual(await digest({ "node_modules/used": entry("sha512-x", { below: "^1" }) }), before)
    assert.notStrictEqual(await digest({ "node_modules/nested": entry("sha512-x") }), before)
    assert.strictEqual(await digest({ "node_modules/unused": entry("sha512-x") }), before)
    assert.strictEqual(await digest({ "node_modules/below": entry("sha512-x") }), before)
  })

  it("are what is installed, where that and the project's lock file differ", async () => {
    write("package-lock.json", lock({ "node_modules/used": entry("sha512-wanted") }))
    write("node_modules/.package-lock.json", lock({ "node_modules/used": entry("sha512-installed") }))
    assert.include(await named(), "used@1.0.0 sha512-installed")
    assert.deepStrictEqual((await found()).files.includes(path.join(root, "node_modules/.package-lock.json")), true)
  })

  it("are followed to all that they depend on where another program than npm installed them", async () => {
    const inStore = (name: string, version: string, dependencies: object = {}) => {
      const folder = `node_modules/.pnpm/${name}@1/node_modules/${name}`
      write(`${folder}/package.json`, { name, version, type: "module", exports: "./index.js", dependencies })
      write(`${folder}/index.js`, "export const f = 1")
      return path.join(root, folder)
    }
    fs.rmSync(path.join(root, "node_modules/used"), { recursive: true })
    fs.symlinkSync(inStore("used", "1.0.0", { below: "^1", absent: "*" }), path.join(root, "node_modules/used"))
    fs.symlinkSync(
      inStore("below", "1.2.0", { used: "^1" }),
      path.join(root, "node_modules/.pnpm/used@1/node_modules/below")
    )
    assert.includeMembers([...(await named())], ["used@1.0.0", "below@1.2.0"])
    const before = (await found()).set.digest
    inStore("below", "1.3.0", { used: "^1" })
    assert.notStrictEqual((await found()).set.digest, before)
    install("below", "9.0.0")
    assert.includeMembers([...(await named())], ["below@1.3.0"])
  })

  it("count by their commit where they are of a repository", async () => {
    const at = (commit: string) => {
      const resolved = `git+ssh://git@example.org/used.git#${commit}`
      write("package-lock.json", lock({ "node_modules/used": { version: "1.0.0", resolved } }))
    }
    at("c0ffee")
    assert.include(await named(), "used@1.0.0 c0ffee")
    const before = (await found()).set.digest
    at("decade")
    assert.notStrictEqual((await found()).set.digest, before)
  })
})
