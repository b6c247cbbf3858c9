/** The command line in a process of its own, in a folder of its own. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))

export const bin = file("../../bin/ptmflow.mjs")
export const counting = file("pipelines/counting.ts")

/** What a process printed and how it ended. */
export interface Ended {
  readonly out: string
  readonly errors: string
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Folder {
  readonly root = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "ptmflow-cli-")))

  write(name: string, text: string): void {
    fs.writeFileSync(path.join(this.root, name), text)
  }

  /** Starts `ptmflow` here. `onLine` hears each line of standard output. */
  start(
    args: ReadonlyArray<string>,
    options: {
      readonly node?: string
      readonly env?: NodeJS.ProcessEnv
      readonly onLine?: (line: string, child: ChildProcess) => void
    } = {}
  ): Promise<Ended> {
    // Not this test run's: how npm was called, and whether it has colours.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(npm_.*|FORCE_COLOR|NO_COLOR)$/.test(name))
    )
    const child = spawn(options.node ?? process.execPath, [bin, ...args], {
      cwd: this.root,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...env, COLUMNS: "100", ...options.env }
    })
    let out = ""
    let errors = ""
    createInterface({ input: child.stdout }).on("line", (line) => {
      out += `${line}\n`
      options.onLine?.(line, child)
    })
    child.stderr.on("data", (data: Buffer) => {
      errors += data
    })
    return new Promise((resolve) => {
      child.on("close", (code, signal) => resolve({ out, errors, code, signal }))
    })
  }

  remove(): void {
    fs.rmSync(this.root, { recursive: true, force: true })
  }
}
