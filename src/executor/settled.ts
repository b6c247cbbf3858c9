/**
 * The results of all stages of a graph in one piece, as the last run that came to its end left them: the next run of the same graph takes them from there,
 * and need not make a thousand keys and read as many records to find them again.
 *
 * It is only ever a copy: it counts while the journal has no later record of one of the keys, and all blobs are there with their sizes. Where it does not,
 * everything is looked up. Where it does, the journal is read from that run's record on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import { isKnownResult, type KnownResult } from "../lineage/records.ts"
import { sha256 } from "../store/digest.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { KEY_SCHEMA, typesOf } from "./key.ts"
import type { PreparedStage } from "./prepare.ts"
import { lostBlobs } from "./resolve.ts"

/** A stage's key and its result. */
export interface Settled {
  readonly key: string
  readonly record: KnownResult
}

/** Tells graphs apart by all that the keys of their stages are made of, but for the contents of inputs, which follow from it. */
const graphOf = (stages: ReadonlyArray<PreparedStage>): string => {
  const operators = new Map<unknown, number>()
  const shared: Array<unknown> = []
  const each = stages.map(({ node, recipe }) => {
    const { inputs, name, operator, paramsTree, seedsTree } = node
    let index = operators.get(operator)
    if (index === undefined) {
      index = operators.size
      operators.set(operator, index)
      const ports = [typesOf("Input", operator.inputs), typesOf("Output", operator.outputs)]
      shared.push([operator.name, operator.version, recipe.code, recipe.packages, ports])
    }
    const wires = Object.entries(inputs).map(([port, { port: output, stage }]) => [port, stage, output])
    return [name, index, paramsTree, seedsTree, wires, recipe.sources, recipe.numerics]
  })
  return sha256(JSON.stringify(["settled/2", KEY_SCHEMA, shared, each]))
}

const fileOf = (pipeline: string): string => sha256(pipeline).slice(0, 16)

/** What is kept of a graph: `mark` is of the journal when it was, `binding` the digest of that of the run, `results` are in the order of the graph. */
type Copy = readonly [mark: string, binding: string, results: ReadonlyArray<readonly [key: string, record: unknown]>]

/** A journal that has grown by this many records since makes the reading of it worth another copy. */
const STALE = 500

/** What a graph's stages gave; `binding` is the digest under which their keys are recorded. */
export interface Settlement {
  readonly results: ReadonlyArray<Settled>
  readonly binding: string
  readonly stale: boolean
}

/** The results of all stages, where they are known; and what tells the graph apart from others. */
export const settledOf = Effect.fnUntraced(function* (
  { blobs, copies, journal }: Store["Service"],
  pipeline: string,
  stages: ReadonlyArray<PreparedStage>
): Effect.fn.Return<{ readonly graph: string; readonly settlement: Settlement | undefined }, StoreError> {
  const graph = graphOf(stages)
  const unknown = { graph, settlement: undefined }
  const copy = yield* copies.get(fileOf(pipeline), graph)
  if (copy === undefined) return unknown
  const [mark, binding, lines] = copy as unknown as Copy
  const later = yield* journal.since(mark)
  if (later === undefined || lines.length !== stages.length) return unknown
  const changed = new Set(later.flatMap(({ key, kind }) => (kind === "stage" ? [key] : [])))
  const results: Array<Settled> = []
  for (const [key, record] of lines) {
    if (changed.has(key) || !isKnownResult(record) || lostBlobs(blobs, record).length > 0) return unknown
    results.push({ key, record })
  }
  return { graph, settlement: { results, binding, stale: later.length > STALE } }
})

/** Keeps what was found of a graph. */
export const settle = (
  { copies, journal }: Store["Service"],
  pipeline: string,
  graph: string,
  { binding, results }: Omit<Settlement, "stale">
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const mark = journal.mark()
    if (mark === undefined) return Effect.void
    const lines = results.map(({ key, record: { metrics, outputs, seconds } }) => [key, { outputs, metrics, seconds }])
    return copies.set(fileOf(pipeline), graph, [mark, binding, lines] as unknown as Json)
  })
