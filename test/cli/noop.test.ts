/**
 * What `run` costs where nothing changed (row 40): what it does is counted, and grows with the stages and with nothing else; the time of a whole
 * process is printed, and only a blow-up fails.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { coneOf, dagOf } from "../../bench/dag.ts"
import { Folder } from "./command-line.ts"

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const pipeline = file("../../bench/ours/dag.ts")

interface Counts {
  readonly stats: number
  readonly opened: number
  readonly listed: number
  readonly bytesRead: number
  readonly parsed: number
  readonly modules: ReadonlyArray<string>
}

/** Times as long as a process that does nothing: a machine that is slow, or busy, is no failure. */
const blowUp = 10

/** What `run` and `plan` need only where something is to be done, or shown. */
const needless =
  /\/(esbuild|acorn|apache-arrow|koffi|platform-node|platform-node-shared)\/|node:sqlite|effect\/dist\/(cli|Stream|Channel|FileSystem)|src\/(device\/(cpu|cuda|tfjs)|engine|table|page)\//

describe("run, where nothing changed (row 40)", () => {
  const folders = new Map<number, Folder>()
  const cache = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-noop-cache-"))
  beforeAll(() => {
    for (const stages of [100, 1000]) {
      const folder = new Folder()
      execFileSync(process.execPath, [file("fill-dag.ts"), folder.root, String(stages)], { stdio: "ignore" })
      folders.set(stages, folder)
    }
  }, 180_000)
  afterAll(() => {
    for (const folder of folders.values()) folder.remove()
    fs.rmSync(cache, { recursive: true })
  })

  const noop = (stages: number, command = "run", env: NodeJS.ProcessEnv = {}) =>
    folders.get(stages)!.start([command, pipeline, "--set", "folder=src", "--set", `stages=${stages}`], {
      env: { PTMFLOW_CACHE: cache, ...env }
    })

  /** What a process did; one before it has left everything as later ones find it. */
  const counted = async (stages: number, command: string): Promise<Counts> => {
    const folder = folders.get(stages)!
    const counts = path.join(folder.root, "counts.json")
    await noop(stages, command)
    const ended = await noop(stages, command, {
      COUNTS: counts,
      NODE_OPTIONS: `--import ${pathToFileURL(file("count.mjs")).href}`
    })
    assert.strictEqual(ended.code, 0, ended.errors)
    return JSON.parse(fs.readFileSync(counts, "utf8")) as Counts
  }

  /** The files of the bundle that a no-op loads. */
  const bundledModules = (): ReadonlyArray<string> => {
    const start = path.join(cache, "start")
    const place = path.join(start, fs.readdirSync(start)[0]!)
    const { modules, name } = JSON.parse(fs.readFileSync(path.join(place, "note.json"), "utf8")) as {
      readonly name: string
      readonly modules: ReadonlyArray<readonly [string, string]>
    }
    return modules.flatMap(([file], index) =>
      fs.readFileSync(path.join(place, name, `${index}.mjs`), "utf8").includes("bundle-0.mjs") ? [file] : []
    )
  }

  for (const command of ["run", "plan"]) {
    it(`${command}: one look at each blob, no record of a stage read or parsed, and no module that is not needed`, async () => {
      const few = await counted(100, command)
      const many = await counted(1000, command)
      const each = (what: Exclude<keyof Counts, "modules">) => (many[what] - few[what]) / 900
      // One in ten stages has a source file beside its result.
      assert.isAtMost(each("stats"), 1.2)
      assert.isAtMost(each("parsed"), 0.1)
      // Of a stage what its copy holds: its record in the journal has 2,000 bytes.
      assert.isAtMost(each("bytesRead"), 600)
      assert.strictEqual(many.opened, few.opened)
      assert.strictEqual(many.listed, few.listed)

      const loaded = ({ modules }: Counts) => modules.filter((url) => !url.startsWith("node:")).toSorted()
      assert.deepStrictEqual(loaded(many), loaded(few))
      assert.isAtMost(loaded(few).length, 30)
      // Modules are files too.
      assert.isAtMost(few.opened, loaded(few).length + 12)
      const inside = bundledModules()
      assert.isAbove(inside.length, 150)
      assert.deepStrictEqual(
        [...few.modules, ...inside].filter((url) => needless.test(url)),
        []
      )
    })
  }

  it("one changed leaf costs its cone and no more", async () => {
    const dag = dagOf(100)
    const leaf = "s0-3"
    fs.writeFileSync(path.join(folders.get(100)!.root, "src", `${leaf}.txt`), "changed")
    const args = ["run", pipeline, "--set", "folder=src", "--set", "stages=100", "--json"]
    const ended = await folders.get(100)!.start(args)
    const finished = ended.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly _tag: string; readonly stage?: string })
      .flatMap(({ _tag, stage }) => (_tag === "StageFinished" ? [stage!] : []))
    const cone = coneOf(dag, leaf)
    assert.deepStrictEqual(finished.toSorted(), cone.toSorted())
    assert.isBelow(cone.length, 80)

    // By another way than `coneOf` goes: what a stage depends on, up to the leaves.
    const byName = new Map(dag.map((stage) => [stage.name, stage]))
    const leaves = (name: string): ReadonlyArray<string> => {
      const { parents } = byName.get(name)!
      return parents.length === 0 ? [name] : parents.flatMap(leaves)
    }
    const reached = dag.flatMap(({ name }) => (leaves(name).includes(leaf) ? [name] : []))
    assert.deepStrictEqual(finished.toSorted(), reached.toSorted())
    for (const { name, parents } of dag) {
      const layer = Number(name.slice(1).split("-")[0])
      assert.isTrue(layer === 0 ? parents.length === 0 : parents.length >= 1 && parents.length <= 3)
      for (const parent of parents) assert.strictEqual(Number(parent.slice(1).split("-")[0]), layer - 1)
    }
  })

  it("is told whole in a pipe, which takes less at once", async () => {
    const { out } = await folders.get(1000)!.start(["status", "--json"])
    const { newest } = JSON.parse(out) as { readonly newest: { readonly stages: ReadonlyArray<unknown> } }
    assert.strictEqual(newest.stages.length, 1000)
    assert.isAbove(out.length, 2 ** 17)
  })

  it("adds one record", async () => {
    const records = path.join(folders.get(1000)!.root, ".ptmflow/records")
    const lines = () => fs.readFileSync(records, "utf8").split("\n").filter(Boolean)
    const before = lines()
    await noop(1000)
    assert.deepStrictEqual(
      lines()
        .slice(before.length)
        .map((line) => line.split(" ")[2]),
      ["run"]
    )
  })

  it("takes no longer than ten times what it takes to start and say the version", async () => {
    const times = { noop: Number.POSITIVE_INFINITY, start: Number.POSITIVE_INFINITY }
    const timed = async (what: keyof typeof times, run: () => Promise<{ readonly out: string }>) => {
      const began = performance.now()
      const { out } = await run()
      times[what] = Math.min(times[what], performance.now() - began)
      return out
    }
    for (let turn = 0; turn < 3; turn++) {
      await timed("start", () => folders.get(1000)!.start(["--version"]))
      assert.match(await timed("noop", () => noop(1000)), /nothing to do: 1000 stages reused/)
    }
    const [whole, start] = [times.noop.toFixed(0), times.start.toFixed(0)]
    console.log(`no-op of 1,000 stages, whole process: ${whole} ms (aimed at: 300); ptmflow --version: ${start} ms`)
    assert.isBelow(times.noop, blowUp * times.start)
  })
})
