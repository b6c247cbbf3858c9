/**
 * `ptmflow export <run> --as ...`: a run as other programs read it.
 *
 * @since 0.1.0
 */
import { writeFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { historyOf, type RunHistory, reportsOf } from "../lineage/history.ts"
import type { StageRecord } from "../lineage/record.ts"
import { stageRecord } from "../lineage/records.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { ExportError, newFolder } from "./export-folder.ts"
import { openlineageNamespace, openlineageTarget, version } from "./listeners.ts"
import { printJson, printLines } from "./output.ts"

/** What was typed after `export`, of a run. */
export interface ExportRunInput {
  readonly what: string
  readonly to: Option.Option<string>
  readonly data: boolean
  readonly agent: Option.Option<string>
  readonly license: Option.Option<string>
  readonly store: string
  readonly json: boolean
}

/** Writes a run. */
export const exportRun = Effect.fnUntraced(
  function* (input: ExportRunInput, as: "openlineage" | "ro-crate" | "tensorboard") {
    const history = yield* historyOf(input.what === "newest" ? undefined : input.what)
    if (as === "openlineage") return yield* writeEvents(input, history)
    const to = Option.getOrUndefined(input.to)
    if (to === undefined) {
      return yield* new ExportError({ place: "", message: `--as ${as} writes a folder: name it after ${input.what}` })
    }
    yield* as === "tensorboard" ? writeTensorBoard(input, to, history) : writeCrate(input, to, history)
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)

/** What is known of stage keys, each looked up once. */
const recordsOf = Effect.map(Store, ({ journal }) => {
  const known = new Map<string, StageRecord | undefined>()
  return (key: string) => {
    if (!known.has(key)) known.set(key, stageRecord(journal, key))
    return known.get(key)
  }
})

const writeEvents = Effect.fnUntraced(function* ({ json, to }: ExportRunInput, { entries, run }: RunHistory) {
  const { folder } = yield* Store
  const { eventsOf } = yield* Effect.promise(() => import("../exports/openlineage.ts"))
  const make = eventsOf({
    ...run,
    namespace: openlineageNamespace(),
    store: folder,
    version: version(),
    record: yield* recordsOf
  })
  const target = Option.getOrUndefined(to)
  if (target === undefined) {
    for (const entry of entries) yield* printLines(make(entry).map((event) => JSON.stringify(event)))
    return
  }
  const events = entries.flatMap(make)
  if (/^https?:/.test(target)) {
    const { makeSend } = yield* Effect.promise(() => import("../exports/openlineage-client.ts"))
    const send = yield* makeSend(openlineageTarget(target))
    yield* Effect.forEach(events, send, { discard: true })
  } else {
    yield* Effect.tryPromise({
      try: () => writeFile(target, events.map((event) => `${JSON.stringify(event)}\n`).join("")),
      catch: (cause) => new ExportError({ place: target, message: (cause as Error).message })
    })
  }
  yield* json
    ? printJson({ run: run.run, to: target, events: events.length })
    : printLines([`${events.length} events of run ${run.run}: ${target}`])
})

const writeTensorBoard = Effect.fnUntraced(function* ({ json }: ExportRunInput, folder: string, history: RunHistory) {
  const { writeMetrics } = yield* Effect.promise(() => import("../exports/tensorboard.ts"))
  const { run } = history.run
  const stages = yield* writeMetrics(folder, run, yield* reportsOf(history))
  yield* json
    ? printJson({ run, folder, stages })
    : printLines([`metrics of ${stages.length} stages of run ${run}; to look at them: tensorboard --logdir ${folder}`])
})

const writeCrate = Effect.fnUntraced(function* (input: ExportRunInput, to: string, { entries, run }: RunHistory) {
  const { source } = yield* Store
  const { crateOf } = yield* Effect.promise(() => import("../exports/ro-crate.ts"))
  const crate = crateOf({
    run,
    entries,
    version: version(),
    data: input.data,
    agent: Option.getOrUndefined(input.agent),
    license: Option.getOrUndefined(input.license),
    record: yield* recordsOf
  })
  const texts = [
    ...crate.texts,
    ["ro-crate-metadata.json", `${JSON.stringify(crate.metadata, undefined, 2)}\n`] as const
  ]
  const copies: Array<readonly [name: string, path: string]> = []
  for (const [name, blob] of crate.blobs) copies.push([name, yield* source.path(blob)])
  const folder = yield* newFolder(to, { texts, copies })
  const bytes = crate.blobs.reduce((sum, [, blob]) => sum + blob.bytes, 0)
  const files = texts.length + copies.length
  yield* input.json
    ? printJson({ run: run.run, folder, files, bytes })
    : printLines([`run ${run.run} as a Workflow Run RO-Crate of ${files} files: ${to}`])
})
