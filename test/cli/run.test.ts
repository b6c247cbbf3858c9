/** Runs and what is asked of them afterwards, each in a process of its own. */
import { execFileSync } from "node:child_process"
import * as path from "node:path"
import * as Schema from "effect/Schema"
import { afterAll, expect, test } from "vitest"
import { Event } from "../../src/executor/event.ts"
import { Plan } from "../../src/executor/plan.ts"
import { counting, Folder } from "./command-line.ts"

const folders: Array<Folder> = []
const makeFolder = () => {
  const folder = new Folder()
  folders.push(folder)
  return folder
}
afterAll(() => {
  for (const folder of folders) folder.remove()
})

const decodeEvent = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.toCodecJson(Event)))
const escapeCode = "\u001b"

test("a pipeline from the first run to lineage; exit codes and JSON of plan (row 42)", async () => {
  const folder = makeFolder()

  const due = await folder.start(["plan", counting, "--json"])
  expect(due.code).toBe(2)
  const plan = Schema.decodeUnknownSync(Schema.fromJsonString(Plan))(due.out)
  expect(plan.stages.map(({ action }) => action)).toEqual(plan.stages.map(() => "run"))

  const first = await folder.start(["run", counting, "--json"])
  expect(first.code).toBe(0)
  expect(first.errors).toContain("an operator that prints")
  const events = first.out
    .trimEnd()
    .split("\n")
    .map((line) => decodeEvent(line))
  expect(events[0]).toMatchObject({ _tag: "RunStarted", pipeline: "counting", stages: 9 })
  expect(events.filter(({ _tag }) => _tag === "StageFinished")).toHaveLength(9)
  expect(events.at(-1)).toMatchObject({ _tag: "RunFinished", status: "succeeded", ran: 9 })

  const second = await folder.start(["run", counting])
  expect(second.code).toBe(0)
  expect(second.errors).toBe("")
  expect(second.out).toContain("counting: nothing to do: 9 stages reused")
  expect(second.out).toMatch(/first {2}6 +things\n {2}share {2}0\.097 +of the last/)
  expect(second.out).toMatch(/Count to\n {4}counted {2}62/)
  expect(second.out).not.toContain(escapeCode)

  const nothing = await folder.start(["plan", counting])
  expect(nothing.code).toBe(0)
  expect(nothing.out).toContain("nothing to do: 9 stages reused")
  const changed = await folder.start(["plan", counting, "--set", "count.steps=6"])
  expect(changed.code).toBe(2)
  expect(changed.out).toMatch(/● count +← start.*\n.*parameter steps: 5 -> 6/)
  expect(changed.out).toMatch(/╭ ○ double.*\n╰ ○ again/)

  const status = await folder.start(["status"])
  expect(status.out).toMatch(/^counting {2}succeeded {2}just now[\s\S]*Earlier\n {2}counting {2}succeeded .*9 ran\n$/)
  const { earlier, newest } = JSON.parse((await folder.start(["status", "--json"])).out)
  expect(newest).toMatchObject({ pipeline: "counting", status: "succeeded", size: 9 })
  expect(earlier).toMatchObject([{ status: "succeeded", ran: 9, failed: 0 }])

  const tree = await folder.start(["lineage", "last"])
  expect(tree.out).toMatch(/^● again\.3\.number {2}json [0-9a-f]{12}/)
  expect(tree.out).toMatch(/● start\.number .*\n {3}number {2}value 1\n$/)
  const { nodes, root } = JSON.parse((await folder.start(["lineage", "last", "--json"])).out)
  expect(nodes.map(({ stage }: { stage: string }) => stage).toSorted()).toEqual([
    "again.1",
    "again.2",
    "again.3",
    "count",
    "double.1",
    "double.2",
    "double.3",
    "start"
  ])
  expect(nodes.find(({ id }: { id: string }) => id === root).stage).toBe("again.3")
  const down = await folder.start(["lineage", "count", "--down"])
  expect(down.out).toMatch(/1 {2}double\.1\.number[\s\S]*again\.3\.number/)
  const shown = await folder.start(["show", "report"])
  expect(shown.out).toMatch(/^report\.report {2}report[\s\S]*share/)
  const refused = await folder.start(["generate", "last", "--prompt", "x"])
  expect(refused.errors).toContain("again.3.number is a json, not a checkpoint")
})

test("a stage that fails: what else can run has run, and the exit code is 1", async () => {
  const folder = makeFolder()
  const { code, errors, out } = await folder.start(["run", counting, "--set", "count.failAt=3"])
  expect(code).toBe(1)
  expect(errors).toBe("")
  expect(out).toContain("failed count (OperatorError): the loss is NaN at step 3")
  expect(out).toMatch(/counting: failed in .*: 1 ran, 1 failed, 7 not run/)
})

test("a defect of an operator is told by its first line of code, not by a stack", async () => {
  const folder = makeFolder()
  const { code, out } = await folder.start(["run", counting, "--set", "throws=true"])
  expect(code).toBe(1)
  expect(out).toMatch(/failed double\.1 \(Defect\): TypeError: number is undefined\n {2}at .*operators\.ts:\d+:\d+\n/)
  expect(out).not.toContain("node_modules")
})

test("Ctrl-C stops a run so that the next one goes on", async () => {
  const folder = makeFolder()
  const args = ["run", counting, "--set", "count.milliseconds=100", "--set", "count.steps=30"]
  const stopped = await folder.start([...args, "--json"], {
    onLine: (line, child) => {
      const event = decodeEvent(line)
      if (event._tag === "StageProgress" && event.step === 4) child.kill("SIGINT")
    }
  })
  expect(stopped.code).toBe(130)
  expect(decodeEvent(stopped.out.trimEnd().split("\n").at(-1)!)).toMatchObject({
    _tag: "RunFinished",
    status: "interrupted"
  })
  const { code, out } = await folder.start(args)
  expect(code).toBe(0)
  const step = Number(/resumed count from step (\d+)/.exec(out)?.[1])
  expect(step).toBeGreaterThanOrEqual(3)
  expect(out).toMatch(/count to\n.*counted {2}262/i)
})

test("what an interrupted run says to type", async () => {
  const folder = makeFolder()
  const { code, out } = await folder.start(["run", counting, "--set", "count.milliseconds=200"], {
    onLine: (line, child) => {
      if (line.startsWith("started count")) child.kill("SIGTERM")
    }
  })
  expect(code).toBe(143)
  expect(out).toContain(`  ptmflow run ${counting} --set count.milliseconds=200`)
})

test("colours: with FORCE_COLOR, not with NO_COLOR or --no-color, never in a log", async () => {
  const folder = makeFolder()
  const env = { FORCE_COLOR: "1" }
  expect((await folder.start(["--help"], { env })).out).toContain(escapeCode)
  expect((await folder.start(["--help"], { env: { ...env, NO_COLOR: "1" } })).out).not.toContain(escapeCode)
  expect((await folder.start(["--help", "--no-color"], { env })).out).not.toContain(escapeCode)
  expect((await folder.start(["run", counting], { env })).out).not.toContain(escapeCode)
})

test("doctor finds this machine fit, and says what is wrong with a store", async () => {
  const folder = makeFolder()
  const found = JSON.parse((await folder.start(["doctor", "--json"])).out)
  expect(found.map(({ name }: { name: string }) => name)).toEqual([
    "Node",
    "C++ compiler",
    "CPU device",
    "CUDA device",
    "TFJS device",
    "Device",
    "Store",
    "Disk"
  ])
  folder.write("file.txt", "")
  const { code, out } = await folder.start(["doctor", "--store", "."])
  expect(code).toBe(1)
  expect(out).toMatch(/✗ Store +\.\n.*no store/)
  const without = await folder.start(["doctor"], { env: { CXX: "no-such-compiler", XDG_CACHE_HOME: folder.root } })
  expect(without.out).toMatch(/[!✗] C\+\+ compiler/)
  expect(without.out).toMatch(/– CPU device/)
})

const oldNode = () => {
  for (const name of (process.env["PATH"] ?? "").split(path.delimiter).map((folder) => path.join(folder, "node"))) {
    try {
      const version = execFileSync(name, ["--version"], { encoding: "utf8" })
      if (Number(/^v(\d+)/.exec(version)?.[1]) < 24) return name
    } catch {
      // Not a node.
    }
  }
  return undefined
}

const old = oldNode()
if (old === undefined) console.log("skipped: starting on an old Node, as no node in PATH is older than 24")
test.skipIf(old === undefined)(
  "an old Node starts the pinned one: exit codes, signals and its death pass through",
  async () => {
    const folder = makeFolder()
    const findings = JSON.parse((await folder.start(["doctor", "--json"], { node: old! })).out)
    expect(findings[0].found).toMatch(/^(2[4-9]|[3-9]\d)\..*from the npm package node/)
    expect((await folder.start(["plan", counting], { node: old! })).code).toBe(2)

    const args = ["run", counting, "--json", "--set", "count.milliseconds=50", "--set", "count.steps=1000"]
    const when = (signal: NodeJS.Signals) => (line: string, child: { kill: (signal: NodeJS.Signals) => boolean }) => {
      if (line.includes('"step":2')) child.kill(signal)
    }
    const interrupted = await folder.start(args, { node: old!, onLine: when("SIGINT") })
    expect(interrupted.code).toBe(130)
    expect(interrupted.out).toContain('"status":"interrupted"')
    // `close` waits for the pipes, which the pinned Node holds too: it has ended.
    const killed = await folder.start(args, { node: old!, onLine: when("SIGKILL") })
    expect(killed.signal).toBe("SIGKILL")
  }
)
