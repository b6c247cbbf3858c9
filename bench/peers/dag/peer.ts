/** What the group `dag` needs of a build tool: a project that has the graph, and the command that brings it up to date. */
import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import type { DagStage } from "../../dag.ts"

/** A program with its arguments; `environment` is added to that of this process. */
export interface DagCommand {
  readonly file: string
  readonly arguments: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
}

/** A build tool that is there; `build` gives what is run in a project's folder (absolute), whether or not there is something to do. */
export interface DagTool {
  readonly version: string
  readonly build: (folder: string) => DagCommand
  /** Writes the project, but for what all projects have: see `writeCommon`. */
  readonly write: (folder: string, dag: ReadonlyArray<DagStage>) => void
  /** The source file of a leaf, inside the folder. */
  readonly source: (leaf: string) => string
}

/** A build tool, or why there is none. */
export interface DagPeer {
  readonly name: string
  readonly find: () => DagTool | { readonly missing: string }
}

/** Where a stage's own file or its parents' results are, where all are in one folder. */
export const inputsOf = ({ name, parents }: DagStage): ReadonlyArray<string> =>
  parents.length === 0 ? [`src/${name}.txt`] : parents.map((parent) => `out/${parent}`)

/** Writes a file and the folders above it. */
export const put = (folder: string, name: string, text: string): void => {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, name), text)
}

/**
 * What a stage does, the same for all tools that run a shell: `sh stage.sh <result> <name> <input>...`. It also notes that it ran. Results are
 * some ten bytes that depend on all inputs.
 */
const script = `set -e
result=$1 name=$2
shift 2
cat "$@" | cksum > "$result"
echo "$name" >> "$(dirname "$0")/ran"
`

/** Writes the source files and the script. */
export const writeCommon = (folder: string, dag: ReadonlyArray<DagStage>, { source }: DagTool): void => {
  put(folder, "stage.sh", script)
  put(folder, "ran", "")
  mkdirSync(join(folder, "out"))
  for (const { name, parents } of dag) if (parents.length === 0) put(folder, source(name), `leaf ${name}\n`)
}

/** What a program says of its version, or undefined if it does not start. */
export const versionOf = (file: string, args: ReadonlyArray<string>): string | undefined => {
  try {
    const text = execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    return /\d+(\.\d+)+/.exec(text)?.[0]
  } catch {
    return undefined
  }
}
