/** What a report says of the machine and of the programs that ran. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { availableParallelism, release, totalmem, type } from "node:os"
import { defaultCache } from "../src/device/cache.ts"
import { findCompiler, instructionSet, processor } from "../src/device/cpu/toolchain.ts"
import type { Peers } from "./peers.ts"
import type { Report } from "./result.ts"

const systemName = (): string => {
  try {
    const name = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1]
    if (name !== undefined) return name
  } catch {
    // Not a Linux that names itself.
  }
  return `${type()} ${release()}`
}

export const describeMachine = (): Report["machine"] => {
  const { features, model } = processor()
  return {
    processor: model,
    instructions: instructionSet(features),
    cores: availableParallelism(),
    memory: totalmem(),
    system: systemName()
  }
}

/** The commit of the code that is measured, with "+" if files differ from it. */
export const commit = (): string => {
  try {
    const git = (...args: ReadonlyArray<string>) =>
      execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8" }).trim()
    const changed = git("status", "--porcelain", "--untracked-files=no", "..")
    return `${git("rev-parse", "--short", "HEAD")}${changed === "" ? "" : "+"}`
  } catch {
    return "unknown"
  }
}

export const versions = ({ torch }: Peers): Report["versions"] => ({
  node: `Node ${process.versions.node}`,
  compiler: findCompiler(defaultCache()).version,
  ...(torch.found ? { torch: `${torch.version} with ${torch.notes}` } : {})
})
