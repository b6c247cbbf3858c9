/**
 * A generated graph of tiny stages, brought up to date where nothing changed and where one leaf did: whole processes, cold start included, against
 * build tools and pipeline tools.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { Bench, type Case, type Group } from "../bench.ts"
import { coneOf, type DagStage, dagOf } from "../dag.ts"
import { make, ninja } from "../peers/dag/make.ts"
import { type DagCommand, type DagPeer, type DagTool, writeCommon } from "../peers/dag/peer.ts"
import { dvc, redun, snakemake } from "../peers/dag/python.ts"
import { turborepo } from "../peers/dag/turborepo.ts"
import type { NotMeasured, Row, Sample } from "../result.ts"
import { isMeasured } from "../result.ts"

/** Those that ptmflow is to be ahead of, and the two that it is only held against. */
const peers: ReadonlyArray<{ readonly peer: DagPeer; readonly ahead: boolean }> = [
  { peer: make, ahead: false },
  { peer: ninja, ahead: false },
  { peer: turborepo, ahead: true },
  { peer: dvc, ahead: true },
  { peer: snakemake, ahead: true },
  { peer: redun, ahead: true }
]

/** Seconds that the first build of a peer may take, and one that has little to do. */
const patience = { first: 300, again: 60 }

/** Ours has to do it, whatever it takes. */
const oursPatience = 3600

/** What takes longer than this, in seconds, is done once. */
const longWork = 10

/** Seconds a stage that the first build of each peer took, so that a larger one which is hopeless is not begun. */
const pace = new Map<string, number>()

const binary = resolve(import.meta.dirname, "../../bin/ptmflow.mjs")
const pipeline = resolve(import.meta.dirname, "../ours/dag.ts")

const ptmflow = (count: number): DagTool => ({
  version: "",
  build: () => ({
    file: process.execPath,
    arguments: [binary, "run", pipeline, "--set", "folder=src", "--set", `stages=${count}`]
  }),
  source: (leaf) => `src/${leaf}.txt`,
  write: () => {}
})

/** Runs a command to its end; gives the seconds it took. */
const secondsOf = (command: DagCommand, folder: string, limit: number): Promise<number> =>
  new Promise((done, fail) => {
    const began = performance.now()
    const env = { ...process.env, ...command.environment }
    // A group of its own: what it has started ends with it.
    const child: ChildProcess = spawn(command.file, command.arguments, {
      cwd: folder,
      env,
      detached: true,
      stdio: ["ignore", "ignore", "pipe"]
    })
    let complaint = ""
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-2000)
    })
    const timer = setTimeout(() => {
      fail(new Error(`it was not done after ${limit} s and was given up`))
      process.kill(-child.pid!, "SIGKILL")
    }, limit * 1000)
    child.on("error", fail)
    child.on("close", (code) => {
      clearTimeout(timer)
      if (code === 0) done((performance.now() - began) / 1000)
      else fail(new Error(`it ended with ${code}: ${complaint.trim().split("\n").slice(-3).join(" ").slice(-400)}`))
    })
  })

/** A project that is up to date. */
interface Project {
  readonly name: string
  readonly tool: DagTool
  readonly folder: string
  readonly values: Array<number>
}

/** The stages that ran since this was last asked, by ptmflow's own record or the script's. */
const ranIn = ({ folder, name }: Project): ReadonlyArray<string> => {
  if (name === "ptmflow") {
    const records = readFileSync(join(folder, ".ptmflow/records"), "utf8").split("\n")
    const line = records.findLast((each) => each.split(" ")[2] === "run")!
    return (JSON.parse(line.slice(line.indexOf("{"))) as { readonly ran: ReadonlyArray<string> }).ran
  }
  const ran = readFileSync(join(folder, "ran"), "utf8").trim()
  writeFileSync(join(folder, "ran"), "")
  return ran === "" ? [] : ran.split("\n")
}

const expectRan = (project: Project, expected: ReadonlyArray<string>): void => {
  const ran = ranIn(project)
  const same = ran.length === expected.length && new Set([...ran, ...expected]).size === expected.length
  if (!same) throw new Error(`it does other work: ${ran.length} stages ran in place of ${expected.length}`)
}

const attempt = <A>(what: () => Promise<A>): Promise<A | NotMeasured> =>
  what().catch((error: unknown) => ({
    notMeasured: (error instanceof Error ? error.message : String(error)).replaceAll("\n", " ")
  }))

/** Writes a tool's project and builds it, and once more, as some tools take note of what they have built only then. */
const prepare = async (name: string, tool: DagTool, folder: string, dag: ReadonlyArray<DagStage>): Promise<Project> => {
  const limit = name === "ptmflow" ? oursPatience : patience.first
  const expected = (pace.get(name) ?? 0) * dag.length
  if (expected > 2 * limit) {
    throw new Error(`not tried: at the pace of fewer stages its first build would take ${expected.toFixed(0)} s`)
  }
  mkdirSync(folder)
  writeCommon(folder, dag, tool)
  tool.write(folder, dag)
  const project: Project = { name, tool, folder, values: [] }
  pace.set(name, limit / dag.length)
  pace.set(name, (await secondsOf(tool.build(folder), folder, limit)) / dag.length)
  expectRan(
    project,
    dag.map(({ name }) => name)
  )
  await secondsOf(tool.build(folder), folder, patience.again)
  expectRan(project, [])
  return project
}

/** One repeat; `leaf` is changed before. */
const repeat = async (project: Project, changed: Change | undefined, turn: number) => {
  const { folder, tool, values } = project
  if (changed !== undefined) writeFileSync(join(folder, tool.source(changed.leaf)), `changed ${turn}\n`)
  values.push(await secondsOf(tool.build(folder), folder, patience.again))
  expectRan(project, changed?.cone ?? [])
}

/** Milliseconds that a whole process may take. */
type Limit = number | null

/** Our row, then one for each peer. */
const rowsOf = (
  about: { readonly name: string; readonly work: string; readonly seconds: number; readonly limit: Limit },
  ours: Sample | NotMeasured,
  others: ReadonlyArray<{ readonly name: string; readonly ahead: boolean; readonly sample: Sample | NotMeasured }>
): ReadonlyArray<Row> => {
  const { limit, name, seconds, work } = about
  const base = { work, quantity: "latency", unit: "ms", units: 1000, flops: null, ours, others: {}, seconds } as const
  return [
    { ...base, name, peer: null, target: limit === null ? null : { kind: "most", value: limit } },
    ...others.map((other): Row => {
      const peer = { name: other.name, sample: other.sample }
      return {
        ...base,
        name: `${name}/${other.name}`,
        peer,
        target: other.ahead ? { kind: "ratio", value: 1 } : null
      }
    })
  ]
}

/** A leaf that is changed before each repeat, and what has to run then. */
interface Change {
  readonly leaf: string
  readonly cone: ReadonlyArray<string>
}

/** The sides in turns, as the machine's speed drifts. One that fails is not measured. */
const raceThose = async (
  projects: ReadonlyArray<Project | NotMeasured>,
  change: Change | undefined,
  repeats: number
): Promise<ReadonlyArray<Sample | NotMeasured>> => {
  const sides = projects.map((each) => ("notMeasured" in each ? each : { ...each, values: [] }))
  for (let turn = 0; turn < repeats; turn++) {
    for (const [i, side] of sides.entries()) {
      if ("notMeasured" in side || side.values[0]! > longWork) continue
      const failed = await attempt(() => repeat(side, change, turn))
      if (failed !== undefined) sides[i] = failed
    }
  }
  return sides.map((side) =>
    "notMeasured" in side ? side : { version: side.tool.version, variant: "", values: side.values, bytes: 0 }
  )
}

const measure = async (count: number, limit: Limit, repeats: number): Promise<ReadonlyArray<Row>> => {
  const root = mkdtempSync(join(tmpdir(), "ptmflow-dag-"))
  try {
    const dag = dagOf(count)
    const leaf = dag[7]!.name
    const open = (name: string, found: ReturnType<DagPeer["find"]>): Promise<Project | NotMeasured> =>
      "missing" in found
        ? Promise.resolve({ notMeasured: found.missing })
        : attempt(() => prepare(name, found, join(root, name.replace(" ", "-")), dag))
    let began = performance.now()
    const sides: Array<Project | NotMeasured> = [await open("ptmflow", ptmflow(count))]
    for (const { peer } of peers) sides.push(await open(peer.name, peer.find()))
    const rows: Array<Row> = []
    for (const change of [undefined, { leaf, cone: coneOf(dag, leaf) }]) {
      const [ours, ...theirs] = await raceThose(sides, change, repeats)
      const what = change === undefined ? "nothing changed" : `one leaf changed (${change.cone.length} run)`
      const about = {
        name: `dag/${count}/${change === undefined ? "noop" : "leaf"}`,
        work: `${count} tiny stages, ${what}`,
        seconds: (performance.now() - began) / 1000,
        limit: change === undefined ? limit : null
      }
      const others = peers.map(({ ahead, peer }, i) => {
        const sample = theirs[i]!
        return { name: isMeasured(sample) ? sample.version : peer.name, ahead, sample }
      })
      rows.push(...rowsOf(about, ours!, others))
      began = performance.now()
    }
    return rows
  } finally {
    rmSync(root, { recursive: true, force: true, maxRetries: 3 })
  }
}

const caseOf = (count: number, limit: Limit): Case => ({
  name: String(count),
  run: Effect.flatMap(Bench, ({ repeats }) => Effect.promise(() => measure(count, limit, repeats)))
})

export const dag: Group = {
  name: "dag",
  description:
    "bringing a graph of tiny stages up to date, start of the process included, against build and pipeline tools",
  byDefault: false,
  cases: [caseOf(1000, 300), caseOf(10000, 1500)]
}
