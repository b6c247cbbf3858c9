/**
 * `ptmflow --complete <words>`: what the last word may become, where that is known to a store or a pipeline only: runs, artifacts, stages. The
 * scripts of `--completions` ask it; commands, flags and files they know themselves.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Completions from "effect/cli/Completions"
import * as Effect from "effect/Effect"
import { keysOf, runNames, runRecords, stageRecord } from "../lineage/records.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { ptmflow } from "./commands.ts"
import { loadGraph } from "./load.ts"
import { printLines } from "./output.ts"

/** What was typed: the command, the values of its flags, its arguments, and the name of the argument or flag that the last word is of. */
interface Typed {
  readonly command: string
  readonly flags: ReadonlyMap<string, string>
  readonly values: ReadonlyArray<string>
  readonly asked: string | undefined
}

/** Takes words apart; undefined where the last one is no value. */
export const typedOf = (words: ReadonlyArray<string>): Typed | undefined => {
  const [name = "", ...rest] = words
  const { flags, subcommands } = Completions.fromCommand(ptmflow)
  const command = subcommands.find((each) => each.name === name)
  const last = rest.pop()
  if (command === undefined || last === undefined || last.startsWith("-")) return undefined
  const withValue = [...command.flags, ...flags].filter(({ type }) => type._tag !== "Boolean")
  const given = new Map<string, string>()
  const values: Array<string> = []
  let open: string | undefined
  for (const word of rest) {
    if (open !== undefined) given.set(open, word)
    else if (!word.startsWith("-")) values.push(word)
    const [head = "", value] = word.split("=", 2)
    const called = withValue.find(({ aliases, name }) => [`--${name}`, ...aliases].includes(head))?.name
    open = open === undefined && value === undefined ? called : undefined
    if (called !== undefined && value !== undefined) given.set(called, value)
  }
  return { command: name, flags: given, values, asked: open ?? command.arguments[values.length]?.name }
}

/** Runs whose artifacts are offered. */
const NEWEST = 5

/** Names of artifacts of the newest runs: outputs of their pipelines, stages, and outputs of stages. */
const artifacts = (checkpointsOnly: boolean) =>
  Effect.map(Store, ({ journal }) => {
    const names = new Set<string>()
    let left = NEWEST
    for (const run of runRecords(journal)) {
      if (left-- === 0) break
      for (const [stage, key] of keysOf(journal, run)) {
        const ports = Object.entries(stageRecord(journal, key)?.outputs ?? {}).filter(
          ([, { kind }]) => !checkpointsOnly || kind === "checkpoint"
        )
        if (ports.length === 1 || ports.filter(([, { kind }]) => kind === "checkpoint").length === 1) names.add(stage)
        for (const [port] of ports) {
          names.add(`${stage}.${port}`)
          for (const [name, from] of Object.entries(run.outputs)) {
            if (from.stage === stage && from.port === port) names.add(name)
          }
        }
      }
    }
    return [...names]
  })

const runs = Effect.map(Store, ({ journal }) => ["newest", ...runNames(journal)])

const detachedRuns = (store: string): ReadonlyArray<string> => [
  "newest",
  ...fs.readdirSync(path.join(store, "detached"))
]

const namesFor = ({ asked, command, flags, values }: Typed) => {
  const store = flags.get("store") ?? ".ptmflow"
  const inStore = <A, E>(effect: Effect.Effect<A, E, Store>) => Effect.provide(effect, storeLayer(store))
  switch (asked) {
    case "stage":
      return Effect.map(loadGraph(values[0] ?? "", []), ({ stages }) => stages.map(({ name }) => name))
    case "as-of":
      return inStore(runs)
    case "run":
      return command === "pin" ? inStore(runs) : Effect.sync(() => detachedRuns(store))
    case "what":
      return inStore(flags.has("as") ? runs : artifacts(false))
    case "artifact":
    case "checkpoint":
    case "first":
    case "second":
    case "not":
      return inStore(artifacts(command === "generate"))
    default:
      return Effect.succeed([])
  }
}

/** Prints the names, one a line; none where nothing is known. */
export const complete = (words: ReadonlyArray<string>): Effect.Effect<void> => {
  const typed = typedOf(words)
  if (typed === undefined) return Effect.void
  const names: Effect.Effect<ReadonlyArray<string>, unknown> = namesFor(typed)
  return Effect.flatMap(
    Effect.catchCause(names, () => Effect.succeed([])),
    printLines
  )
}
