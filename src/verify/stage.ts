/**
 * Runs one stage again, or a sample of it, and compares what it gives with its record.
 *
 * @since 0.1.0
 */
import { userInfo } from "node:os"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Device, type DeviceKind } from "../device/device.ts"
import type { NamedDevice } from "../executor/devices.ts"
import { execute, type StageRequest, type StageResult } from "../executor/execute.ts"
import { changes } from "../executor/explain.ts"
import { failureOf } from "../executor/failure.ts"
import { keyOf, preimageOf } from "../executor/key.ts"
import { changedSources, type Prepared, type PreparedStage, prepare } from "../executor/prepare.ts"
import type { Reason } from "../lineage/reason.ts"
import type { StageRecord } from "../lineage/record.ts"
import { recordThatGave } from "../lineage/records.ts"
import { type StageTrace, traceOf } from "../lineage/trace.ts"
import { differenceAt, type FirstDifference, type Sampled, type Verified } from "../lineage/verified.ts"
import type { Artifact } from "../operator/artifact.ts"
import { rangesText } from "../operator/row-ranges.ts"
import type { Progress, Update } from "../operator/stage.ts"
import type { Graph, StageNode } from "../pipeline/graph.ts"
import { thisProcess } from "../store/holder.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { firstDifference } from "./difference.ts"
import { type Sample, sampledBatches, type UpdateRange, updateRanges, updatesIn } from "./sample.ts"
import type { Trial } from "./trial.ts"

/** What is verified: a recorded stage, as the graph of its pipeline has it today, if it has, on a device of this kind where one is asked for. */
export interface Claim {
  readonly record: StageRecord
  readonly graph: Graph<unknown>
  readonly node: StageNode | undefined
  readonly device: DeviceKind | undefined
}

/** A stage that can run as it ran then, and what it is given. */
interface Ready {
  readonly stage: PreparedStage
  readonly request: StageRequest
  readonly device: NamedDevice | undefined
}

/** What was found out of one stage, without who found it and when. */
type Found = Pick<Verified, "verdict" | "outputs" | "reasons"> &
  Partial<Pick<Verified, "update" | "failure" | "sampled">>

const nothing: Pick<Found, "outputs" | "reasons"> = { outputs: [], reasons: [] }
const unverifiable = (reasons: ReadonlyArray<Reason>): Found => ({ ...nothing, verdict: "unverifiable", reasons })

/** The recorded inputs of a stage; a reason where one of them is not known any more. */
const inputsOf = ({ journal }: Store["Service"], record: StageRecord): Record<string, Artifact> | Reason => {
  const inputs: Record<string, Artifact> = {}
  for (const [port, { key, port: from }] of Object.entries(record.inputs)) {
    const digest = record.preimage.inputs[port]?.digest ?? ""
    const artifact = recordThatGave(journal, key, from, digest)?.outputs[from]
    if (artifact === undefined) {
      return { kind: "blob-lost", place: port, message: `what input ${port} was is recorded no more` }
    }
    inputs[port] = artifact
  }
  return inputs
}

const isReason = (value: Record<string, Artifact> | Reason): value is Reason => typeof value["message"] === "string"

/** Looks whether a stage can run as it ran then: with the same code, files and numerics, on what it was given. */
const makeReady = Effect.fnUntraced(function* (
  { store }: Trial,
  about: Store["Service"],
  { device, graph, node, record }: Claim
): Effect.fn.Return<Ready | ReadonlyArray<Reason>> {
  if (node === undefined) {
    const message = `pipeline ${graph.pipeline} has no stage ${record.stage} of operator ${record.preimage.operator.name} today`
    return [{ kind: "operator", place: "pipeline", message }]
  }
  const kind = device ?? (record.ranOn?.kind as DeviceKind | undefined)
  const placed = kind === undefined || !node.operator.usesDevice ? node : { ...node, device: kind }
  const prepared: Prepared | Reason = yield* Effect.catch(prepare({ ...graph, stages: [placed] }, about), (error) =>
    Effect.succeed<Reason>({
      kind: error.cause === "DeviceError" || error.cause === "ResourceError" ? "numerics" : "source",
      place: error.place,
      message: error.message
    })
  )
  if ("message" in prepared) return [prepared]
  const [stage] = prepared.stages
  const inputs = inputsOf(about, record)
  if (isReason(inputs)) return [inputs]
  const preimage = preimageOf(stage!.node, stage!.recipe, inputs)
  const reasons =
    keyOf(preimage) === keyOf(record.preimage) ? [] : changes(record.preimage, preimage, prepared.code, new Set())
  const [first] = stage!.devices
  // A key of a pipeline that accepts any numerics does not have them.
  const numerics = first === undefined ? undefined : yield* Effect.option(first.shape.numerics)
  const other =
    preimage.numerics === "any" && record.ranOn !== undefined && numerics?._tag === "Some"
      ? numericsReason(record.ranOn.numerics, numerics.value)
      : []
  const lost = Object.entries(inputs).flatMap(([port, { parts }]) =>
    Object.entries(parts).flatMap(([part, blob]): ReadonlyArray<Reason> => {
      const message = `blob ${part} of input ${port} is not in the store (${blob.digest.slice(0, 12)}): verify what gave it too (--depth), or run again`
      return store.blobs.has(blob) ? [] : [{ kind: "blob-lost", place: port, message }]
    })
  )
  const all = [...reasons, ...other, ...lost]
  if (all.length > 0) return all
  const { name, operator, paramsJson } = stage!.node
  const request: StageRequest = {
    key: keyOf(preimage),
    stage: name,
    operator: { name: operator.name, version: operator.version },
    preimage,
    params: paramsJson,
    inputs,
    sources: stage!.files
  }
  return { stage: stage!, request, device: first }
})

const numericsReason = (from: string, to: string): ReadonlyArray<Reason> =>
  from === to
    ? []
    : [
        {
          kind: "numerics",
          place: "device",
          from: from.slice(0, 12),
          to: to.slice(0, 12),
          message: `it was made with other numerics: ${from.slice(0, 12)} -> ${to.slice(0, 12)}`
        }
      ]

/** Compares outputs with the recorded ones, digest by digest. */
const compare = Effect.fnUntraced(function* ({ found, recorded }: Trial, record: StageRecord, result: StageResult) {
  const outputs: Array<Verified["outputs"][number]> = []
  for (const [port, artifact] of Object.entries(record.outputs)) {
    const other = result.outputs[port]
    const digests = { port, recorded: artifact.digest, found: other?.digest ?? "" }
    if (other === undefined || other.digest === artifact.digest) {
      outputs.push(digests)
      continue
    }
    // Of what was collected, or is damaged, the digest is known and no more.
    const difference = yield* Effect.orElseSucceed(
      firstDifference({ artifact, source: recorded.source }, { artifact: other, source: found.source }),
      () => undefined
    )
    outputs.push({ ...digests, ...(difference === undefined ? {} : { difference }) })
  }
  return outputs
})

const areSame = (outputs: Verified["outputs"]): boolean => outputs.every(({ found, recorded }) => found === recorded)

/** The difference of an update from the recorded one, if there is one. */
const updateDifference = (trace: StageTrace, { loss, rows, step }: Update): FirstDifference | undefined => {
  const place = `update ${step}`
  const recorded = trace.losses[step - 1]
  for (const [port, of] of Object.entries(trace.rows)) {
    const [was, is] = [of[step - 1] ?? "", rangesText(rows[port] ?? [])]
    if (was !== is) return differenceAt("", `${place}, rows of ${port}`, was, is)
  }
  return Object.is(recorded, loss) ? undefined : differenceAt("", `${place}, loss`, recorded, loss)
}

/** Runs a stage again, all of it or a sample, if it can run as it ran then. `about` is the store that the record is in. */
export const verifyStage = Effect.fnUntraced(function* <R>(
  trial: Trial,
  about: Store["Service"],
  claim: Claim,
  sample: Sample | undefined,
  onProgress: (progress: Progress) => Effect.Effect<void>
): Effect.fn.Return<Verified, StoreError, R> {
  const { record } = claim
  const time = yield* Clock.currentTimeMillis
  const ready =
    record.uncached === undefined
      ? yield* makeReady(trial, about, claim)
      : [{ kind: "source", place: "sources", message: record.uncached } satisfies Reason]
  const device = "request" in ready ? ready.device : undefined
  const found = "request" in ready ? yield* again<R>(trial, record, ready, sample, onProgress) : unverifiable(ready)
  const seconds = ((yield* Clock.currentTimeMillis) - time) / 1000
  return {
    key: record.key,
    stage: record.stage,
    operator: record.preimage.operator.name,
    recorded: Object.fromEntries(Object.entries(record.outputs).map(([port, { digest }]) => [port, digest])),
    ...found,
    device: device?.shape.description ?? null,
    numerics: device === undefined ? null : yield* Effect.orElseSucceed(device.shape.numerics, () => null),
    user: nameOfUser(),
    holder: thisProcess(),
    time,
    seconds
  }
})

/** A process may have no user that the system knows by name. */
const nameOfUser = (): string => {
  try {
    return userInfo().username
  } catch {
    return ""
  }
}

const again = Effect.fnUntraced(function* <R>(
  trial: Trial,
  record: StageRecord,
  { device, request, stage }: Ready,
  sample: Sample | undefined,
  onProgress: (progress: Progress) => Effect.Effect<void>
): Effect.fn.Return<Found, StoreError, R> {
  const { operator } = stage.node
  const on = <A, E>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    device === undefined ? effect : (Effect.provideService(effect, Device, device.shape) as Effect.Effect<A, E, R>)
  const watch = { onUpdate: onProgress, maySave: Effect.succeed(false) }
  const run = (store: Store["Service"], more: Partial<Parameters<typeof execute>[3]> = {}) =>
    on(execute<R>(store, request, operator, { ...watch, ...more }))

  const judged = Effect.fnUntraced(function* (result: StageResult, sampled: Sampled | undefined) {
    const outputs = yield* compare(trial, record, result)
    const verdict = areSame(outputs) ? ("proven" as const) : ("differs" as const)
    return { ...nothing, verdict, outputs, ...(sampled === undefined ? {} : { sampled }) }
  })

  const whole = Effect.suspend(() => Effect.flatMap(run(trial.store), (result) => judged(result, undefined)))

  /** The batches that are not in the sample are taken from where they are kept, and compared with their digests as in any run. */
  const someBatches = Effect.fnUntraced(function* (batches: number, of: Sample) {
    const { counts, find } = sampledBatches(trial.recorded.batches, trial.store.blobs.has, batches, of)
    const store = { ...trial.store, batches: { ...trial.found.batches, find } }
    const result = yield* run(store)
    return yield* judged(result, { of: "batches", ...counts() })
  })

  const someUpdates = Effect.fnUntraced(function* (trace: StageTrace, of: Sample) {
    const ranges = updateRanges(trace.losses.length, record.points ?? [], of)
    const made: Array<UpdateRange> = []
    let outputs: Verified["outputs"] = []
    let update: FirstDifference | undefined
    for (const range of ranges) {
      const seen = yield* Deferred.make<FirstDifference | undefined>()
      let reached = range.first - 1
      const onLearned = (each: Update) => {
        reached = each.step
        const difference = updateDifference(trace, each)
        if (difference === undefined && (each.step < range.last || range.last === trace.losses.length))
          return Effect.void
        return Effect.andThen(Deferred.succeed(seen, difference), Effect.never)
      }
      const from = range.from === undefined ? {} : { from: range.from }
      const ended = Effect.map(run(trial.store, { onLearned, ...from }), (result) => ({
        result,
        difference: undefined
      }))
      const stopped = Effect.map(Deferred.await(seen), (difference) => ({ result: undefined, difference }))
      const end = yield* Effect.raceFirst(ended, stopped)
      made.push({ ...range, last: reached })
      if (end.result !== undefined) outputs = yield* compare(trial, record, end.result)
      update = end.difference
      if (update === undefined && end.result !== undefined && reached < trace.losses.length) {
        update = differenceAt("", "updates", trace.losses.length, reached)
      }
      if (update !== undefined || !areSame(outputs)) break
    }
    const done = updatesIn(made)
    const sampled: Sampled = {
      of: "updates",
      made: done.reduce((sum, [first, last]) => sum + last - first + 1, 0),
      total: trace.losses.length,
      ranges: rangesText(done)
    }
    const verdict = update === undefined && areSame(outputs) ? ("proven" as const) : ("differs" as const)
    return { ...nothing, verdict, outputs, sampled, ...(update === undefined ? {} : { update }) }
  })

  const trace =
    sample === undefined || record.learned === undefined
      ? undefined
      : yield* Effect.orElseSucceed(traceOf(trial.recorded, record), () => undefined)
  const batches = sample === undefined ? 0 : batchesOf(request, record)
  const attempt: Effect.Effect<Found, unknown, R> =
    sample === undefined
      ? whole
      : trace !== undefined
        ? someUpdates(trace, sample)
        : batches > 0
          ? someBatches(batches, sample)
          : whole
  const exit = yield* Effect.exit(attempt)
  const changed = yield* changedSources(stage, trial.recorded)
  if (changed.length > 0) {
    const message = `source file ${changed.join(", ")} changed while it was read`
    return unverifiable([{ kind: "source", place: changed[0]!, message }])
  }
  if (Exit.isSuccess(exit)) return exit.value
  if (Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.interrupt
  const { cause, message } = failureOf(record.stage, operator.name, exit.cause)
  return { ...nothing, verdict: "failed", failure: { cause, message } }
})

/** How many batches the table has that a stage maps batch by batch; 0 where it does not, or maps several. */
const batchesOf = ({ inputs }: StageRequest, { batches }: StageRecord): number => {
  const [over, ...others] = batches?.over ?? []
  const count = over === undefined || others.length > 0 ? undefined : inputs[over]?.meta["batches"]
  return typeof count === "number" ? count : 0
}
