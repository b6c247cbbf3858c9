/**
 * The port of a checkpoint as Hugging Face's files: what `transformers` loads, once its parts lie in a folder.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { merge } from "../../src/engine/adapter.ts"
import { layout } from "../../src/engine/model.ts"
import * as Safetensors from "../../src/engine/safetensors.ts"
import { size } from "../../src/engine/tensor.ts"
import { type Artifact, ArtifactError, type Blob, type BlobSink, type BlobSource } from "../../src/operator/artifact.ts"
import { digestOf } from "../../src/operator/digest.ts"
import type { Port } from "../../src/operator/port.ts"
import type { Checkpoint } from "../checkpoint.ts"
import * as Config from "./config.ts"
import * as Import from "./import.ts"
import { extract, type Part, parts } from "./parts.ts"

/** A checkpoint to be written in files of at most `shardBytes` bytes of tensors. */
export interface HuggingFaceModel {
  readonly checkpoint: Checkpoint
  readonly shardBytes: number
}

const bytesOf = (part: Part) => 4 * size(part.shape)

/** Tensors in order, as many in a shard as fit; one that is larger has its own. */
const shardsOf = (all: ReadonlyArray<Part>, limit: number): ReadonlyArray<ReadonlyArray<Part>> => {
  const shards: Array<Array<Part>> = []
  let bytes = Number.POSITIVE_INFINITY
  for (const part of all) {
    if (bytes + bytesOf(part) > limit) {
      shards.push([])
      bytes = 0
    }
    shards.at(-1)!.push(part)
    bytes += bytesOf(part)
  }
  return shards
}

const number = (n: number) => String(n).padStart(5, "0")

const encode = Effect.fnUntraced(function* ({ checkpoint, shardBytes }: HuggingFaceModel, sink: BlobSink) {
  const { tokenizer } = checkpoint
  const weights = merge(checkpoint.weights)
  const all = parts(weights.config)
  const shards = shardsOf(all, shardBytes)
  const written: Record<string, Blob> = {
    "config.json": yield* sink.put(Buffer.from(Config.write(weights.config, tokenizer.special.endOfText))),
    "tokenizer.json": yield* sink.put(Buffer.from(tokenizer.json))
  }
  const map: Record<string, string> = {}
  for (const [index, shard] of shards.entries()) {
    const file =
      shards.length === 1 ? "model.safetensors" : `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`
    for (const part of shard) map[part.name] = file
    const tensors = shard.map((part) => ({
      name: part.name,
      shape: part.shape,
      values: () => extract(part, weights.values)
    }))
    written[file] = yield* sink.put(Stream.fromIterable(Safetensors.encode(tensors, { format: "pt" })))
  }
  if (shards.length > 1) {
    const total = all.reduce((sum, part) => sum + bytesOf(part), 0)
    const index = JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2)
    written[Import.INDEX] = yield* sink.put(Buffer.from(index))
  }
  const artifact: Artifact = {
    kind: "huggingface",
    digest: digestOf(
      "huggingface",
      Object.fromEntries(Object.entries(written).map(([name, blob]) => [name, blob.digest]))
    ),
    parts: written,
    meta: { family: weights.config.family, parameters: layout(weights.config).count, files: Object.keys(written) }
  }
  return artifact
})

const decode = Effect.fnUntraced(function* (artifact: Artifact, source: BlobSource) {
  const files = new Map<string, string>()
  for (const [name, blob] of Object.entries(artifact.parts)) files.set(name, yield* source.path(blob))
  const checkpoint = yield* Effect.mapError(
    Import.read(files),
    ({ message, place }) => new ArtifactError({ place: `huggingface ${artifact.digest}, ${place}`, message })
  )
  const model: HuggingFaceModel = { checkpoint, shardBytes: Number.POSITIVE_INFINITY }
  return model
})

/** The port of a checkpoint as Hugging Face's files. */
export const HuggingFacePort: Port<HuggingFaceModel> = { kind: "huggingface", contract: { version: 1 }, encode, decode }
