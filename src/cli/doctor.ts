/**
 * `ptmflow doctor`: what this machine has of what ptmflow needs, and what to do about the rest.
 *
 * @since 0.1.0
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync, statfsSync, statSync } from "node:fs"
import path from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { open } from "../store/store.ts"
import { deviceFindings } from "./doctor-devices.ts"
import { failureOf } from "./failure.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { type Finding, findingLines } from "./render/findings.ts"
import { bytes, count } from "./render/quantity.ts"

/** Prints the findings; the exit code is 1 if something needed is missing. */
export const doctor = Effect.fnUntraced(function* (input: {
  readonly store: string
  readonly threads: Option.Option<number>
  readonly json: boolean
}) {
  const devices = yield* deviceFindings({ cpu: Option.isSome(input.threads) ? { threads: input.threads.value } : {} })
  const findings = [node(), ...devices, yield* store(input.store), disk(input.store)]
  yield* input.json ? printJson(findings) : printLines(findingLines(findings, viewOf(process.stdout)))
  if (findings.some(({ state }) => state === "missing")) process.exitCode = 1
})

const node = (): Finding => {
  const host = process.env["PTMFLOW_RELAUNCHED"]
  const where = host === undefined ? process.execPath : `from the npm package node, as the host's is ${host}`
  return { name: "Node", state: "ok", found: `${process.versions.node}, ${where}`, todo: "" }
}

/** A store that is not there yet is none the worse for it. */
const store = Effect.fnUntraced(function* (folder: string): Effect.fn.Return<Finding> {
  const name = "Store"
  const missing = (found: string, todo: string): Finding => ({ name, state: "missing", found, todo })
  const parent = existing(folder)
  if (!canWrite(parent)) {
    return missing(
      folder,
      `${parent} cannot be written to: change its permissions, or choose another folder with --store.`
    )
  }
  if (!existsSync(folder))
    return { name, state: "ok", found: `none in ${folder} yet, the first run makes it`, todo: "" }
  const counted = yield* Effect.exit(
    Effect.gen(function* () {
      const { journal } = yield* open(folder)
      yield* journal.refresh
      return { stages: new Set(journal.all("stage").map(({ key }) => key)).size, damaged: journal.damaged() }
    })
  )
  if (Exit.isFailure(counted)) return missing(folder, failureOf(counted.cause, process.cwd()).message)
  const { damaged, stages } = counted.value
  const blobs = sizeOf(path.join(folder, "objects"))
  const found = [
    folder,
    formatOf(folder),
    count(stages, "stage result"),
    `${bytes(blobs.bytes)} in ${count(blobs.files, "blob")}`,
    `${bytes(sizeOf(path.join(folder, "resume")).bytes)} of resume points`
  ].join(", ")
  return damaged === 0
    ? { name, state: "ok", found, todo: "" }
    : { name, state: "poor", found, todo: `${count(damaged, "record")} cannot be read: those stages run again.` }
})

const formatOf = (folder: string): string => {
  const format: unknown = JSON.parse(readFileSync(path.join(folder, "format"), "utf8"))
  return `format ${(format as { readonly version: number }).version}`
}

/** Bytes that a run of the flagship writes several times over. */
const enough = 2e9

const disk = (folder: string): Finding => {
  const { bavail, bsize } = statfsSync(existing(folder))
  const free = bavail * bsize
  const found = `${bytes(free)} free where ${folder} is`
  return free >= enough
    ? { name: "Disk", state: "ok", found, todo: "" }
    : {
        name: "Disk",
        state: "poor",
        found,
        todo: "Checkpoints and resume points need room: free some, or choose another disk with --store."
      }
}

/** The folder, or the nearest above it that there is. */
const existing = (folder: string): string => {
  let at = path.resolve(folder)
  while (!existsSync(at)) at = path.dirname(at)
  return at
}

const canWrite = (folder: string): boolean => {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}

const sizeOf = (folder: string): { readonly files: number; readonly bytes: number } => {
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : []
  const files = names.filter((entry) => entry.isFile())
  // A file that another process removes meanwhile counts nothing.
  const sizes = files.map(
    (entry) => statSync(path.join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0
  )
  return { files: files.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }
}
