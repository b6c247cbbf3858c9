/**
 * Loads a pipeline from a person's file.
 *
 * @since 0.1.0
 */
import { readdirSync, statSync } from "node:fs"
import path from "node:path"
import { pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"
import type { Device } from "../device/device.ts"
import type { Graph, Setting } from "../pipeline/graph.ts"
import { nearest } from "../pipeline/nearest.ts"
import { type AnyPipeline, build, isPipeline } from "../pipeline/pipeline.ts"
import type { PipelineError } from "../pipeline/pipelineError.ts"
import { CommandError } from "./failure.ts"
import { withoutStack } from "./render/failure.ts"

const source = /\.(ts|mts|js|mjs)$/

/** The pipeline that a module exports as its default. `file` is relative to the working folder. */
export const loadPipeline = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<AnyPipeline<unknown>, CommandError> {
  const full = path.resolve(file)
  const refuse = (message: string, next: string, place = "") => new CommandError({ place, message, next })
  const stat = statSync(full, { throwIfNoEntry: false })
  if (stat === undefined) return yield* refuse(`there is no file ${file}`, alternatives(path.dirname(full), full))
  if (stat.isDirectory()) return yield* refuse(`${file} is a folder, a pipeline is a file`, alternatives(full))
  const module = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(full).href) as Promise<{ readonly default?: unknown }>,
    catch: (cause) => importFailure(file, cause)
  })
  const pipeline = module.default
  if (pipeline === undefined) {
    return yield* refuse(`${file} has no default export`, 'End it with: export default Pipeline.make("name", ...)')
  }
  if (!isPipeline(pipeline)) {
    const found =
      pipeline === null ? "null" : Array.isArray(pipeline) ? "an array" : `a value of type ${typeof pipeline}`
    return yield* refuse(
      `the default export of ${file} is ${found}, not a pipeline`,
      'Export what Pipeline.make gives: export default Pipeline.make("name", ...)'
    )
  }
  return pipeline
})

/** The graph of a file's pipeline with parameters set. That its stages need a device and nothing else, the types cannot know here. */
export const loadGraph = Effect.fnUntraced(function* (
  file: string,
  settings: ReadonlyArray<Setting>
): Effect.fn.Return<Graph<Device>, CommandError | PipelineError> {
  return yield* build((yield* loadPipeline(file)) as AnyPipeline<Device>, settings)
})

/** Pipelines in a folder, those with a name near a missing one's first. */
const alternatives = (folder: string, missing = ""): string => {
  const relative = (file: string) => path.relative(process.cwd(), file)
  const inFolder = (folder: string): ReadonlyArray<string> => {
    try {
      return readdirSync(folder)
        .filter((name) => source.test(name) && !name.endsWith(".d.ts"))
        .map((name) => path.join(folder, name))
    } catch {
      return []
    }
  }
  const known = [...new Set([folder, path.resolve("pipelines")].flatMap(inFolder))].map(relative)
  // The extension is left out: nearly all have the same.
  const names = new Map(known.map((file) => [file.replace(source, ""), file]))
  const near = missing === "" ? [] : nearest(relative(missing).replace(source, ""), [...names.keys()])
  if (near.length > 0) return `Did you mean ${near.map((name) => names.get(name)).join(" or ")}?`
  return known.length === 0
    ? "Name a TypeScript file whose default export is a pipeline."
    : `There are ${known.slice(0, 5).join(", ")}${known.length > 5 ? ", ..." : ""}`
}

const importFailure = (file: string, cause: unknown): CommandError => {
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
  const { message, place } = withoutStack(text, process.cwd())
  return new CommandError({ place: place || file, message: `${file} could not be loaded: ${message}`, next: "" })
}
