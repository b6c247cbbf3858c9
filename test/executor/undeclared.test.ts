/** What an operator's code reads that its key does not hold (rows 8 and 24 of the table of features). */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { codeClosure } from "../../src/executor/codeClosure.ts"
import { readProject } from "../../src/executor/codeProject.ts"
import { Project } from "./project.ts"

describe("undeclared reads (rows 8, 24)", () => {
  let root: string
  beforeAll(() => {
    root = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "ptmflow-reads-")))
    fs.writeFileSync(path.join(root, "package.json"), `{ "name": "mine", "type": "module" }`)
  })
  afterAll(() => fs.rmSync(root, { recursive: true }))

  const readsOf = async (...lines: ReadonlyArray<string>) => {
    const file = path.join(root, "op.ts")
    fs.writeFileSync(file, lines.join("\n"))
    const modules = await Effect.runPromise(readProject([file]))
    const { reads } = codeClosure(modules, [{ path: file, exported: "op" }])
    return reads.map(({ column, file, kind, line, what }) => `${file}:${line}:${column} ${kind} ${what}`)
  }

  it("are found with their line and column in the source, types and comments and all", async () => {
    const found = await readsOf(
      `import * as fs from "node:fs"`,
      `import { readFile as load } from "node:fs/promises"`,
      `import { randomUUID, createHash } from "node:crypto"`,
      `import * as os from "node:os"`,
      `interface Options { readonly a: number }`,
      ``,
      `/** A helper. */`,
      `const helper = (o: Options): unknown => [`,
      `  process.env.HOME, fs.readFileSync("x"), load,`,
      `  Date.now(), new Date(), new Date(o.a),`,
      `  Math.random(), Math.max(1), randomUUID(), createHash("sha256"),`,
      `  performance.now(), fetch("http://x"), os.hostname()`,
      `]`,
      `export const op = async (name: string) => [helper({ a: 1 }), await import(name), await import("node:path")]`
    )
    assert.deepStrictEqual(found, [
      "op.ts:9:3 environment process.env",
      `op.ts:9:21 file fs.readFileSync`,
      "op.ts:9:43 file load",
      "op.ts:10:3 time Date.now",
      "op.ts:10:15 time Date()",
      "op.ts:11:3 chance Math.random",
      "op.ts:11:31 chance randomUUID",
      "op.ts:12:3 time performance.now",
      "op.ts:12:22 network fetch",
      "op.ts:12:41 machine os.hostname",
      "op.ts:14:68 code import()"
    ])
  })

  it("are found by whatever name, through modules that export them again, and in modules that are loaded late", async () => {
    fs.writeFileSync(
      path.join(root, "again.ts"),
      `export { readFileSync as load } from "node:fs"; export * as os from "node:os"`
    )
    const found: ReadonlyArray<readonly [code: string, ...reads: ReadonlyArray<string>]> = [
      ["const { env } = process; return env.HOME", "environment process.env"],
      ["const p = process; return p.env.HOME", "machine process"],
      [`return globalThis["process"].env.HOME`, "environment globalThis.process.env"],
      ["const g = globalThis; return g.process", "environment globalThis"],
      ["return global.process.env", "machine global.process"],
      ["const D = Date; return D.now()", "time Date"],
      ["const { now } = Date; return now()", "time Date.now"],
      [`return Date["now"]()`, "time Date.now"],
      ["return new globalThis.Date()", "time globalThis.Date()"],
      ["return globalThis.Math.random()", "chance globalThis.Math.random"],
      ["let random; ({ random } = Math); return random()", "chance Math.random"],
      ["return ((clock = globalThis.Date) => clock.now())()", "time globalThis.Date"],
      [`return (await import("node:fs")).readFileSync("x")`, "file node:fs.readFileSync"],
      [`const { hostname } = await import("os"); return hostname()`, "machine os.hostname"],
      [`const crypto = await import("node:crypto"); return crypto.randomUUID()`, "chance node:crypto"],
      [`return load("x")`, "file load"],
      ["return os.hostname()", "machine os.hostname"],
      ["return [Clock.currentTimeMillis, DateTime.now]", "time Clock.currentTimeMillis", "time DateTime.now"],
      ["return import.meta.dirname", "file import.meta.dirname"],
      // What looks alike, and reads nothing.
      ["const { PI } = Math; return [PI, Math.max(1), Schema.instanceOf(Date), new Date(5) instanceof Date]"],
      [`const { createHash } = await import("node:crypto"); return createHash("sha256")`],
      [`return (await import("node:path")).join("a", "b")`],
      ["const global = { process: 1 }; return global.process"]
    ]
    for (const [code, ...reads] of found) {
      const all = await readsOf(
        `import { load, os } from "./again.ts"`,
        `import { Clock, DateTime, Schema } from "effect"`,
        `export const op = async () => { ${code} }`
      )
      assert.deepStrictEqual(
        all.map((each) => each.split(" ").slice(1).join(" ")),
        reads,
        code
      )
    }
  })

  it("are none where the code does not reach them, or a name is another's", async () => {
    const found = await readsOf(
      `import { readFileSync } from "node:fs"`,
      `const fetch = (x: number) => x`,
      `export const unused = () => [readFileSync("x"), process.env]`,
      `const local = (process: { env: number }, Date: { now: () => number }) => [process.env, Date.now()]`,
      `export const op = () => { process.stdout.write("x"); return [fetch(1), local] }`
    )
    assert.deepStrictEqual(found, [])
  })

  it("of an operator that is not exported are those of what names it", async () => {
    const project = new Project()
    try {
      project.edit("made.ts", `mapping("next", (n) => n + 1)`, `mapping("next", (n) => n + Date.now())`)
      project.edit("made.ts", "/** Not exported", "export const other = () => process.env\n/** Not exported")
      const { last } = await project.start("run", [], { pipeline: "made.ts" }).printed
      const { message } = last as { readonly message: string }
      assert.include(message, "reads the clock (Date.now)")
      assert.notInclude(message, "environment")
    } finally {
      project.remove()
    }
  })

  it("may be declared to be in no result, with a reason", async () => {
    const found = await readsOf(
      `/**`,
      ` * Takes its time.`,
      ` * ptmflow-allow time: progress alone`,
      ` */`,
      `const whole = () => {`,
      `  const start = Date.now()`,
      `  return () => Date.now() - start`,
      `}`,
      `export const op = () => [`,
      `  whole,`,
      `  Math.random(), // ptmflow-allow chance: a name of a temporary file`,
      `  // ptmflow-allow time, chance: neither`,
      `  Math.random() + Date.now(),`,
      `  // ptmflow-allow chance:`,
      `  Math.random(),`,
      `  // ptmflow-allow time: of another kind`,
      `  process.env`,
      `]`
    )
    assert.deepStrictEqual(found, ["op.ts:15:3 chance Math.random", "op.ts:17:3 environment process.env"])
  })

  it("stop plan and run, and say where, and what to do", async () => {
    const project = new Project()
    try {
      project.edit("text.ts", "return vowels(text) * 10", "return vowels(text) * Number(process.env.SCALE ?? 10)")
      const { code, last } = await project.start("plan").printed
      assert.strictEqual(code, 1)
      const { cause, message } = last as { readonly cause: string; readonly message: string }
      assert.strictEqual(cause, "UndeclaredRead")
      assert.include(message, "text.ts:6:32: reads the environment (process.env)")
      assert.include(message, "// ptmflow-allow environment: why")
      project.edit("text.ts", "  return", "  // ptmflow-allow environment: for this test\n  return")
      assert.strictEqual((await project.start("plan").printed).code, 0)
    } finally {
      project.remove()
    }
  })
})
