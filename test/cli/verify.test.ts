/** `ptmflow verify` and `ptmflow seen` from the command line. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, expect, test } from "vitest"
import { bin, counting, Folder } from "./command-line.ts"

let folder: Folder
beforeAll(() => {
  folder = new Folder()
})
afterAll(() => folder.remove())

const source = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url))

/** A pipeline of a person's own; a number in its code can be another. */
const pipelineText = (factor: number) => `
import * as Effect from ${JSON.stringify(import.meta.resolve("effect/Effect"))}
import * as Schema from ${JSON.stringify(import.meta.resolve("effect/Schema"))}
import * as Operator from ${JSON.stringify(source("src/operator/operator.ts"))}
import * as Pipeline from ${JSON.stringify(source("src/pipeline/pipeline.ts"))}
import { Stage } from ${JSON.stringify(source("src/operator/stage.ts"))}
import * as Table from ${JSON.stringify(source("src/table/index.ts"))}
import { jsonPort } from ${JSON.stringify(source("test/executor/json-port.ts"))}

const Row = Schema.Struct({ n: Schema.Int })
const model = jsonPort(Schema.Number, "model", "checkpoint")
const rows = Operator.make("rows", {
  description: "Ten numbers",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { rows: Table.of(Row) },
  run: () => Effect.succeed({ rows: Table.fromRows(Row, Array.from({ length: 10 }, (_, n) => ({ n }))) })
})
const train = Operator.make("train", {
  description: "Three updates",
  params: Schema.Struct({}),
  inputs: { rows: Table.of(Row) },
  outputs: { model },
  run: Effect.fnUntraced(function* () {
    const stage = yield* Stage
    for (let step = 1; step <= 3; step++) {
      console.log("an operator that prints")
      yield* stage.learned({ step, loss: 1 / step, rows: { rows: [[2 * step, 2 * step + 1]] } })
    }
    return { model: ${factor} }
  })
})
export default Pipeline.make("mine", {}, (p) => {
  const table = p.add(rows)
  return { model: p.add(train, { inputs: { rows: table.rows } }).model }
})
`

test("verify proves what a run made, by its own pipeline and settings, and says so by its exit code and in lineage", async () => {
  const args = ["run", counting, "--set", "count.steps=3", "--set", "value=4"]
  expect((await folder.start(args)).code).toBe(0)
  const proven = await folder.start(["verify", "last", "--depth", "all"])
  expect(proven.errors).toContain("an operator that prints")
  expect(proven.out).toMatch(/^✓ start {2}proven: 1 output the same/)
  expect(proven.out).toMatch(/\nproven: again\.3\.number \w{12} is what its record says, by 8 stages\n$/)
  expect(proven.code).toBe(0)
  expect((await folder.start(["lineage", "last"])).out).toMatch(/proven \d{4}-\d\d-\d\d \d\d:\d\d UTC, by /)
  const shown = await folder.start(["show", "last", "--json"])
  expect(JSON.parse(shown.out).verified).toMatchObject({ verdict: "proven", stage: "again.3" })
  // With other parameters it is another stage.
  const other = await folder.start(["verify", "count", "--set", "count.steps=4", "--json"])
  expect(other.code).toBe(3)
  const { proven: isProven, stages } = JSON.parse(other.out)
  expect(isProven).toBe(false)
  expect(stages).toMatchObject([
    { stage: "count", verdict: "unverifiable", reasons: [{ kind: "parameter", from: 3, to: 4 }] }
  ])
})

test("code that is other code today is said, a result that is not what is recorded is an exit code of its own", async () => {
  fs.symlinkSync(source("node_modules"), path.join(folder.root, "node_modules"))
  folder.write("package.json", `{ "type": "module" }`)
  folder.write("mine.ts", pipelineText(1))
  const store = ["--store", "mine"]
  const ran = await folder.start(["run", "mine.ts", ...store])
  expect(ran.errors).toBe("")
  expect(ran.code).toBe(0)
  expect((await folder.start(["verify", "model", ...store])).code).toBe(0)
  const sampled = await folder.start(["verify", "model", "--sample", "30%", "--json", ...store])
  expect(JSON.parse(sampled.out).stages[0].sampled).toEqual({ of: "updates", made: 1, total: 3, ranges: "1" })
  const row = await folder.start(["seen", "rows", "5", ...store])
  expect(row.out).toMatch(/^rows\.rows row 5 .*\n● train\.model .*\n {2}learned from rows row 5, 1 of 3 updates: 2\n$/)
  const all = await folder.start(["seen", "model", "--json", ...store])
  expect(JSON.parse(all.out).tables).toMatchObject([{ stage: "rows", rows: "2-7", total: 10, learned: true }])
  expect((await folder.start(["seen", "rows", ...store])).errors).toContain("say which row of it")

  folder.write("mine.ts", pipelineText(2))
  const changed = await folder.start(["verify", "model", ...store])
  expect(changed.out).toMatch(
    /^\? train {2}not verifiable with what is here today.*\n {4}code of mine\.ts changed in .*train/
  )
  expect(changed.code).toBe(3)
  // A record that says another digest. The run before it had the other, and still has.
  folder.write("mine.ts", pipelineText(1))
  const records = path.join(folder.root, "mine", "records")
  const text = fs.readFileSync(records, "utf8")
  const line = text.split("\n").find((each) => each.includes(" stage ") && each.includes('"stage":"train"'))!
  const { crc32 } = await import("node:zlib")
  const body = line.slice(line.indexOf(" ", 9) + 1)
  const digest = /"outputs":\{"model":\{"kind":"checkpoint","digest":"(\w{64})"/.exec(body)![1]!
  const forged = body.replace(
    `"kind":"checkpoint","digest":"${digest}"`,
    `"kind":"checkpoint","digest":"${"0".repeat(64)}"`
  )
  const framed = `${crc32(forged).toString(16).padStart(8, "0")} ${Buffer.byteLength(forged)} ${forged}`
  fs.appendFileSync(records, `\n${framed}\n`)
  const differs = await folder.start(["verify", "000000000000", ...store])
  expect(differs.out).toContain(`train  differs`)
  expect(differs.out).toContain(`model 000000000000 -> ${digest.slice(0, 12)}`)
  expect(differs.code).toBe(2)
})

test("Ctrl-C ends a verification, and leaves nothing of it", async () => {
  expect((await folder.start(["run", counting, "--set", "count.milliseconds=300", "--store", "slow"])).code).toBe(0)
  const { spawn } = await import("node:child_process")
  const child = spawn(process.execPath, [bin, "verify", "count", "--store", "slow"], {
    cwd: folder.root,
    stdio: "ignore"
  })
  const temporary = path.join(folder.root, "slow", "temporary")
  const begun = () => fs.readdirSync(temporary).some((name) => name.startsWith("verify-"))
  while (!begun() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10))
  child.kill("SIGINT")
  const code = await new Promise((resolve) => child.on("close", resolve))
  expect(code).toBe(130)
  expect(fs.readdirSync(temporary)).toEqual([])
})
