/**
 * What will become of each stage, from what the store has.
 *
 * @since 0.1.0
 */

import { heldIndex } from "../lineage/artifact-index.ts"
import { bindingOf } from "../lineage/binding.ts"
import type { Reason } from "../lineage/reason.ts"
import type { Preimage, StageRecord } from "../lineage/record.ts"
import { type KnownResult, knownResult, runRecords, stageHeads, stageRecord } from "../lineage/records.ts"
import type { Artifact } from "../operator/artifact.ts"
import type { Journal } from "../store/journal.ts"
import type { Store } from "../store/store.ts"
import { changes } from "./explain.ts"
import { keyOf, preimageOf, recipeOf } from "./key.ts"
import type { Prepared, PreparedStage } from "./prepare.ts"
import type { Sharing } from "./sharing.ts"

/** The records of past runs, as the stages of one pipeline ask for them. */
export interface History {
  /** The result of a key, what of it is gone from the store, and the remote that has it where the store has not. */
  readonly lookup: (
    key: string
  ) =>
    | { readonly record: KnownResult; readonly lost: ReadonlyArray<Reason>; readonly remote: string | undefined }
    | undefined
  /** What a remote adds to why a stage runs. */
  readonly remarks: (key: string, preimage: Preimage) => ReadonlyArray<Reason>
  /** The newest result that a stage of this name had in this pipeline. */
  readonly latest: (stage: string) => StageRecord | undefined
  /** Whether some stage may ever have run with this recipe, whatever its inputs were: of a remote that is not known. */
  readonly knowsRecipe: (recipe: string) => boolean
}

/** Reads a store's history for one pipeline. What only a stage that runs asks for is read when the first of them does. */
export const historyOf = (store: Store["Service"], pipeline: string, sharing?: Sharing): History => {
  const { journal } = store
  let index: Indexed | undefined
  const indexed = () => {
    index ??= journal.indexed() ? fromLedger(store, pipeline) : fromRecords(journal, pipeline)
    return index
  }
  return {
    lookup: (key) => {
      const record = knownResult(journal, key)
      const lost = record === undefined ? [] : lostBlobs(store.blobs, record)
      if (record !== undefined && lost.length === 0) return { record, lost, remote: undefined }
      const shared = sharing?.known(key)
      if (shared !== undefined) return { record: shared, lost: [], remote: sharing?.place }
      return record === undefined ? undefined : { record, lost, remote: undefined }
    },
    remarks: (key, preimage) => sharing?.remarks(key, preimage) ?? [],
    latest: (stage) => {
      const key = indexed().latest(stage)
      return key === undefined ? undefined : stageRecord(journal, key)
    },
    knowsRecipe: (recipe) => sharing !== undefined || indexed().knowsRecipe(recipe)
  }
}

/** What stages that run ask of past ones. */
interface Indexed {
  /**
   * A stage's newest key is that of the newest run which had a result for it, made or reused, or of a newer record of a run that was cut off.
   */
  readonly latest: (stage: string) => string | undefined
  readonly knowsRecipe: (recipe: string) => boolean
}

/** The newest key that a run of this pipeline had for a stage. Runs are looked through, newest first, as far as is needed. */
const boundKeys = (journal: Journal, pipeline: string) => {
  const found = new Map<string, { readonly key: string; readonly position: number }>()
  const seen = new Set<string>()
  const runs = runRecords(journal)
  return (stage: string) => {
    while (!found.has(stage)) {
      const next = runs.next()
      if (next.done === true) return undefined
      const { binding, pipeline: of, position } = next.value
      if (of !== pipeline || seen.has(binding)) continue
      seen.add(binding)
      for (const { key, stage } of bindingOf(journal, binding)) {
        if (!found.has(stage)) found.set(stage, { key, position })
      }
    }
    return found.get(stage)
  }
}

const newerOf = (bound: { readonly key: string; readonly position: number } | undefined, made: typeof bound) =>
  bound === undefined || (made !== undefined && made.position > bound.position) ? made?.key : bound.key

const fromRecords = (journal: Journal, pipeline: string): Indexed => {
  const made = new Map<string, { readonly key: string; readonly position: number }>()
  const recipes = new Set<string>()
  for (const { key, pipeline: of, position, recipe, stage } of stageHeads(journal)) {
    recipes.add(recipe)
    if (of === pipeline) made.set(stage, { key, position })
  }
  const bound = boundKeys(journal, pipeline)
  return {
    latest: (stage) => newerOf(bound(stage), made.get(stage)),
    knowsRecipe: (recipe) => recipes.has(recipe)
  }
}

/** The same of a journal so large that its records are not all read. */
const fromLedger = (store: Store["Service"], pipeline: string): Indexed => {
  const ledger = heldIndex(store)
  const bound = boundKeys(store.journal, pipeline)
  return {
    latest: (stage) => newerOf(bound(stage), ledger.latest(pipeline, stage)),
    knowsRecipe: ledger.knowsRecipe
  }
}

/** The blobs of a result that are not in the store. */
export const lostBlobs = (blobs: Store["Service"]["blobs"], record: KnownResult): ReadonlyArray<Reason> =>
  Object.entries(record.outputs).flatMap(([port, { parts }]) =>
    Object.entries(parts).flatMap(
      ([part, blob]): ReadonlyArray<Reason> =>
        blobs.has(blob)
          ? []
          : [
              {
                kind: "blob-lost",
                place: port,
                message: `blob ${part} of output ${port} is not in the store (${blob.digest.slice(0, 12)})`
              }
            ]
    )
  )

/** A stage whose inputs are known: its key, and the result if the store has it, or why it must run. */
export type Resolution =
  | {
      readonly action: "reuse"
      readonly key: string
      readonly preimage: Preimage
      readonly record: KnownResult
      /** The remote that has the result, which is not here yet. */
      readonly remote: string | undefined
    }
  | {
      readonly action: "run"
      readonly key: string
      readonly preimage: Preimage
      readonly reasons: ReadonlyArray<Reason>
      readonly latest: StageRecord | undefined
    }

/** Looks a stage up by its key. */
export const resolveStage = (
  { node, recipe }: PreparedStage,
  inputs: { readonly [port: string]: Artifact },
  history: History,
  code: Prepared["code"]
): Resolution => {
  const preimage = preimageOf(node, recipe, inputs)
  const key = keyOf(preimage)
  const found = history.lookup(key)
  if (found !== undefined && found.lost.length === 0) {
    return { action: "reuse", key, preimage, record: found.record, remote: found.remote }
  }
  const latest = history.latest(node.name)
  const reasons = found?.lost ?? whyChanged(latest, preimage, code, new Set())
  return { action: "run", key, preimage, latest, reasons: [...reasons, ...history.remarks(key, preimage)] }
}

/** A stage some of whose inputs wait for stages that run. `certain`: no result can be there, whatever the inputs will be. */
export interface Pending {
  readonly certain: boolean
  readonly preimage: Preimage
  readonly pending: ReadonlySet<string>
  readonly reasons: ReadonlyArray<Reason>
  readonly latest: StageRecord | undefined
}

/** What can be said of a stage before its inputs are known. */
export const resolvePending = (
  { node, recipe }: PreparedStage,
  inputs: { readonly [port: string]: Artifact | undefined },
  history: History,
  code: Prepared["code"]
): Pending => {
  const known = Object.fromEntries(Object.entries(inputs).filter(([, artifact]) => artifact !== undefined))
  const pending = Object.keys(inputs).filter((port) => inputs[port] === undefined)
  const preimage = preimageOf(node, recipe, known as { readonly [port: string]: Artifact })
  const latest = history.latest(node.name)
  const own = whyChanged(latest, preimage, code, new Set(pending))
  const waits = pending.map((port): Reason => {
    const { stage } = node.inputs[port]!
    return { kind: "input-pending", place: port, message: `input ${port} waits for stage ${stage}` }
  })
  const certain = !history.knowsRecipe(recipeOf(preimage))
  return { certain, preimage, pending: new Set(pending), reasons: [...own, ...waits], latest }
}

const whyChanged = (
  latest: StageRecord | undefined,
  preimage: StageRecord["preimage"],
  code: Prepared["code"],
  pending: ReadonlySet<string>
): ReadonlyArray<Reason> =>
  latest === undefined
    ? [{ kind: "never-ran", place: "stage", message: "it never ran" }]
    : changes(latest.preimage, preimage, code, pending)
