/**
 * Plans a pipeline for the page, in a process of its own: what a module was when it was loaded first, a process never forgets.
 *
 * @since 0.1.0
 */
import { execFile } from "node:child_process"
import { existsSync, readdirSync, statSync } from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Plan } from "../executor/plan.ts"
import type { Planner } from "../page/server/plan.ts"
import { PageError } from "../page/server/refusal.ts"
import type { Setting } from "../pipeline/graph.ts"
import type { DeviceInput } from "./device.ts"
import { another, forPage } from "./invocation.ts"
import { due } from "./plan.ts"

/** Files of a project that are looked at, at most. */
const MOST_FILES = 5_000

/** What a plan may have to say, at most: ten thousand stages are 10 MB. */
const MOST_BYTES = 256 << 20

/** The folder of the package that a file is in; without one, that of the file. */
const projectOf = (file: string): string => {
  for (let at = path.dirname(file); ; at = path.dirname(at)) {
    if (existsSync(path.join(at, "package.json"))) return at
    if (path.dirname(at) === at) return path.dirname(file)
  }
}

/** Names, sizes and times of the files of a project. What is hidden, and packages, are left out. */
const fingerprintOf = (folder: string, store: string): string => {
  const lines: Array<string> = []
  const look = (at: string) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const name = path.join(at, entry.name)
      if (lines.length >= MOST_FILES || entry.name.startsWith(".") || entry.name === "node_modules" || name === store)
        continue
      if (entry.isDirectory()) look(name)
      else {
        const stat = statSync(name, { throwIfNoEntry: false })
        lines.push(`${name} ${stat?.size} ${stat?.mtimeMs}`)
      }
    }
  }
  look(folder)
  return lines.join("\n")
}

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Plan))

/** How `file` is planned with these settings on this store. */
export const planner = (
  file: string,
  settings: ReadonlyArray<Setting>,
  input: DeviceInput & { readonly store: string }
): Planner => {
  const { device, store, threads } = input
  const args = [
    ...["plan", file, "--json", "--store", store, "--device", device],
    ...Option.match(threads, { onNone: () => [], onSome: (count) => ["--threads", `${count}`] }),
    ...settings.flatMap(({ path, value }) => ["--set", `${path}=${value}`])
  ]
  const failed = (message: string) => new PageError({ status: 500, place: file, message, next: "" })
  const output = Effect.callback<string, PageError>((resume, signal) => {
    const options = { signal, env: forPage(), maxBuffer: MOST_BYTES }
    execFile(process.execPath, another(args), options, (error, text, errors) => {
      const planned = error === null || error.code === due
      resume(
        planned ? Effect.succeed(text) : Effect.fail(failed(errors.replace(/^error: /, "").trim() || error.message))
      )
    })
  })
  const project = projectOf(path.resolve(file))
  return {
    file,
    fingerprint: () => fingerprintOf(project, path.resolve(store)),
    plan: Effect.flatMap(output, (text) => Effect.mapError(decode(text), ({ message }) => failed(message)))
  }
}
