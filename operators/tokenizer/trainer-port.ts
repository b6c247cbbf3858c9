/**
 * The port of a tokenizer's training that is not finished: the words, how often each was seen, and the merges so far.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Artifact, ArtifactError } from "../../src/operator/artifact.ts"
import { digestOf } from "../../src/operator/digest.ts"
import type { Port } from "../../src/operator/port.ts"
import type { TrainerState } from "./train.ts"

const Merges = Schema.fromJsonString(Schema.Array(Schema.Tuple([Schema.String, Schema.String])))
const encodeMerges = Schema.encodeSync(Merges)
const decodeMerges = Schema.decodeUnknownEffect(Merges)

const bytesOf = (array: Int32Array | Float64Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** The state of training, in one blob for each of its arrays. */
export const TrainerPort: Port<TrainerState> = {
  kind: "tokenizer-training",
  contract: { version: 1 },
  encode: Effect.fnUntraced(function* ({ counts, ids, lengths, merges }, sink) {
    const parts = {
      ids: yield* sink.put(bytesOf(ids)),
      lengths: yield* sink.put(bytesOf(lengths)),
      counts: yield* sink.put(bytesOf(counts)),
      merges: yield* sink.put(Buffer.from(encodeMerges(merges)))
    }
    const digest = digestOf(
      "tokenizer-training",
      Object.fromEntries(Object.entries(parts).map(([name, blob]) => [name, blob.digest]))
    )
    const artifact: Artifact = { kind: "tokenizer-training", digest, parts, meta: { merges: merges.length } }
    return artifact
  }),
  decode: Effect.fnUntraced(function* (artifact, source) {
    const part = (name: string) => {
      const blob = artifact.parts[name]
      const message = `training of a tokenizer has no part ${name}`
      return blob === undefined
        ? Effect.fail(new ArtifactError({ place: artifact.digest, message }))
        : Effect.map(source.bytes(blob), (bytes) => bytes.slice().buffer)
    }
    const merges = yield* part("merges")
    return {
      ids: new Int32Array(yield* part("ids")),
      lengths: new Int32Array(yield* part("lengths")),
      counts: new Float64Array(yield* part("counts")),
      merges: yield* Effect.mapError(
        decodeMerges(Buffer.from(merges).toString("utf8")),
        ({ message }) => new ArtifactError({ place: artifact.digest, message })
      )
    }
  })
}
