/**
 * The checkpoint port: weights, configuration and tokenizer, and the optimizer's state when training is to go on.
 *
 * As blobs: `model.safetensors` (Hugging Face's GPT-2 names and shapes), `config.json`, `tokenizer.json`, `optimizer.safetensors`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { layout, ModelConfig, type Weights } from "../src/engine/model.ts"
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
  /** What a trainer must know besides weights and optimizer to go on (a KL coefficient, a step), by name. */
  readonly state?: Readonly<Record<string, number>> | undefined
}

const tensors = (config: ModelConfig, values: Float32Array, prefix = ""): ReadonlyArray<Safetensors.NamedTensor> =>
  layout(config).parameters.map(({ name, offset, shape }) => ({
    name: `${prefix}${name}`,
    shape,
    values: values.subarray(offset, offset + size(shape))
  }))

/** So many values are copied before others get their turn. */
const SLICE = 1024 * 1024

const flat = Effect.fnUntraced(function* (
  config: ModelConfig,
  from: ReadonlyMap<string, Safetensors.NamedTensor>,
  prefix = ""
) {
  const { count, parameters } = layout(config)
  const values = new Float32Array(count)
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
  return values
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
  const config = JSON.stringify({
    model: weights.config,
    optimizerStep: optimizer?.step ?? null,
    state: value.state ?? null
  })
  const parts: Record<string, { readonly digest: string; readonly bytes: number }> = {
    "config.json": yield* sink.put(new TextEncoder().encode(config)),
    "model.safetensors": yield* sink.put(
      Stream.fromIterable(Safetensors.encode(tensors(weights.config, weights.values), { format: "pt" }))
    ),
    ...tokenizerArtifact.parts
  }
  if (optimizer !== undefined) {
    parts["optimizer.safetensors"] = yield* sink.put(
      Stream.fromIterable(
        Safetensors.encode([
          ...tensors(weights.config, optimizer.firstMoment, "m."),
          ...tensors(weights.config, optimizer.secondMoment, "v.")
        ])
      )
    )
  }
  const artifact: Artifact = {
    kind: "checkpoint",
    digest: digestOf(
      "checkpoint",
      Object.fromEntries(Object.entries(parts).map(([name, blob]) => [name, blob.digest]))
    ),
    parts,
    meta: { ...weights.config, parameters: layout(weights.config).count }
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
  const read = Effect.fnUntraced(function* (name: string, prefixes: ReadonlyArray<string>) {
    const bytes = yield* part(name)
    return yield* Effect.try({ try: () => Safetensors.decode(bytes), catch: (cause) => cause }).pipe(
      Effect.flatMap((found) => Effect.forEach(prefixes, (prefix) => flat(config.model, found, prefix))),
      Effect.mapError((cause) => new ArtifactError({ place: `${place}, ${name}`, message: String(cause) }))
    )
  })
  const text = new TextDecoder().decode(yield* part("config.json"))
  const config = yield* Effect.mapError(
    Schema.decodeUnknownEffect(ConfigFile)(text),
    (cause) => new ArtifactError({ place: `${place}, config.json`, message: String(cause) })
  )
  const [values] = yield* read("model.safetensors", [""])
  const tokenizer = yield* TokenizerPort.decode(
    { kind: "tokenizer", digest: "", parts: artifact.parts, meta: {} },
    source
  )
  let optimizer: OptimizerState | undefined
  if (config.optimizerStep !== null) {
    const [firstMoment, secondMoment] = yield* read("optimizer.safetensors", ["m.", "v."])
    optimizer = { firstMoment: firstMoment!, secondMoment: secondMoment!, step: config.optimizerStep }
  }
  const checkpoint: Checkpoint = {
    weights: { config: config.model, values: values! },
    tokenizer,
    optimizer,
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
