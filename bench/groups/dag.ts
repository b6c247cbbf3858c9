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

/** Seconds that the first build may take, and one that has little to do. */
const patience = { first: 400, again: 60 }

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
  mkdirSync(folder)
  writeCommon(folder, dag, tool)
  tool.write(folder, dag)
  const project: Project = { name, tool, folder, values: [] }
  await secondsOf(tool.build(folder), folder, patience.first)
  expectRan(
    project,
    dag.map(({ name }) => name)
  )
  await secondsOf(tool.build(folder), folder, patience.again)
  expectRan(project, [])
  return project
}

/** One repeat; `leaf` is changed before. */
const repeat = async (
  project: Project,
  changed: { readonly leaf: string; readonly cone: ReadonlyArray<string> } | undefined,
  turn: number
) => {
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

const caseOf = (name: string, count: number, options: { readonly change: boolean; readonly limit: Limit }): Case => ({
  name,
  run: Effect.gen(function* () {
    const { repeats } = yield* Bench
    return yield* Effect.promise(async () => {
      const began = performance.now()
      const root = mkdtempSync(join(tmpdir(), "ptmflow-dag-"))
      try {
        const dag = dagOf(count)
        const leaf = dag[7]!.name
        const changed = options.change ? { leaf, cone: coneOf(dag, leaf) } : undefined
        const open = async (name: string, found: ReturnType<DagPeer["find"]>): Promise<Project | NotMeasured> =>
          "missing" in found
            ? { notMeasured: found.missing }
            : attempt(() => prepare(name, found, join(root, name.replace(" ", "-")), dag))
        const sides: Array<Project | NotMeasured> = [await open("ptmflow", ptmflow(count))]
        for (const { peer } of peers) sides.push(await open(peer.name, peer.find()))
        // In turns, as the machine's speed drifts.
        for (let turn = 0; turn < repeats; turn++) {
          for (const [i, side] of sides.entries()) {
            if ("notMeasured" in side) continue
            const done = await attempt(() => repeat(side, changed, turn))
            if (done !== undefined) sides[i] = done
          }
        }
        const [ours, ...theirs] = sides.map((side): Sample | NotMeasured =>
          "notMeasured" in side ? side : { version: side.tool.version, variant: "", values: side.values, bytes: 0 }
        )
        const work =
          changed === undefined
            ? `${count} tiny stages, nothing changed`
            : `${count} tiny stages, one leaf changed (${changed.cone.length} run)`
        const seconds = (performance.now() - began) / 1000
        const about = { name: `dag/${name}`, work, seconds, limit: options.limit }
        return rowsOf(
          about,
          ours!,
          peers.map(({ ahead, peer }, i) => {
            const sample = theirs[i]!
            return { name: isMeasured(sample) ? sample.version : peer.name, ahead, sample }
          })
        )
      } finally {
        rmSync(root, { recursive: true, force: true, maxRetries: 3 })
      }
    })
  })
})

export const dag: Group = {
  name: "dag",
  description:
    "bringing a graph of tiny stages up to date, start of the process included, against build and pipeline tools",
  byDefault: true,
  cases: [
    caseOf("noop-1000", 1000, { change: false, limit: 300 }),
    caseOf("leaf-1000", 1000, { change: true, limit: null }),
    caseOf("noop-10000", 10000, { change: false, limit: 1500 })
  ]
}
