/**
 * The checkpoint port: weights, configuration and tokenizer, and the optimizer's state when training is to go on.
 *
 * As blobs: `model.safetensors` (names and shapes of the family's parameters), `config.json`, `tokenizer.json`, `optimizer.safetensors`. What a model with
 * adapters trains lies apart, in `adapter.safetensors`: its `model.safetensors` is that of the model it was made from, and is kept once. A moving average of what is trained is
 * `average.safetensors`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { nameContent } from "../src/engine/content.ts"
import { type Layout, layout, ModelConfig, type Parameter, type Weights } from "../src/engine/model.ts"
import type { OptimizerState } from "../src/engine/optimizer.ts"
import * as Safetensors from "../src/engine/safetensors.ts"
import { size } from "../src/engine/tensor.ts"
import { type Artifact, ArtifactError, type BlobSink, type BlobSource } from "../src/operator/artifact.ts"
import { digestOf } from "../src/operator/digest.ts"
import type { Port } from "../src/operator/port.ts"
import { type Tokenizer, TokenizerPort } from "./tokenizer/port.ts"

/** A model that can be run, with the tokenizer it was trained on. */
export interface Checkpoint {
  readonly weights: Weights
  readonly tokenizer: Tokenizer
  readonly optimizer?: OptimizerState | undefined
  /** The exponential moving average of the trained weights, in the layout's order, where a trainer keeps one. */
  readonly average?: Float32Array | undefined
  /** What a trainer must know besides weights and optimizer to go on (a KL coefficient, a step), by name. */
  readonly state?: Readonly<Record<string, number>> | undefined
}

const tensors = (
  parameters: ReadonlyArray<Parameter>,
  values: Float32Array,
  prefix = ""
): ReadonlyArray<Safetensors.NamedTensor> =>
  parameters.map(({ name, offset, shape }) => ({
    name: `${prefix}${name}`,
    shape,
    values: values.subarray(offset, offset + size(shape))
  }))

/** Names what is in memory by the blobs that hold it, so that a device which has it is known to have it. */
const nameContents = ({ optimizer, weights }: Pick<Checkpoint, "optimizer" | "weights">, parts: Artifact["parts"]) => {
  const digests = (...names: ReadonlyArray<string>) => names.map((name) => parts[name]?.digest ?? "").join(" ")
  nameContent(weights.values, digests("model.safetensors", "adapter.safetensors"))
  if (optimizer === undefined) return
  nameContent(optimizer.firstMoment, `m ${digests("optimizer.safetensors")}`)
  nameContent(optimizer.secondMoment, `v ${digests("optimizer.safetensors")}`)
}

/** So many values are copied before others get their turn. */
const SLICE = 1024 * 1024

const trained = ({ parameters, trainable }: Layout) => parameters.filter(({ offset }) => offset < trainable)
const frozen = ({ parameters, trainable }: Layout) => parameters.filter(({ offset }) => offset >= trainable)

const fill = Effect.fnUntraced(function* (
  values: Float32Array,
  parameters: ReadonlyArray<Parameter>,
  from: ReadonlyMap<string, Safetensors.NamedTensor>,
  prefix: string
) {
  for (const { name, offset, shape } of parameters) {
    const tensor = from.get(`${prefix}${name}`)
    if (tensor === undefined || tensor.shape.join() !== shape.join()) {
      const found = tensor === undefined ? "nothing" : `shape [${tensor.shape.join(", ")}]`
      return yield* new Safetensors.SafetensorsError({
        place: `${prefix}${name}`,
        message: `expected shape [${shape.join(", ")}], found ${found}`
      })
    }
    for (let at = 0; at < tensor.values.length; at += SLICE) {
      values.set(tensor.values.subarray(at, at + SLICE), offset + at)
      yield* Effect.yieldNow
    }
  }
})

const ConfigFile = Schema.fromJsonString(
  Schema.Struct({
    model: ModelConfig,
    optimizerStep: Schema.NullOr(Schema.Int),
    state: Schema.NullOr(Schema.Record(Schema.String, Schema.Number))
  })
)

const encode = Effect.fnUntraced(function* (value: Checkpoint, sink: BlobSink) {
  const { optimizer, tokenizer, weights } = value
  const tokenizerArtifact = yield* TokenizerPort.encode(tokenizer, sink)
  const places = layout(weights.config)
  const { adapter } = weights.config
  const file = (...of: Parameters<typeof Safetensors.encode>) =>
    sink.put(Stream.fromIterable(Safetensors.encode(...of)))
  const config = JSON.stringify({
    model: weights.config,
    optimizerStep: optimizer?.step ?? null,
    state: value.state ?? null
  })
  const parts: Record<string, { readonly digest: string; readonly bytes: number }> = {
    "config.json": yield* sink.put(new TextEncoder().encode(config)),
    "model.safetensors": yield* file(
      tensors(adapter === undefined ? places.parameters : frozen(places), weights.values),
      { format: "pt" }
    ),
    ...tokenizerArtifact.parts
  }
  if (adapter !== undefined) {
    parts["adapter.safetensors"] = yield* file(tensors(trained(places), weights.values), { format: "pt" })
  }
  if (optimizer !== undefined) {
    parts["optimizer.safetensors"] = yield* file([
      ...tensors(trained(places), optimizer.firstMoment, "m."),
      ...tensors(trained(places), optimizer.secondMoment, "v.")
    ])
  }
  nameContents(value, parts)
  if (value.average !== undefined) {
    parts["average.safetensors"] = yield* file(tensors(trained(places), value.average), { format: "pt" })
  }
  const artifact: Artifact = {
    kind: "checkpoint",
    digest: digestOf(
      "checkpoint",
      Object.fromEntries(Object.entries(parts).map(([name, blob]) => [name, blob.digest]))
    ),
    parts,
    meta: { ...weights.config, parameters: places.count }
  }
  return artifact
})

const decode = Effect.fnUntraced(function* (artifact: Artifact, source: BlobSource) {
  const part = (name: string) => {
    const blob = artifact.parts[name]
    return blob === undefined
      ? Effect.fail(new ArtifactError({ place: `checkpoint ${artifact.digest}`, message: `it has no part ${name}` }))
      : source.bytes(blob)
  }
  const place = `checkpoint ${artifact.digest}`
  const read = Effect.fnUntraced(function* (
    name: string,
    parameters: ReadonlyArray<Parameter>,
    into: Readonly<Record<string, Float32Array>>
  ) {
    const bytes = yield* part(name)
    yield* Effect.try({ try: () => Safetensors.decode(bytes), catch: (cause) => cause }).pipe(
      Effect.flatMap((found) =>
        Effect.forEach(Object.entries(into), ([prefix, values]) => fill(values, parameters, found, prefix))
      ),
      Effect.mapError((cause) => new ArtifactError({ place: `${place}, ${name}`, message: String(cause) }))
    )
  })
  const text = new TextDecoder().decode(yield* part("config.json"))
  const config = yield* Effect.mapError(
    Schema.decodeUnknownEffect(ConfigFile)(text),
    (cause) => new ArtifactError({ place: `${place}, config.json`, message: String(cause) })
  )
  const places = layout(config.model)
  const values = new Float32Array(places.count)
  const adapted = config.model.adapter !== undefined
  yield* read("model.safetensors", adapted ? frozen(places) : places.parameters, { "": values })
  if (adapted) yield* read("adapter.safetensors", trained(places), { "": values })
  const tokenizer = yield* TokenizerPort.decode(
    { kind: "tokenizer", digest: "", parts: artifact.parts, meta: {} },
    source
  )
  let optimizer: OptimizerState | undefined
  if (config.optimizerStep !== null) {
    const [firstMoment, secondMoment] = [new Float32Array(places.trainable), new Float32Array(places.trainable)]
    yield* read("optimizer.safetensors", trained(places), { "m.": firstMoment, "v.": secondMoment })
    optimizer = { firstMoment, secondMoment, step: config.optimizerStep }
  }
  let average: Float32Array | undefined
  if (artifact.parts["average.safetensors"] !== undefined) {
    average = new Float32Array(places.trainable)
    yield* read("average.safetensors", trained(places), { "": average })
  }
  nameContents({ weights: { config: config.model, values }, optimizer }, artifact.parts)
  const checkpoint: Checkpoint = {
    weights: { config: config.model, values },
    tokenizer,
    optimizer,
    average,
    state: config.state ?? undefined
  }
  return checkpoint
})

/** The port of checkpoints. */
export const CheckpointPort: Port<Checkpoint> = {
  kind: "checkpoint",
  contract: { version: 1 },
  resident: true,
  encode,
  decode
}
