/** `why`, `why-not` and `lint` (rows 24, 26, 27 and 42 of the table of features). */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Schema from "effect/Schema"
import { afterAll, expect, test } from "vitest"
import { Plan } from "../../src/executor/plan.ts"
import { Why, WhyNot } from "../../src/executor/why.ts"
import { counting, Folder } from "./command-line.ts"

const folder = new Folder()
afterAll(() => folder.remove())

test("why and why-not of a stage that is reused, that runs, and that may be reused", async () => {
  expect((await folder.start(["run", counting])).code).toBe(0)
  const reused = await folder.start(["why", counting, "count"])
  expect(reused.code).toBe(0)
  expect(reused.out).toMatch(/^✓ count is reused\n\nIts result\n {2}made .*, in .* by stage count of counting/)
  expect(reused.out).toContain("it ran then as it had never run")
  expect(reused.out).toMatch(/parameter steps +5\n[\s\S]*input from +json [0-9a-f]{12}\n[\s\S]*key +[0-9a-f]{64}\n/)

  const set = ["--set", "count.steps=6"]
  const runs = await folder.start(["why", counting, "count", ...set])
  expect(runs.code).toBe(2)
  expect(runs.out).toMatch(/^● count runs, about .*\n {4}parameter steps: 5 -> 6\n/)
  const may = await folder.start(["why", counting, "again.1", ...set])
  expect(may.code).toBe(2)
  expect(may.out).toMatch(/First cause\n {4}● count {2}parameter steps: 5 -> 6\n {2}↓ ○ double\.1\n {2}↓ ○ again\.1\n/)
  const not = await folder.start(["why-not", counting, "count", ...set])
  expect(not.code).toBe(2)
  expect(not.out).toMatch(/^● count runs.*\n\n {2}result made .*, in .*stage count .*\n {4}parameter steps: 5 -> 6\n/)

  const json = (text: string) => JSON.parse(text) as unknown
  Schema.decodeUnknownSync(Why)(json((await folder.start(["why", counting, "again.1", ...set, "--json"])).out))
  Schema.decodeUnknownSync(WhyNot)(json((await folder.start(["why-not", counting, "again.1", ...set, "--json"])).out))
  const plan = await folder.start(["plan", counting, ...set, "--json"])
  expect(plan.code).toBe(2)
  const { stages } = Schema.decodeUnknownSync(Plan)(json(plan.out))
  expect(stages.find(({ stage }) => stage === "double.2")!.cause).toEqual({
    stage: "count",
    message: "parameter steps: 5 -> 6"
  })
  const missing = await folder.start(["why", counting, "cuont"])
  expect(missing.code).toBe(1)
  expect(missing.errors).toContain("has no stage cuont; did you mean count?")
})

test("lint names the places, and plan refuses what lint finds", async () => {
  expect(await folder.start(["lint", counting])).toMatchObject({ code: 0 })
  const source = (file: string) => fileURLToPath(new URL(`../../src/${file}`, import.meta.url))
  const code = (read: string) => `
    import * as Effect from "effect/Effect"
    import * as Schema from "effect/Schema"
    import * as Operator from "${source("operator/operator.ts")}"
    import * as Pipeline from "${source("pipeline/pipeline.ts")}"
    const port = { kind: "n", contract: "n", encode: () => Effect.die("no"), decode: () => Effect.die("no") }
    const timed = Operator.make("timed", {
      description: "Says what time it is",
      params: Schema.Struct({}),
      inputs: {},
      outputs: { n: port },
      run: () => Effect.sync(() => ({ n: ${read} }))
    })
    export default Pipeline.make("timed", {}, (p) => ({ n: p.add(timed).n }))`
  folder.write("package.json", `{ "name": "mine", "type": "module" }`)
  folder.write("timed.ts", code("Date.now()"))
  fs.symlinkSync(fileURLToPath(new URL("../../node_modules", import.meta.url)), path.join(folder.root, "node_modules"))
  const lint = await folder.start(["lint", "timed.ts"])
  expect(lint.code).toBe(1)
  expect(lint.out).toMatch(/^timed\.ts:12:42: reads the clock \(Date\.now\) {2}timed\n/)
  const found = JSON.parse((await folder.start(["lint", "timed.ts", "--json"])).out)
  expect(found).toEqual([
    { kind: "time", what: "Date.now", file: "timed.ts", line: 12, column: 42, operators: ["timed"] }
  ])
  const plan = await folder.start(["plan", "timed.ts"])
  expect(plan.code).toBe(1)
  expect(plan.errors).toContain("timed.ts:12:42: reads the clock (Date.now)")
  folder.write("timed.ts", code("/* ptmflow-allow time: for this test */ Date.now()"))
  expect((await folder.start(["plan", "timed.ts"])).code).toBe(2)
})
