import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { codeClosure, type ProjectModule } from "../../src/executor/codeClosure.ts"
import { parseModule } from "../../src/executor/codeModule.ts"
import { Project, ran, reasons } from "./project.ts"

const SCALES = ["scale", "wide.1", "wide.2", "wide.3", "wide.4", "wide.5", "wide.6"]

describe("code in the key", () => {
  let project: Project
  beforeAll(async () => {
    project = new Project()
    await project.run()
  })
  afterAll(() => project.remove())

  it("comments, types, formatting, and what no operator reaches do not count (row 3)", async () => {
    project.edit("text.ts", "  // A comment.\n  return", "  /* Another\n\n comment. */\n\n  return")
    project.edit("text.ts", "(text: string): number", "(\n  text: string\n):   any")
    project.edit("text.ts", "vowels(text) * 10", "(vowels(text)) * (10);")
    project.edit("letters.ts", "text.length - vowels(text)", "text.length + 1 - vowels(text)")
    project.edit("pipeline.ts", "read -> scale", "scale after read")
    assert.deepStrictEqual(ran(await project.run()), [])
  })

  it("a function's body counts for the operators that use it, not for others in the same file (row 1)", async () => {
    project.edit("operators.ts", "return value * 2", "return value + value")
    const planned = await project.plan()
    const why = "code of operators.ts changed in function double"
    for (const stage of ["scale", "wide.1"]) assert.deepStrictEqual(reasons(planned.stages)[stage], [why])
    const report = await project.run()
    // The same numbers come out, so summary and train are reused.
    assert.deepStrictEqual(
      ran(report),
      SCALES.slice(0, 7).filter((stage) => ran(report).includes(stage))
    )
    assert.deepStrictEqual([...ran(report)].sort(), [...SCALES].sort())
  })

  it("so does a helper two imports away (row 2)", async () => {
    project.edit("letters.ts", '"aeiou".includes', '"aeiouy".includes')
    const planned = await project.plan()
    assert.deepStrictEqual(reasons(planned.stages)["read"], ["code of letters.ts changed in function vowels"])
    assert.include(ran(await project.run()), "read")
  })

  it("the operator's own run counts", async () => {
    project.edit("operators.ts", "number: largest(inputs.numbers)", "number: 1 + largest(inputs.numbers)")
    const planned = await project.plan()
    assert.deepStrictEqual(reasons(planned.stages)["summary"], ["code of operators.ts changed in summary"])
    assert.deepStrictEqual(ran(await project.run()), ["summary", "train"])
  })

  it("a project that moved, and a touched file, are what they were", async () => {
    const old = project.folder
    fs.utimesSync(path.join(old, "letters.ts"), new Date(), new Date())
    fs.renameSync(old, `${old}-moved`)
    Object.assign(project, { folder: `${old}-moved` })
    assert.deepStrictEqual(ran(await project.run()), [])
  })
})

describe("operators made by a factory", () => {
  it("count the function that they were given, wherever it is", async () => {
    const project = new Project()
    try {
      const run = () => project.run([], { pipeline: "made.ts" })
      assert.deepStrictEqual([...ran(await run())].sort(), ["next", "start", "tripled"])
      assert.deepStrictEqual(ran(await run()), [])
      project.edit("made.ts", "n * 3", "n * 4")
      assert.include(ran(await run()), "tripled")
      project.edit("made.ts", "n + 1", "n + 2")
      const report = await run()
      assert.include(ran(report), "next")
      assert.notInclude(ran(report), "tripled")
      project.edit("mapping.ts", "n: f(inputs.n)", "n: 0 + f(inputs.n)")
      assert.includeMembers([...ran(await run())], ["next", "tripled"])
    } finally {
      project.remove()
    }
  })

  it("of one name are what each was made with, exported or not; those that nothing tells apart are refused", async () => {
    const project = new Project()
    const file = path.join(project.folder, "alike.ts")
    const write = (definitions: string) =>
      fs.writeFileSync(
        file,
        `import * as Effect from "effect/Effect"
        import * as Schema from "effect/Schema"
        import * as Operator from "../../../src/operator/operator.ts"
        import * as Pipeline from "../../../src/pipeline/pipeline.ts"
        import { numberPort } from "../json-port.ts"
        const scaled = (by: number) =>
          Operator.make("scaled", {
            description: "A number",
            params: Schema.Struct({}),
            inputs: {},
            outputs: { n: numberPort },
            run: () => Effect.succeed({ n: 10 * by })
          })
        ${definitions}
        export const pipeline = Pipeline.make("alike", { params: Schema.Struct({ corpus: Schema.String }) }, (p) => ({ a: p.add(first, { name: "a" }).n, b: p.add(second, { name: "b" }).n }))`
      )
    const run = async () => {
      const report = await project.run([], { pipeline: "alike.ts" })
      const digests = ["a", "b"].map((each) => report.outputs[each]!.digest)
      const wanted = (...numbers: ReadonlyArray<number>) =>
        assert.deepStrictEqual(
          digests,
          numbers.map((n) => createHash("sha256").update(`${n}`).digest("hex"))
        )
      return { ran: [...ran(report)].sort(), wanted }
    }
    try {
      for (const exported of ["export const", "const"]) {
        write(`${exported} first = scaled(2); ${exported} second = scaled(3)`)
        for (const stages of [["a", "b"], []]) {
          const found = await run()
          found.wanted(20, 30)
          assert.deepStrictEqual(found.ran, stages)
        }
      }
      for (const alike of ["[2, 3].map((by) => scaled(by))", "[scaled(2), scaled(3)]"]) {
        write(`const [first, second] = ${alike}`)
        const { code, last } = await project.start("run", [], { pipeline: "alike.ts" }).printed
        assert.strictEqual(code, 1)
        assert.include(
          (last as { readonly message: string }).message,
          "several operators scaled are made by the same code"
        )
      }
      write("const [first, second] = [scaled(2), scaled(2)]")
      project.edit("alike.ts", "p.add(first", "p.add(scaled(5)")
      const inside = await project.start("run", [], { pipeline: "alike.ts" }).printed
      assert.include(
        (inside.last as { readonly message: string }).message,
        "operator scaled is made by a pipeline's function"
      )
    } finally {
      project.remove()
    }
  })
})

/** Modules written as JavaScript, by path; `./x` is the module `x`. */
const modulesOf = (sources: { readonly [path: string]: string }): ReadonlyMap<string, ProjectModule> =>
  new Map(
    Object.entries(sources).map(([name, source]) => {
      const code = parseModule(source)
      const resolved = new Map(
        code.specifiers.filter((each) => each.startsWith("./")).map((each) => [each, each.slice(2)])
      )
      const locate = (offset: number) => ({ line: source.slice(0, offset).split("\n").length, column: 1 })
      const rest = { source: source.split("\n"), locate, trusted: name.startsWith("framework") }
      return [name, { name, code, digest: source, resolved, dynamic: [], ...rest }]
    })
  )

const digestOf = (sources: { readonly [path: string]: string }) =>
  codeClosure(modulesOf(sources), [{ path: "main", exported: "op" }]).tree.digest

const wholeDigestOf = (sources: { readonly [path: string]: string }) =>
  codeClosure(modulesOf(sources), [{ path: "main" }]).tree.digest

describe("the closure of an export", () => {
  const base = {
    main: `import { a } from "./lib"; import * as more from "./more"; export const op = make(() => a() + more.c()); export const other = make(1)`,
    lib: `export function a() { return b() }\nfunction b() { return 1 }\nexport function unused() { return 2 }`,
    more: `export * from "./deep"; export const d = 4`,
    deep: `export const c = () => 3; export const e = () => 5`
  }
  const same = (edit: Partial<typeof base>) => assert.strictEqual(digestOf({ ...base, ...edit }), digestOf(base))
  const other = (edit: Partial<typeof base>) => assert.notStrictEqual(digestOf({ ...base, ...edit }), digestOf(base))

  it("follows calls, imports, re-exports and members of namespaces", () => {
    other({ lib: base.lib.replace("return 1", "return 9") })
    other({ deep: base.deep.replace("=> 3", "=> 9") })
    other({ main: base.main.replace("a() +", "a() -") })
  })

  it("leaves out what is not reached", () => {
    same({ lib: base.lib.replace("return 2", "return 9") })
    same({ deep: base.deep.replace("=> 5", "=> 9") })
    same({ more: base.more.replace("d = 4", "d = 9") })
    same({ main: base.main.replace("make(1)", "make(9)") })
  })

  it("sees comments and white space as nothing, in templates too where they are no text", () => {
    same({ lib: `// hi\n${base.lib.replaceAll(" ", "\n  /* x */ ")}` })
    const template = (inside: string) => ({ main: `export const op = \`a \${${inside}} b\`` })
    assert.strictEqual(digestOf(template("x+1")), digestOf(template(" x /* y */ + 1 ")))
    assert.notStrictEqual(digestOf({ main: "export const op = `a b`" }), digestOf({ main: "export const op = `a  b`" }))
    assert.notStrictEqual(
      digestOf({ main: "export const op = a + +b" }),
      digestOf({ main: "export const op = a ++ + b" })
    )
  })

  it("counts statements of every module that is loaded, and their order", () => {
    other({ lib: `${base.lib}\nregister(1)` })
    other({ deep: `setup(); ${base.deep}` })
    const two = { ...base, lib: `${base.lib}\nfirst(); second()` }
    assert.notStrictEqual(digestOf(two), digestOf({ ...base, lib: `${base.lib}\nsecond(); first()` }))
  })

  it("counts what changes something that it reaches, though nothing refers to that", () => {
    const main = `import { look } from "./lib"; import "./more"; export const op = () => look("a")`
    const table =
      "export const table = new Map(); export const look = (k) => table.get(k); class A { m() { return 1 } }"
    const fills = "const fill = (to, n) => { to.set(n) }; const add = (n) => { table.set(n); return n }"
    const lib = (more: string) => ({ main, lib: `${table}; ${fills}; ${more}`, more: "" })
    const inMore = (code: string) => ({ ...lib(""), more: `import { table } from "./lib"; ${code}` })
    const changing = [
      'const one = table.set("a", 1)',
      'export const one = add("a", 1)',
      "const one = fill(table, 1)",
      "const one = [1].forEach((n) => table.set(n))",
      "const one = (() => table.set(1))()",
      "const one = Object.assign(table, { a: 1 })",
      "const one = (table.a = 1)",
      "const one = table.get(1).push(2)",
      "class B { static { table.set(1) } }",
      "export default add(1)"
    ]
    for (const code of changing) {
      const more = code.includes("add") || code.includes("fill") ? [lib] : [lib, inMore]
      for (const at of more) {
        assert.notStrictEqual(digestOf(at(code)), digestOf(at(code.replace("1", "7"))), code)
        assert.notStrictEqual(digestOf(at(code)), digestOf(at("")), code)
      }
    }
    const apart = [
      "const one = make(table, 1)",
      "const one = [table, 1].map((each) => each)",
      "const one = table.get(1).slice(1)",
      "export const one = () => table.set(1)",
      "class B { m() { table.set(1) } }",
      "const other = new Map(); const one = other.set(1)"
    ]
    for (const code of apart) {
      for (const at of [lib, inMore]) assert.strictEqual(digestOf(at(code)), digestOf(at("")), code)
    }
    const method = (n: number) => lib(`const one = (look.also = ${n}); const two = (A.prototype.m = () => ${n})`)
    assert.notStrictEqual(digestOf(method(1)), digestOf(method(2)))
  })

  it("does not depend on names of files, but on which of two equal names is meant", () => {
    const { lib, ...rest } = base
    assert.strictEqual(digestOf({ ...rest, moved: lib, main: base.main.replace("./lib", "./moved") }), digestOf(base))
    const pair = (x: string, y: string) => ({
      main: `import { f } from "./${x}"; import { f as g } from "./${y}"; export const op = [f, g, f]`,
      one: "export const f = 1",
      two: "export const f = 2"
    })
    assert.notStrictEqual(digestOf(pair("one", "two")), digestOf(pair("two", "one")))
  })

  it("tells packages and their exports apart", () => {
    const uses = (from: string, name: string) => ({
      main: `import { ${name} as map } from "${from}"; export const op = map`
    })
    assert.notStrictEqual(digestOf(uses("effect/Array", "map")), digestOf(uses("effect/Option", "map")))
    assert.notStrictEqual(digestOf(uses("effect/Array", "map")), digestOf(uses("effect/Array", "filter")))
    const members = (member: string) => ({ main: `import * as A from "effect/Array"; export const op = A.${member}` })
    assert.notStrictEqual(digestOf(members("map")), digestOf(members("filter")))
  })

  it("handles cycles, defaults, classes, destructuring and the whole of a module", () => {
    const sources = (x: number, y: number, z: number) => ({
      main: `import Thing, { even } from "./cycle"; const { p, q: [r = even] } = make(${x}); export class op extends Thing { m() { return r } }`,
      cycle: `import { odd } from "./back"; export default class { static s = ${y} }; export const even = (n) => n === 0 || odd(n - 1)`,
      back: `import { even } from "./cycle"; export const odd = (n) => n !== ${z} && even(n - 1)`
    })
    const digests = new Set(
      [sources(1, 2, 3), sources(9, 2, 3), sources(1, 9, 3), sources(1, 2, 9)].map((each) => digestOf(each))
    )
    assert.strictEqual(digests.size, 4)
    const edited = { ...base, main: base.main.replace("make(1)", "make(9)") }
    assert.notStrictEqual(wholeDigestOf(base), wholeDigestOf(edited))
  })
})

describe("what an operator needs to run", () => {
  const from = 'import * as Operator from "../../src/operator/operator.ts"\n'
  const digestOf = (options: string, call = "Operator.make", header = from) =>
    parseModule(`${header}const size = 1;\nconst train = ${call}("train", {${options}});`).declarations.at(-1)!
  const [before, after] = ["usesDevice: true", "run: () => 1"]

  it("is no part of its code, wherever it stands", () => {
    const { digest, references } = digestOf([before, after].join(", "))
    for (const resources of ["resources: { gpu: 1, memory: 4e10 }", "resources: { memory: size }", "resources"]) {
      for (const parts of [
        [resources, before, after],
        [before, resources, after],
        [before, after, resources]
      ]) {
        const found = digestOf(parts.join(", "))
        assert.strictEqual(found.digest, digest, parts.join())
        assert.deepStrictEqual(
          found.references.map(({ name }) => name),
          references.map(({ name }) => name)
        )
      }
    }
  })

  it("all else of that name is", () => {
    const ways: ReadonlyArray<Parameters<typeof digestOf>> = [
      ["run: () => ({ resources: 1 })"],
      ["[resources]: 1, run: () => 1"],
      ["resources: 1, run: () => 1", "Other.make"],
      ["resources: 1, run: () => 1", "Operator.start"],
      ["resources: 1, run: () => 1", "Operator.make", 'import * as Operator from "./mine.ts"\n']
    ]
    for (const [options, ...rest] of ways) {
      const changed = digestOf(options.replaceAll("resources", "resource"), ...rest)
      assert.notStrictEqual(digestOf(options, ...rest).digest, changed.digest, options)
      const other = digestOf(options.replaceAll("1", "2"), ...rest)
      assert.notStrictEqual(digestOf(options, ...rest).digest, other.digest, options)
    }
  })
})
