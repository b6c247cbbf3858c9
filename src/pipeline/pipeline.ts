/**
 * A pipeline: a typed graph of stages, written as a plain function of its parameters.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ParamsSchema, whileWriting } from "../operator/operator.ts"
import { buildGraph } from "./builder.ts"
import type { Graph, Numerics, Setting } from "./graph.ts"
import type { Builder, OutputNeeds, Outputs } from "./output.ts"
import { PipelineError } from "./pipelineError.ts"
import { decodeParams, paramsFromJson } from "./settings.ts"

const TypeId = "~ptmflow/pipeline/Pipeline"

/** A pipeline with parameters `Params` whose stages need the services `R`. */
export interface Pipeline<in out Params, out R> {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly description: string
  readonly params: ParamsSchema<Params>
  readonly numerics: Numerics
  readonly write: (
    builder: Builder,
    params: Params
  ) => { readonly [name: string]: { readonly stage: string; readonly port: string } }
  readonly "~R"?: () => R
}

/** Any pipeline, as loaded from a module. */
// biome-ignore lint/suspicious/noExplicitAny: the only way to say "a pipeline of some parameters" for an invariant type
export type AnyPipeline<R = unknown> = Pipeline<any, R>

/**
 * Defines a pipeline. `write` is called each time the pipeline is built, with decoded parameters, and returns the outputs that the
 * pipeline is for: stages that none of them needs are left out. With `numerics: "any"` it reuses what another device made for a pipeline that says
 * the same, though this machine's bits may differ (default: "same").
 */
// biome-ignore lint/complexity/noBannedTypes: no parameters
export const make = <const O extends Outputs, Params = {}>(
  name: string,
  options: { readonly description?: string; readonly params?: ParamsSchema<Params>; readonly numerics?: Numerics },
  write: (p: Builder, params: Params) => O
): Pipeline<Params, OutputNeeds<O[keyof O]>> => ({
  [TypeId]: TypeId,
  name,
  description: options.description ?? "",
  params: options.params ?? (Schema.Struct({}) as unknown as ParamsSchema<Params>),
  numerics: options.numerics ?? "same",
  write
})

/** Whether a value, such as a module's default export, is a pipeline. */
export const isPipeline = (value: unknown): value is AnyPipeline =>
  typeof value === "object" && value !== null && TypeId in value

/** Sets the parameters (a String field takes the text as it is; others take JSON where it parses) and builds the graph of stages. */
export const build: <Params, R>(
  pipeline: Pipeline<Params, R>,
  settings?: ReadonlyArray<Setting>
) => Effect.Effect<Graph<R>, PipelineError> = Effect.fnUntraced(function* <Params, R>(
  pipeline: Pipeline<Params, R>,
  settings: ReadonlyArray<Setting> = []
) {
  const { params, json } = yield* decodeParams(pipeline.name, pipeline.params, settings)
  return yield* buildFrom(pipeline, params, json, settings)
})

/**
 * Builds the graph of a run that was: with the parameters that it had, as its record has them in JSON. Where the pipeline has other parameters today, with what
 * was set then.
 */
export const buildAgain = Effect.fnUntraced(function* <Params, R>(
  pipeline: Pipeline<Params, R>,
  run: { readonly params: Schema.Json; readonly settings: ReadonlyArray<Setting> }
): Effect.fn.Return<Graph<R>, PipelineError> {
  const params = yield* Effect.option(paramsFromJson(pipeline.params, run.params))
  return yield* params._tag === "Some"
    ? buildFrom(pipeline, params.value, run.params, run.settings)
    : build(pipeline, run.settings)
})

const buildFrom = Effect.fnUntraced(function* <Params, R>(
  pipeline: Pipeline<Params, R>,
  params: Params,
  json: Schema.Json,
  settings: ReadonlyArray<Setting>
): Effect.fn.Return<Graph<R>, PipelineError> {
  const graph = yield* Effect.try({
    try: () => buildGraph(pipeline.name, (builder) => whileWriting(() => pipeline.write(builder, params))),
    catch: (cause) =>
      cause instanceof PipelineError
        ? cause
        : new PipelineError({
            pipeline: pipeline.name,
            place: "the pipeline's function",
            message: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
          })
  })
  const { description, name, numerics } = pipeline
  return { pipeline: name, description, params: json, settings, numerics, ...graph }
})
