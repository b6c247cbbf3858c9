/** A copy of the project in `project/` that a test may edit, and runs of it in processes of their own. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Event } from "../../src/executor/event.ts"
import type { Plan } from "../../src/executor/plan.ts"
import type { RunReport } from "../../src/executor/report.ts"

const repository = fileURLToPath(new URL("../..", import.meta.url))

/** What a process printed: events, and what came last. */
export interface Printed {
  readonly events: ReadonlyArray<Event>
  readonly last: unknown
  readonly code: number | null
  readonly errors: string
}

/** A process: `onEvent` is told of each event as it comes. */
export interface Running {
  readonly child: ChildProcess
  readonly printed: Promise<Printed>
}

export class Project {
  readonly root = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "ptmflow-project-")))
  readonly folder = path.join(this.root, "test/executor/project")
  readonly store = path.join(this.root, "store")
  readonly corpus = path.join(this.root, "corpus.txt")

  constructor() {
    fs.cpSync(path.join(repository, "test/executor/project"), this.folder, { recursive: true })
    fs.copyFileSync(
      path.join(repository, "test/executor/json-port.ts"),
      path.join(this.root, "test/executor/json-port.ts")
    )
    fs.writeFileSync(path.join(this.root, "package.json"), `{ "type": "module" }`)
    for (const each of ["src", "node_modules"]) {
      fs.symlinkSync(path.join(repository, each), path.join(this.root, each))
    }
    fs.writeFileSync(this.corpus, "call me ishmael\nsome years ago\nnever mind how long\n")
  }

  edit(file: string, from: string, to: string): void {
    const at = path.join(this.folder, file)
    const text = fs.readFileSync(at, "utf8")
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`)
    fs.writeFileSync(at, text.replace(from, to))
  }

  start(
    command: "plan" | "run",
    settings: ReadonlyArray<string> = [],
    options: {
      readonly pipeline?: string
      readonly store?: string
      /** Words before the command line. */
      readonly before?: ReadonlyArray<string>
      readonly environment?: { readonly [name: string]: string }
      readonly onEvent?: (event: Event, child: ChildProcess) => void
    } = {}
  ): Running {
    const [program, ...args] = [
      ...(options.before ?? []),
      process.execPath,
      path.join(this.folder, "main.ts"),
      command,
      options.pipeline ?? "pipeline.ts",
      options.store ?? this.store,
      `corpus=${this.corpus}`,
      ...settings
    ]
    const child = spawn(program!, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        ...options.environment,
        NODE_COMPILE_CACHE: path.join(tmpdir(), "ptmflow-test-compile-cache")
      }
    })
    const events: Array<Event> = []
    let last: unknown
    let errors = ""
    createInterface({ input: child.stdout }).on("line", (line) => {
      last = JSON.parse(line)
      const event = last as Event
      if (/^(Run|Stage)[A-Z]/.test(event._tag ?? "") && event._tag !== ("RunError" as string)) {
        events.push(event)
        options.onEvent?.(event, child)
      }
    })
    child.stderr.on("data", (data: Buffer) => {
      errors += data
    })
    const printed = new Promise<Printed>((resolve) => {
      child.on("close", (code) => resolve({ events, last, code, errors }))
    })
    return { child, printed }
  }

  async run(
    settings: ReadonlyArray<string> = [],
    options: { readonly pipeline?: string; readonly store?: string } = {}
  ): Promise<RunReport> {
    const { code, errors, last } = await this.start("run", settings, options).printed
    if (code !== 0) throw new Error(`${errors}${JSON.stringify(last)}`)
    return last as RunReport
  }

  async plan(settings: ReadonlyArray<string> = []): Promise<Plan> {
    const { code, errors, last } = await this.start("plan", settings).printed
    if (code !== 0) throw new Error(`${errors}${JSON.stringify(last)}`)
    return last as Plan
  }

  remove(): void {
    fs.rmSync(this.root, { recursive: true, force: true })
  }
}

/** The names of the stages that a run ran. */
export const ran = (report: RunReport): ReadonlyArray<string> =>
  report.stages.filter(({ status }) => status === "ran").map(({ stage }) => stage)

/** Reasons by stage, of the stages that have any. */
export const reasons = (
  stages: ReadonlyArray<{ readonly stage: string; readonly reasons: ReadonlyArray<{ readonly message: string }> }>
) =>
  Object.fromEntries(
    stages
      .filter((each) => each.reasons.length > 0)
      .map((each) => [each.stage, each.reasons.map(({ message }) => message)])
  )
