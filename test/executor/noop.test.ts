/** What a run in which nothing changed need not do (row 40 of the table of features): its time is measured by `bench/noop.ts`. */
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Project, ran } from "./project.ts"

describe("a run in which nothing changed (row 40)", () => {
  let project: Project
  const { NODE_OPTIONS } = process.env
  beforeAll(async () => {
    project = new Project()
    await project.run()
  })
  afterAll(() => {
    project.remove()
    if (NODE_OPTIONS === undefined) delete process.env["NODE_OPTIONS"]
    else process.env["NODE_OPTIONS"] = NODE_OPTIONS
  })

  it("loads no compiler, no parser, no Arrow and no database, and adds one record", async () => {
    const loads = path.join(project.root, "loads.mjs")
    const log = path.join(project.root, "loads.txt")
    fs.writeFileSync(
      loads,
      `import { registerHooks } from "node:module"
      import { appendFileSync } from "node:fs"
      registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(log)}, url + "\\n"); return next(url, context) } })`
    )
    process.env["NODE_OPTIONS"] = `--import ${pathToFileURL(loads).href}`
    const records = path.join(project.store, "records")
    const lines = () => fs.readFileSync(records, "utf8").split("\n").filter(Boolean)
    const before = lines()
    assert.deepStrictEqual(ran(await project.run()), [])
    const added = lines().slice(before.length)
    assert.deepStrictEqual(
      added.map((line) => line.split(" ")[2]),
      ["run"]
    )
    const loaded = fs.readFileSync(log, "utf8")
    assert.include(loaded, "src/executor/run.ts")
    for (const name of ["/esbuild/", "/apache-arrow/", "/koffi/", "node:sqlite", "src/device/cpu/"]) {
      assert.notInclude(loaded, name)
    }
  })
})
