/**
 * The results of all stages of a graph in one piece, as the last run that came to its end left them: the next run of the same graph takes them from there,
 * and need not make a thousand keys and read as many records to find them again.
 *
 * It is only ever a copy: it counts while each key has the record that it had, and all blobs are there with their sizes. Where it does not, everything
 * is looked up.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import { isKnownResult, type KnownResult } from "../lineage/records.ts"
import { sha256 } from "../store/digest.ts"
import type { Store } from "../store/store.ts"
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
  return sha256(JSON.stringify([KEY_SCHEMA, shared, each]))
}

const fileOf = (pipeline: string): string => sha256(pipeline).slice(0, 16)

/** The results of all stages, in the order of the graph, where they are known; and what tells the graph apart from others. */
export const settledOf = Effect.fnUntraced(function* (
  { blobs, copies, journal }: Store["Service"],
  pipeline: string,
  stages: ReadonlyArray<PreparedStage>
): Effect.fn.Return<{ readonly graph: string; readonly results: ReadonlyArray<Settled> | undefined }> {
  const graph = graphOf(stages)
  const lines = yield* copies.get(fileOf(pipeline), graph)
  if (!Array.isArray(lines) || lines.length !== stages.length) return { graph, results: undefined }
  const results: Array<Settled> = []
  for (const line of lines as ReadonlyArray<Json>) {
    const [key, position, record] = line as unknown as readonly [string, number, unknown]
    if (journal.newest("stage", key)?.position !== position || !isKnownResult(record))
      return { graph, results: undefined }
    if (lostBlobs(blobs, record).length > 0) return { graph, results: undefined }
    results.push({ key, record })
  }
  return { graph, results }
})

/** Keeps what was found of a graph. */
export const settle = (
  { copies, journal }: Store["Service"],
  pipeline: string,
  graph: string,
  results: ReadonlyArray<Settled>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const lines = results.map(({ key, record: { metrics, outputs, seconds } }) => [
      key,
      journal.newest("stage", key)?.position ?? -1,
      { outputs, metrics, seconds }
    ])
    return copies.set(fileOf(pipeline), graph, lines as unknown as Json)
  })
