/**
 * The batch memo of one stage: what its maps over batches gave before, under the same code, parameters and other inputs.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Preimage, StageRecord } from "../lineage/record.ts"
import type { Artifact } from "../operator/artifact.ts"
import { type BatchMap, BatchMemo, type MappedBatch, traceOf } from "../operator/batches.ts"
import { digestOf } from "../operator/digest.ts"
import type { NewBatch } from "../store/batches.ts"
import { asArtifactError } from "../store/blobs.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"

/** Batches of a stage's inputs: how many were made anew, and how many were taken from tables made before. */
export const BatchCount = Schema.Struct({ made: Schema.Number, reused: Schema.Number })
export type BatchCount = typeof BatchCount.Type

/**
 * What is known of a stage's batches before it runs: it had `of` last time, and it makes those that changed since (`changed`), or all of them, as
 * something else that they depend on did (`all`).
 */
export const BatchPlan = Schema.Struct({ of: Schema.Number, made: Schema.Literals(["changed", "all"]) })
export type BatchPlan = typeof BatchPlan.Type

/** What is known of the batches of a stage that ran before, and now has this preimage; undefined where an input that they depend on is not known yet. */
export const planBatches = (
  latest: Pick<StageRecord, "batches" | "preimage"> | undefined,
  preimage: Preimage,
  pending: ReadonlySet<string>
): BatchPlan | undefined => {
  const over = latest?.batches?.over
  if (latest === undefined || over === undefined || [...pending].some((port) => !over.includes(port))) return undefined
  const { made, reused } = latest.batches!
  const without = (of: Preimage) => {
    const inputs = Object.entries(of.inputs).map(([port, input]) => {
      return [port, over.includes(port) ? { ...input, digest: "" } : input] as const
    })
    return digestOf("batches/1", { ...of, inputs: Object.fromEntries(inputs) })
  }
  return { of: made + reused, made: without(latest.preimage) === without(preimage) ? "changed" : "all" }
}

/** All that a batch's rows depend on beside the batch: the stage's preimage without the table that is mapped, and the map's own key. */
const scopeOf = (preimage: Preimage, { key, output, over }: BatchMap): string => {
  const input = preimage.inputs[over]
  if (input === undefined) throw new TypeError(`${preimage.operator.name} maps over ${over}, which is no input of it`)
  const inputs = { ...preimage.inputs, [over]: { ...input, digest: "" } }
  return digestOf("batches/1", { preimage: { ...preimage, inputs }, output, key })
}

/** Milliseconds after which a stage that maps batch by batch keeps what it has made. */
export const KeepInterval = Context.Reference<number>("ptmflow/executor/KeepInterval", { defaultValue: () => 5_000 })

const placed = (batches: ReadonlyArray<MappedBatch>): ReadonlyArray<NewBatch> => {
  let first = 0
  return batches.map(({ batch, digest, origins, rows }) => {
    first += rows
    return { batch, digest, rows, origins, first: first - rows }
  })
}

/**
 * What a stage's operator is given of batches that were made before, and where it keeps what it makes, if it `mayKeep` that. The pieces that are kept
 * before the stage is done are part of no artifact: they are garbage once its output is there.
 */
export const batchMemo = Effect.fnUntraced(function* (
  { batches, blobs, sink, source }: Store["Service"],
  preimage: Preimage,
  mayKeep: Effect.Effect<boolean, StoreError>
) {
  const interval = yield* KeepInterval
  let kept = yield* Clock.currentTimeMillis
  return BatchMemo.of({
    find: Effect.fnUntraced(function* (map, batch) {
      const found = batches.find(scopeOf(preimage, map), batch)
      if (found === undefined || !blobs.has(found.blob)) return undefined
      const file = yield* Effect.orElseSucceed(source.path(found.blob), () => undefined)
      return file === undefined ? undefined : { ...found, file }
    }),
    isDue: Effect.map(Clock.currentTimeMillis, (now) => now - kept >= interval),
    keep: Effect.fnUntraced(function* (map, made, encode) {
      if (yield* Effect.mapError(mayKeep, asArtifactError)) {
        const [blob] = Object.values((yield* encode(sink)).parts)
        const noted = batches.add(scopeOf(preimage, map), blob!, placed(made))
        yield* Effect.mapError(noted, asArtifactError)
      }
      kept = yield* Clock.currentTimeMillis
    })
  })
})

/** Notes which rows of an output each batch gave, where the output was mapped batch by batch; undefined where it was not. */
export const noteBatches = Effect.fnUntraced(function* (
  { batches }: Store["Service"],
  preimage: Preimage,
  value: unknown,
  artifact: Artifact
): Effect.fn.Return<(BatchCount & { readonly over: string }) | undefined, StoreError> {
  const trace = traceOf(value)
  if (trace === undefined || !trace.complete) return undefined
  const [blob, ...others] = Object.values(artifact.parts)
  if (blob === undefined || others.length > 0) return undefined
  // Batches that were reused are at hand in the new table too: the one before may be collected.
  yield* batches.add(scopeOf(preimage, trace.map), blob, placed(trace.batches))
  const made = trace.batches.filter((each) => each.made).length
  return { made, reused: trace.batches.length - made, over: trace.map.over }
})

/** The counts of several outputs together. */
export const sumOf = (counts: ReadonlyArray<BatchCount | undefined>): BatchCount | undefined => {
  const known = counts.flatMap((count) => count ?? [])
  if (known.length === 0) return undefined
  return known.reduce((sum, { made, reused }) => ({ made: sum.made + made, reused: sum.reused + reused }))
}
