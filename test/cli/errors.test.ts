/** What a person reads when something is wrong: the place, the cause, the next step; and exit code 1. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { counting, Folder } from "./command-line.ts"

const folder = new Folder()
beforeAll(() => {
  folder.write("nothing.ts", "export const pipeline = 1\n")
  folder.write("number.ts", "export default 1\n")
  folder.write(
    "throws.ts",
    "interface A { readonly b: { readonly c: number } }\nconst a = {} as A\nexport default a.b.c\n"
  )
  folder.write("syntax.ts", "export default 1 +\n")
  folder.write("imports.ts", 'import { x } from "./gone.ts"\nexport default x\n')
})
afterAll(() => folder.remove())

const refused = async (...args: ReadonlyArray<string>) => {
  const { code, errors, out } = await folder.start(args)
  expect(out).toBe("")
  expect(code).toBe(1)
  expect(errors).toMatch(/^error: /)
  expect(errors).not.toMatch(/\n\s+at .*node:internal/)
  return errors
}

test.concurrent("a file that is not there, with the one that was meant", async () => {
  expect(await refused("serve", "throw.ts", "--port", "0")).toContain("Did you mean throws.ts?")
  expect(await refused("run", "throw.ts")).toBe("error: there is no file throw.ts\n       Did you mean throws.ts?\n")
})

test.concurrent("a folder, with the files in it", async () => {
  expect(await refused("run", ".")).toMatch(/is a folder.*\n.*number\.ts/)
})

test.concurrent("no default export", async () => {
  expect(await refused("plan", "nothing.ts")).toMatch(
    /nothing\.ts has no default export\n.*export default Pipeline\.make/
  )
})

test.concurrent("a default export that is no pipeline", async () => {
  expect(await refused("run", "number.ts")).toContain("the default export of number.ts is a value of type number")
})

test.concurrent("a module that throws, with the line of the person's own code", async () => {
  const errors = await refused("run", "throws.ts")
  expect(errors).toContain(
    "throws.ts could not be loaded: TypeError: Cannot read properties of undefined (reading 'c')"
  )
  expect(errors).toContain("at throws.ts:3:20")
})

test.concurrent("a module that does not parse, and one whose import is not there", async () => {
  expect(await refused("run", "syntax.ts")).toContain("syntax.ts:1")
  expect(await refused("run", "imports.ts")).toMatch(/Cannot find module 'gone\.ts'/)
})

test.concurrent("a parameter that is not there, with the one that was meant", async () => {
  expect(await refused("run", counting, "--set", "count.step=3")).toContain("did you mean count.steps?")
})

test.concurrent("a value that does not fit, with its parameter", async () => {
  const errors = await refused("plan", counting, "--set", "count.steps=many")
  expect(errors).toContain("Expected number")
  expect(errors).toContain("count.steps=many")
})

test.concurrent("arguments that cannot be parsed, with where to read on", async () => {
  expect(await refused("run", counting, "--set", "steps")).toMatch(/path=value.*\n.*See ptmflow run --help/s)
  expect(await refused("run", counting, "--threads", "0")).toContain("a whole number from 1")
  expect(await refused("plan", counting, "--jsn")).toContain("--json")
  expect(await refused("lineag", "x")).toContain("Did you mean lineage?")
})

test.concurrent("a reference that names nothing, and a store that is none", async () => {
  expect(await refused("lineage", "sft", "--store", "empty")).toContain("there is no sft: nothing has run yet")
  expect(await refused("run", counting, "--store", ".")).toContain("is not empty and is no store")
  for (const command of ["fsck", "gc", "reindex"])
    expect(await refused(command, "--store", "mistyped")).toContain("there is no store in mistyped")
})

test.concurrent("a store, a port and a number of rows that cannot be", async () => {
  folder.write("file", "")
  expect(await refused("status", "--store", "file")).toContain("file is a file, and a store is a folder")
  expect(await refused("serve", "--port", "99999")).toContain("a whole number from 0 to 65535")
  expect(await refused("show", "x", "--rows", "-1")).toContain("a whole number from 0")
  expect((await folder.start(["plan", counting, "--as", "dot", "--json"])).errors).toContain("leave one of them out")
})

test.concurrent("with --json the same as one JSON value on standard output", async () => {
  const told = async (...args: ReadonlyArray<string>) => {
    const { code, errors, out } = await folder.start([...args, "--json"])
    expect(code).toBe(1)
    const { error } = JSON.parse(out) as { error: { tag: string; message: string; place: string; next: string } }
    expect(errors.startsWith(`error: ${error.message.slice(0, 40)}`)).toBe(true)
    return error
  }
  expect(await told("run", "throw.ts")).toEqual({
    tag: "CommandError",
    message: "there is no file throw.ts",
    place: "",
    next: "Did you mean throws.ts?"
  })
  expect(await told("plan", "throws.ts")).toMatchObject({ tag: "CommandError", place: "throws.ts:3:20" })
  expect(await told("run", counting, "--set", "count.step=3", "--detach")).toMatchObject({ tag: "PipelineError" })
  expect(await told("status", "--jsn")).toMatchObject({ tag: "UsageError", next: "Did you mean --json?" })
  expect(await told("lineage", "sft", "--store", "empty")).toMatchObject({ tag: "LineageError" })
  expect(await told("fsck", "--store", ".")).toMatchObject({ tag: "StoreError", place: folder.root })
})

test.concurrent("--debug shows the stack", async () => {
  const { code, errors } = await folder.start(["run", "number.ts", "--debug"])
  expect(code).toBe(1)
  expect(errors).toMatch(/CommandError.*\n\s+at /s)
})
