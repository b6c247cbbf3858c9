/**
 * The execution of one stage: a request that can be written down, and what it gives.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Preimage } from "../lineage/record.ts"
import { decodeTrace, encodeTrace, type StageTrace } from "../lineage/trace.ts"
import { Artifact, ArtifactError, Blob, type BlobSource } from "../operator/artifact.ts"
import { BatchMemo } from "../operator/batches.ts"
import { type AnyOperator, OperatorError } from "../operator/operator.ts"
import { originsOf } from "../operator/origins.ts"
import type { Port } from "../operator/port.ts"
import { type Progress, Stage, type Update } from "../operator/stage.ts"
import { paramsFromJson } from "../pipeline/settings.ts"
import { asArtifactError } from "../store/blobs.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { BatchCount, batchMemo, noteBatches, sumOf } from "./batches.ts"
import { isWorthKeeping, type KeptPoint, withPoint } from "./kept-points.ts"
import { makeUpdates } from "./trace.ts"
import { decodeValue, encodeValue } from "./values.ts"

/** All that is needed to run a stage, wherever there is the store and the operator. */
export const StageRequest = Schema.Struct({
  key: Schema.String,
  stage: Schema.String,
  operator: Schema.Struct({ name: Schema.String, version: Schema.Number }),
  preimage: Preimage,
  params: Schema.Json,
  inputs: Schema.Record(Schema.String, Artifact),
  sources: Schema.Array(Schema.Struct({ path: Schema.String, name: Schema.String }))
})
export type StageRequest = typeof StageRequest.Type

/**
 * What a stage gave: all of it is durable. `runSeconds` is the operator's part of the time, `over` are the inputs that it maps batch by batch; `trace`, `learned` and
 * `points` are as in its record.
 */
export const StageResult = Schema.Struct({
  outputs: Schema.Record(Schema.String, Artifact),
  metrics: Schema.Record(Schema.String, Schema.Number),
  batches: Schema.optionalKey(BatchCount),
  over: Schema.optionalKey(Schema.Array(Schema.String)),
  resumedFrom: Schema.optionalKey(Schema.Number),
  trace: Schema.optionalKey(Blob),
  learned: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  points: Schema.optionalKey(Schema.Array(Schema.Struct({ step: Schema.Number, artifact: Artifact }))),
  runSeconds: Schema.Number
})
export type StageResult = typeof StageResult.Type

/**
 * `inputs` are the digests of what the stage was given, `steps` how many it had to do in all, where it had said so; `trace` has its updates so far, `points` are
 * the resume points before it that are kept.
 */
const SavedPoint = Schema.Struct({
  step: Schema.Number,
  steps: Schema.optionalKey(Schema.Number),
  inputs: Schema.Record(Schema.String, Schema.String),
  artifact: Artifact,
  trace: Schema.optionalKey(Blob),
  points: Schema.optionalKey(Schema.Array(Schema.Struct({ step: Schema.Number, artifact: Artifact })))
})
const decodePoint = Schema.decodeUnknownOption(SavedPoint)

/** A report of the operator, or the step that it goes on from. */
export interface StageUpdate extends Progress {
  readonly resumed?: boolean
}

/**
 * What whoever runs a stage is told, and what it says: `maySave` whether a resume point would be of what the key says, `keepPoints` how many resume points are kept when
 * the stage is done (default: none), `from` where it goes on from in the place of its own resume point.
 */
export interface Watch {
  readonly onUpdate: (update: StageUpdate) => Effect.Effect<void>
  readonly onLearned?: (update: Update) => Effect.Effect<void>
  readonly maySave: Effect.Effect<boolean, StoreError>
  readonly keepPoints?: number
  readonly from?: KeptPoint
}

const traceIn = (source: BlobSource, blob: Blob) =>
  Effect.flatMap(source.bytes(blob), (bytes) =>
    Effect.mapError(
      decodeTrace(bytes, `trace ${blob.digest}`),
      ({ message, place }) => new ArtifactError({ place, message })
    )
  )

/** Decodes the inputs, runs the operator and writes its outputs. Fails with whatever the operator fails with. */
export const execute = Effect.fnUntraced(function* <R>(
  store: Store["Service"],
  request: StageRequest,
  operator: AnyOperator,
  { from, keepPoints = 0, maySave, onLearned, onUpdate }: Watch
): Effect.fn.Return<StageResult, unknown, R> {
  const ports = Object.entries(operator.inputs) as ReadonlyArray<[string, Port<unknown>]>
  const inputs: Record<string, unknown> = {}
  for (const [name, port] of ports) inputs[name] = yield* decodeValue(store, port, request.inputs[name]!)
  const params = yield* paramsFromJson(operator.params, request.params)

  let metrics: { readonly [name: string]: number } = {}
  let resumedFrom: number | undefined
  let reached = 0
  let target: number | undefined
  const updates = makeUpdates()
  let points: ReadonlyArray<KeptPoint> = []
  /** A resume point is kept as any artifact is, beside the one that is dropped when the stage is done. */
  const keepPoint = Effect.fnUntraced(function* <A>(port: Port<A>, step: number, value: A) {
    if (keepPoints === 0 || !isWorthKeeping(points, step)) return
    points = withPoint(points, keepPoints, { step, artifact: yield* port.encode(value, store.sink) })
  })
  const digests = Object.fromEntries(Object.entries(request.inputs).map(([port, { digest }]) => [port, digest]))
  const stage = Stage.of({
    name: request.stage,
    report: (progress) =>
      Effect.suspend(() => {
        metrics = { ...metrics, ...progress.metrics }
        reached = Math.max(reached, progress.step ?? 0)
        target = progress.steps ?? target
        return onUpdate(progress)
      }),
    learned: (update) =>
      Effect.suspend(() => {
        updates.add(update)
        return onLearned?.(update) ?? Effect.void
      }),
    resume: <A>(port: Port<A>) =>
      Effect.gen(function* () {
        if (from !== undefined) {
          updates.skip(from.step)
          return Option.some({ step: from.step, value: yield* port.decode(from.artifact, store.source) })
        }
        const point = yield* Effect.mapError(store.resumePoints.load(request.key), asArtifactError)
        if (Option.isNone(point)) return Option.none()
        const saved = decodePoint(point.value.value)
        if (Option.isNone(saved)) return Option.none()
        const { artifact, inputs, step, steps } = saved.value
        const other = Object.keys(digests).find((port) => inputs[port] !== digests[port])
        if (other !== undefined) {
          const place = `resume point of stage ${request.stage}`
          const message = `it was saved when input ${other} was ${inputs[other]?.slice(0, 12) ?? "not there"}, and now that is ${digests[other]!.slice(0, 12)}: remove resume/${request.key} from the store`
          return yield* new ArtifactError({ place, message })
        }
        const value = yield* port.decode(artifact, point.value.source)
        if (saved.value.trace !== undefined) updates.restore(yield* traceIn(point.value.source, saved.value.trace))
        points = saved.value.points ?? []
        resumedFrom = step
        reached = step
        target = steps
        yield* onUpdate({ step, resumed: true })
        return Option.some({ step, value })
      }),
    save: (port, { step, value }) =>
      Effect.mapError(
        Effect.when(
          Effect.andThen(
            keepPoint(port, step, value),
            store.resumePoints.save(
              request.key,
              Effect.fnUntraced(function* (sink) {
                const artifact = yield* port.encode(value, sink)
                const trace = updates.trace()
                return {
                  step,
                  ...(target === undefined ? {} : { steps: target }),
                  inputs: digests,
                  artifact,
                  ...(trace.losses.length === 0 ? {} : { trace: yield* sink.put(yield* encodeTrace(trace)) }),
                  ...(points.length === 0 ? {} : { points: points.map(({ artifact, step }) => ({ step, artifact })) })
                }
              })
            )
          ),
          maySave
        ),
        asArtifactError
      )
  })

  const started = yield* Clock.currentTimeMillis
  const running = operator.run({ inputs, params, sources: request.sources })
  const values = yield* (running as Effect.Effect<{ readonly [port: string]: unknown }, unknown, R | Stage>).pipe(
    Effect.provideService(Stage, stage),
    Effect.provideService(BatchMemo, yield* batchMemo(store, request.preimage, maySave))
  )
  if (resumedFrom !== undefined && target !== undefined && reached <= resumedFrom && reached !== target) {
    return yield* new OperatorError({
      operator: operator.name,
      place: `step ${resumedFrom}`,
      message: `stage ${request.stage} went on from step ${resumedFrom} and did none of the steps up to ${target}: its result would be that of an unfinished stage`
    })
  }
  const runSeconds = ((yield* Clock.currentTimeMillis) - started) / 1000
  const outputs: Record<string, Artifact> = {}
  const origins: { [output: string]: StageTrace["origins"][string] } = {}
  const counts: Array<Effect.Success<ReturnType<typeof noteBatches>>> = []
  for (const [name, port] of Object.entries(operator.outputs) as ReadonlyArray<[string, Port<unknown>]>) {
    if (!Object.hasOwn(values, name)) {
      return yield* new ArtifactError({ place: name, message: `${operator.name} returned no output ${name}` })
    }
    outputs[name] = yield* encodeValue(store, port, values[name])
    const of = originsOf(values[name])
    if (Object.keys(of).length > 0) origins[name] = of
    if (yield* maySave) counts.push(yield* noteBatches(store, request.preimage, values[name], outputs[name]))
  }
  const batches = sumOf(counts)
  const trace: StageTrace = { ...updates.trace(), origins }
  const hasTrace = trace.losses.length > 0 || Object.keys(origins).length > 0
  return {
    ...(hasTrace ? { trace: yield* store.sink.put(yield* encodeTrace(trace)) } : {}),
    ...(trace.losses.length === 0 ? {} : { learned: updates.learned() }),
    ...(points.length === 0 ? {} : { points }),
    outputs,
    metrics,
    runSeconds,
    ...(batches === undefined ? {} : { batches, over: [...new Set(counts.flatMap((count) => count?.over ?? []))] }),
    ...(resumedFrom === undefined ? {} : { resumedFrom })
  }
})
