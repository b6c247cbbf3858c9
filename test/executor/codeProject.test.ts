import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { codeClosure } from "../../src/executor/codeClosure.ts"
import { CodeError, displayName, readProject } from "../../src/executor/codeProject.ts"

describe("the modules of a project", () => {
  let root: string
  const write = (file: string, text: string) => {
    const at = path.join(root, file)
    fs.mkdirSync(path.dirname(at), { recursive: true })
    fs.writeFileSync(at, text)
  }
  beforeEach(() => {
    root = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "ptmflow-modules-")))
    write("package.json", `{ "name": "mine", "type": "module", "imports": { "#inner": "./inner.ts" } }`)
    write(
      "node_modules/ptmflow/package.json",
      `{ "name": "ptmflow", "type": "module", "exports": { "./thing": "./dist/thing.js" } }`
    )
    write("node_modules/ptmflow/dist/thing.js", `import { deep } from "./deep.js"; export const thing = () => deep()`)
    write("node_modules/ptmflow/dist/deep.js", `export const deep = () => 1`)
    write("node_modules/other/package.json", `{ "name": "other", "type": "module", "exports": "./index.js" }`)
    write("node_modules/other/index.js", `export const other = 1`)
    write("inner.ts", `export const inner: number = 1`)
    write("data.json", `{ "a": 1 }`)
    write("lazy.ts", `export const lazy = 1`)
    write("kernel.cpp", `int one() { return 1; }`)
    write("types.ts", `export interface T { readonly a: number }`)
    write(
      "op.ts",
      `import * as fs from "node:fs"
      import { other } from "other"
      import { thing } from "ptmflow/thing"
      import { inner } from "#inner"
      import data from "./data.json" with { type: "json" }
      import type { T } from "./types.ts"
      const kernel = new URL("./kernel.cpp", import.meta.url)
      enum Kind { A = 1 }
      export const op = (t: T) => [fs, other, thing, inner, data, kernel, Kind.A, t, import("./lazy.ts")]`
    )
  })
  afterEach(() => fs.rmSync(root, { recursive: true }))

  const digest = async () => {
    const file = path.join(root, "op.ts")
    const modules = await Effect.runPromise(readProject([file]))
    return codeClosure(modules, [{ path: file, exported: "op" }]).tree
  }

  it("are its own and ptmflow's; packages, types and native sources are not among them", async () => {
    const file = path.join(root, "op.ts")
    const modules = await Effect.runPromise(readProject([file]))
    assert.deepStrictEqual([...modules.values()].map(({ name }) => name).sort(), [
      "data.json",
      "inner.ts",
      "lazy.ts",
      "op.ts",
      "ptmflow/dist/deep.js",
      "ptmflow/dist/thing.js"
    ])
    assert.strictEqual(displayName(path.join(root, "node_modules/other/index.js")), "other/index.js")
  })

  it("count each in its own way", async () => {
    const before = (await digest()).digest
    const edits: ReadonlyArray<readonly [file: string, from: string, to: string, counts: boolean]> = [
      ["node_modules/ptmflow/dist/deep.js", "=> 1", "=> 2", true],
      ["inner.ts", "= 1", "= 2", true],
      ["inner.ts", ": number", ": any", false],
      ["data.json", `"a": 1`, `"a": 2`, true],
      ["lazy.ts", "= 1", "= 2", true],
      ["op.ts", "A = 1", "A = 2", true],
      ["op.ts", "import * as fs", "import * as fs /* files */", false],
      ["node_modules/other/index.js", "= 1", "= 2", false],
      ["kernel.cpp", "return 1", "return 2", false],
      ["types.ts", "readonly a", "a", false]
    ]
    for (const [file, from, to, counts] of edits) {
      const text = fs.readFileSync(path.join(root, file), "utf8")
      assert.include(text, from)
      write(file, text.replace(from, to))
      assert.strictEqual((await digest()).digest !== before, counts, `${file}: ${from} -> ${to}`)
      write(file, text)
    }
    assert.strictEqual((await digest()).digest, before)
  })

  it("are loaded where only types of what they export are used, as Node does", async () => {
    write("row.ts", `export const Row = { a: 1 }\nglobalThis.rows = 1`)
    write("op.ts", `import { Row } from "./row.ts"\nexport const op = (row: typeof Row) => row.a`)
    const before = (await digest()).digest
    write("row.ts", `export const Row = { a: 2 }\nglobalThis.rows = 1`)
    assert.strictEqual((await digest()).digest, before)
    write("row.ts", `export const Row = { a: 1 }\nglobalThis.rows = 2`)
    assert.notStrictEqual((await digest()).digest, before)
  })

  it("that are JSON count for those who use them", async () => {
    const before = (await digest()).digest
    write("data.json", `{ "a": 2 }`)
    assert.notStrictEqual((await digest()).digest, before)
    write(
      "op.ts",
      `import data from "./data.json" with { type: "json" }\nexport const other = data\nexport const op = 1`
    )
    const apart = (await digest()).digest
    write("data.json", `{ "a": 3 }`)
    assert.strictEqual((await digest()).digest, apart)
  })

  it("that do not parse, or are not there, are named", async () => {
    write("inner.ts", "export const inner = (")
    const broken = await Effect.runPromise(Effect.flip(readProject([path.join(root, "op.ts")])))
    assert.instanceOf(broken, CodeError)
    assert.include(broken.message, "inner.ts:1")
    write("inner.ts", `import "./missing.ts"`)
    const missing = await Effect.runPromise(Effect.flip(readProject([path.join(root, "op.ts")])))
    assert.include(missing.message, "missing.ts")
  })
})
