/**
 * The execution of one stage: a request that can be written down, and what it gives.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Artifact, ArtifactError } from "../operator/artifact.ts"
import type { AnyOperator } from "../operator/operator.ts"
import type { Port } from "../operator/port.ts"
import { type Progress, Stage } from "../operator/stage.ts"
import { paramsFromJson } from "../pipeline/settings.ts"
import { asArtifactError } from "../store/blobs.ts"
import type { Store } from "../store/store.ts"
import { decodeValue, encodeValue } from "./values.ts"

/** All that is needed to run a stage, wherever there is the store and the operator. */
export const StageRequest = Schema.Struct({
  key: Schema.String,
  stage: Schema.String,
  operator: Schema.Struct({ name: Schema.String, version: Schema.Number }),
  params: Schema.Json,
  inputs: Schema.Record(Schema.String, Artifact),
  sources: Schema.Array(Schema.Struct({ path: Schema.String, name: Schema.String }))
})
export type StageRequest = typeof StageRequest.Type

/** What a stage gave: all of it is durable. `runSeconds` is the operator's part of the time. */
export const StageResult = Schema.Struct({
  outputs: Schema.Record(Schema.String, Artifact),
  metrics: Schema.Record(Schema.String, Schema.Number),
  resumedFrom: Schema.optionalKey(Schema.Number),
  runSeconds: Schema.Number
})
export type StageResult = typeof StageResult.Type

const SavedPoint = Schema.Struct({ step: Schema.Number, artifact: Artifact })
const decodePoint = Schema.decodeUnknownOption(SavedPoint)

/** A report of the operator, or the step that it goes on from. */
export interface StageUpdate extends Progress {
  readonly resumed?: boolean
}

/** Decodes the inputs, runs the operator and writes its outputs. Fails with whatever the operator fails with. */
export const execute = Effect.fnUntraced(function* <R>(
  store: Store["Service"],
  request: StageRequest,
  operator: AnyOperator,
  onUpdate: (update: StageUpdate) => Effect.Effect<void>
): Effect.fn.Return<StageResult, unknown, R> {
  const ports = Object.entries(operator.inputs) as ReadonlyArray<[string, Port<unknown>]>
  const inputs: Record<string, unknown> = {}
  for (const [name, port] of ports) inputs[name] = yield* decodeValue(store, port, request.inputs[name]!)
  const params = yield* paramsFromJson(operator.params, request.params)

  let metrics: { readonly [name: string]: number } = {}
  let resumedFrom: number | undefined
  const stage = Stage.of({
    name: request.stage,
    report: (progress) =>
      Effect.suspend(() => {
        metrics = { ...metrics, ...progress.metrics }
        return onUpdate(progress)
      }),
    resume: <A>(port: Port<A>) =>
      Effect.gen(function* () {
        const point = yield* Effect.mapError(store.resumePoints.load(request.key), asArtifactError)
        if (Option.isNone(point)) return Option.none()
        const saved = decodePoint(point.value.value)
        if (Option.isNone(saved)) return Option.none()
        const { artifact, step } = saved.value
        const value = yield* port.decode(artifact, point.value.source)
        resumedFrom = step
        yield* onUpdate({ step, resumed: true })
        return Option.some({ step, value })
      }),
    save: (port, { step, value }) =>
      Effect.mapError(
        store.resumePoints.save(request.key, (sink) =>
          Effect.map(port.encode(value, sink), (artifact) => ({ step, artifact }))
        ),
        asArtifactError
      )
  })

  const started = yield* Clock.currentTimeMillis
  const running = operator.run({ inputs, params, sources: request.sources })
  const values = yield* (running as Effect.Effect<{ readonly [port: string]: unknown }, unknown, R | Stage>).pipe(
    Effect.provideService(Stage, stage)
  )
  const runSeconds = ((yield* Clock.currentTimeMillis) - started) / 1000
  const outputs: Record<string, Artifact> = {}
  for (const [name, port] of Object.entries(operator.outputs) as ReadonlyArray<[string, Port<unknown>]>) {
    if (!Object.hasOwn(values, name)) {
      return yield* new ArtifactError({ place: name, message: `${operator.name} returned no output ${name}` })
    }
    outputs[name] = yield* encodeValue(store, port, values[name])
  }
  return { outputs, metrics, runSeconds, ...(resumedFrom === undefined ? {} : { resumedFrom }) }
})
