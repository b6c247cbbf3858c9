/**
 * Verifies an artifact: the stages that gave it run again, and must give what is recorded.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { DeviceKind } from "../device/device.ts"
import type { Made } from "../lineage/ledger.ts"
import type { RunRecord, StageRecord } from "../lineage/record.ts"
import { recordThatGave, runRecords } from "../lineage/records.ts"
import { addVerified, type Verified } from "../lineage/verified.ts"
import { canonicalJson } from "../operator/digest.ts"
import type { Progress } from "../operator/stage.ts"
import type { Graph, StageNode } from "../pipeline/graph.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import type { Sample } from "./sample.ts"
import { verifyStage } from "./stage.ts"
import { makeTrial } from "./trial.ts"

/**
 * `depth`: 1 (default) verifies the stage that gave the artifact, 2 also those that gave its inputs, and so on. With `sample` not all of a stage runs again where it
 * learned in updates or maps batch by batch. `device`: what to compute on (default: what a stage ran on). `onStage` hears of each stage that begins, `onProgress` of what it reports, and `onVerdict` of what was found.
 */
export interface VerifyOptions {
  readonly depth?: number
  readonly sample?: Sample
  readonly device?: DeviceKind
  readonly onStage?: (record: StageRecord) => Effect.Effect<void>
  readonly onVerdict?: (verified: Verified) => Effect.Effect<void>
  readonly onProgress?: (record: StageRecord, progress: Progress) => Effect.Effect<void>
}

/** What was found, each stage after its inputs; `proven` if every one of them is. */
export interface Verification {
  readonly of: Made
  readonly proven: boolean
  readonly stages: ReadonlyArray<Verified>
}

/** The stages that gave what a record took; of a key that gave other bytes at other times, the record of these. */
const before = ({ journal }: Store["Service"], { inputs, preimage }: StageRecord): ReadonlyArray<StageRecord> =>
  Object.entries(inputs).flatMap(([name, { key, port }]) => {
    const found = recordThatGave(journal, key, port, preimage.inputs[name]?.digest ?? "")
    return found === undefined ? [] : [found]
  })

const idOf = ({ key, run, time }: StageRecord): string => `${key} ${run} ${time}`

/** The stages up to `depth` above an artifact, each after its inputs. */
const stagesAbove = (store: Store["Service"], { artifact, key, port }: Made, depth: number) => {
  const levels = new Map<string, number>()
  const reach = (record: StageRecord, level: number): void => {
    if (level > depth || (levels.get(idOf(record)) ?? Number.POSITIVE_INFINITY) <= level) return
    levels.set(idOf(record), level)
    for (const input of before(store, record)) reach(input, level + 1)
  }
  const found = new Map<string, StageRecord>()
  const seen = new Set<string>()
  const visit = (record: StageRecord): void => {
    if (seen.has(idOf(record)) || !levels.has(idOf(record))) return
    seen.add(idOf(record))
    for (const input of before(store, record)) visit(input)
    found.set(idOf(record), record)
  }
  const first = recordThatGave(store.journal, key, port, artifact.digest)
  if (first !== undefined) {
    reach(first, 1)
    visit(first)
  }
  return [...found.values()]
}

/** The stage of a graph that a record is of: by its name, or, where stages have other names now, by operator and parameters. */
const nodeOf = ({ stages }: Graph<unknown>, { preimage, stage }: StageRecord): StageNode | undefined => {
  const isOf = ({ operator }: StageNode) => operator.name === preimage.operator.name
  const params = canonicalJson(preimage.params)
  return (
    stages.find((node) => node.name === stage && isOf(node)) ??
    stages.find((node) => isOf(node) && canonicalJson(node.paramsTree) === params)
  )
}

/**
 * Runs the stages that gave an artifact again, in a store of their own, and compares digests. `graphOf` gives the graph of the pipeline as a run built it, by the
 * run's record (undefined where the run is not known here) and the pipeline's name. Each finding is added to the journal.
 */
export const verify = Effect.fnUntraced(function* <E, R>(
  made: Made,
  graphOf: (run: RunRecord | undefined, pipeline: string) => Effect.Effect<Graph<R>, E>,
  options: VerifyOptions = {}
): Effect.fn.Return<Verification, E | StoreError, R | Store> {
  const store = yield* Store
  yield* store.journal.refresh
  const graphs = new Map<string, Graph<R>>()
  const stages: Array<Verified> = []
  yield* Effect.scoped(
    Effect.gen(function* () {
      const trial = yield* makeTrial(store)
      for (const record of stagesAbove(store, made, options.depth ?? 1)) {
        yield* options.onStage?.(record) ?? Effect.void
        const graph = graphs.get(record.run) ?? (yield* graphOf(runOf(store, record), record.pipeline))
        graphs.set(record.run, graph)
        const claim = { record, graph, node: nodeOf(graph, record), device: options.device }
        const onProgress = (progress: Progress) => options.onProgress?.(record, progress) ?? Effect.void
        const found = yield* verifyStage<R>(trial, store, claim, options.sample, onProgress)
        yield* addVerified(store.journal, found)
        stages.push(found)
        yield* options.onVerdict?.(found) ?? Effect.void
      }
    })
  )
  return { of: made, proven: stages.length > 0 && stages.every(({ verdict }) => verdict === "proven"), stages }
})

const runOf = ({ journal }: Store["Service"], { run }: StageRecord): RunRecord | undefined => {
  for (const record of runRecords(journal, run)) return record.run === run ? record : undefined
  return undefined
}
