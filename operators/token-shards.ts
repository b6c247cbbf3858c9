/**
 * Tokens in shards: files of fixed-size numbers that are read where they are wanted, so that a corpus may be larger than memory.
 *
 * @since 0.1.0
 */
import { type FileHandle, open } from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Artifact, ArtifactError, type Blob } from "../src/operator/artifact.ts"
import { digestOf } from "../src/operator/digest.ts"
import * as Operator from "../src/operator/operator.ts"
import { makeOrigins, type Origins } from "../src/operator/origins.ts"
import type { Port } from "../src/operator/port.ts"
import * as Table from "../src/table/index.ts"
import { TokenOutOfRange } from "./chat/errors.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { TokenSequence } from "./rows.ts"
import { type TokenSource, tokensAt } from "./token-source.ts"
import { TokenizerPort } from "./tokenizer/port.ts"

/** Shards; `chunks` are all tokens in order, each with the bytes of text it stands for. */
export interface TokenShards extends TokenSource {
  readonly width: 2 | 4
  readonly shardTokens: number
  readonly chunks: Stream.Stream<{ readonly tokens: Int32Array; readonly bytes: number }, ArtifactError>
  /** Which row of the table that they were made of each token is in, once they are written. */
  readonly origins?: () => { readonly tokens: Origins }
}

const Meta = Schema.Struct({
  count: Schema.Int,
  bytes: Schema.Int,
  width: Schema.Literals([2, 4]),
  shardTokens: Schema.Int
})

const nameOf = (shard: number) => `tokens-${String(shard).padStart(5, "0")}.bin`

const encodeTokens = (tokens: Int32Array, width: 2 | 4): Uint8Array =>
  new Uint8Array((width === 2 ? Uint16Array.from(tokens) : tokens.slice()).buffer)

const decodeTokens = (bytes: Uint8Array<ArrayBuffer>, width: 2 | 4): Int32Array =>
  width === 2 ? Int32Array.from(new Uint16Array(bytes.buffer)) : new Int32Array(bytes.buffer)

const readBytes = async (file: FileHandle, at: number, count: number) => {
  const bytes = new Uint8Array(count)
  for (let done = 0; done < count; ) {
    const { bytesRead } = await file.read(bytes, done, count - done, at + done)
    if (bytesRead === 0) throw new Error(`the file ends at byte ${at + done}`)
    done += bytesRead
  }
  return bytes
}

/**
 * Reads files at any place.
 * ptmflow-allow file: blobs of an artifact, by their digests
 */
const reader = (paths: ReadonlyArray<string>, meta: typeof Meta.Type, place: string): TokenSource["read"] => {
  const { shardTokens, width } = meta
  const attempt = <A>(file: string, promise: () => Promise<A>) =>
    Effect.tryPromise({
      try: promise,
      catch: (cause) => new ArtifactError({ place: `${place}, ${file}`, message: String(cause) })
    })
  return Effect.fnUntraced(function* (from, count) {
    if (from < 0 || from + count > meta.count) {
      const message = `tokens ${from} to ${from + count} are not all among its ${meta.count}`
      return yield* new ArtifactError({ place, message })
    }
    const tokens = new Int32Array(count)
    for (let done = 0; done < count; ) {
      const at = from + done
      const [shard, offset] = [Math.floor(at / shardTokens), at % shardTokens]
      const here = Math.min(count - done, shardTokens - offset)
      const bytes = yield* attempt(nameOf(shard), async () => {
        const file = await open(paths[shard]!, "r")
        try {
          return await readBytes(file, offset * width, here * width)
        } finally {
          await file.close()
        }
      })
      tokens.set(decodeTokens(bytes, width), done)
      done += here
    }
    return tokens
  })
}

/** Chunks cut at the ends of shards; no more than a shard is in memory. */
const inShards = (shards: TokenShards) =>
  shards.chunks.pipe(
    Stream.mapAccum(
      () => ({ buffer: new Int32Array(shards.shardTokens), used: 0 }),
      (state, { bytes, tokens }) => {
        const full: Array<Int32Array> = []
        let { buffer, used } = state
        for (let at = 0; at < tokens.length; ) {
          const taken = tokens.subarray(at, at + buffer.length - used)
          buffer.set(taken, used)
          used += taken.length
          at += taken.length
          if (used < buffer.length) continue
          full.push(buffer)
          buffer = new Int32Array(shards.shardTokens)
          used = 0
        }
        return [{ buffer, used }, [{ full, bytes, count: tokens.length, rest: buffer.subarray(0, used) }]]
      }
    )
  )

/** The port of token shards: parts `tokens-00000.bin` and so on, little-endian numbers of 2 bytes where the vocabulary allows, else of 4. */
export const TokenShardsPort: Port<TokenShards> = {
  kind: "tokens",
  contract: { version: 1 },
  encode: Effect.fnUntraced(function* (shards, sink) {
    const parts: Record<string, Blob> = {}
    let [count, bytes, number] = [0, 0, 0]
    let rest: Int32Array = new Int32Array(0)
    const put = Effect.fnUntraced(function* (tokens: Int32Array) {
      parts[nameOf(number++)] = yield* sink.put(encodeTokens(tokens, shards.width))
    })
    yield* Stream.runForEach(inShards(shards), (step) => {
      count += step.count
      bytes += step.bytes
      rest = step.rest
      return Effect.forEach(step.full, put, { discard: true })
    })
    if (rest.length > 0) yield* put(rest)
    const meta = { count, bytes, width: shards.width, shardTokens: shards.shardTokens }
    const digests = Object.fromEntries(Object.entries(parts).map(([name, { digest }]) => [name, digest]))
    const artifact: Artifact = { kind: "tokens", digest: digestOf("tokens", { ...meta, digests }), parts, meta }
    return artifact
  }),
  decode: Effect.fnUntraced(function* (artifact, source) {
    const place = `tokens ${artifact.digest}`
    const meta = yield* Effect.mapError(
      Schema.decodeUnknownEffect(Meta)(artifact.meta),
      (error) => new ArtifactError({ place, message: error.message })
    )
    const paths: Array<string> = []
    for (let shard = 0; shard * meta.shardTokens < meta.count; shard++) {
      const blob = artifact.parts[nameOf(shard)]
      if (blob === undefined) return yield* new ArtifactError({ place, message: `it has no part ${nameOf(shard)}` })
      paths.push(yield* source.path(blob))
    }
    const read = reader(paths, meta, place)
    const shards: TokenShards = {
      ...meta,
      read,
      rowsAt: tokensAt,
      chunks: Stream.fromIterable(paths.keys()).pipe(
        Stream.mapEffect((shard) => {
          const from = shard * meta.shardTokens
          return read(from, Math.min(meta.shardTokens, meta.count - from))
        }),
        // What each stands for is known of all together only.
        Stream.zipWithIndex,
        Stream.map(([tokens, index]) => ({ tokens, bytes: index === 0 ? meta.bytes : 0 }))
      )
    }
    return shards
  })
}

/** Writes token sequences as shards. No more than a shard is in memory, here and when they are read. */
export const shardTokens = Operator.make("shard-tokens", {
  description: "Writes token sequences as files that are read where they are wanted",
  params: Schema.Struct({ shardTokens: parameter(PositiveInt, 1 << 24, "tokens of a shard") }),
  inputs: { tokens: Table.of(TokenSequence), tokenizer: TokenizerPort },
  outputs: { shards: TokenShardsPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const { vocabularySize } = inputs.tokenizer
    // Looked at before anything is written: rows are read twice and kept never.
    yield* inputs.tokens.rows.pipe(
      Stream.zipWithIndex,
      Stream.runForEach(([{ id, tokens }, row]) => {
        const bad = tokens.findIndex((token) => token < 0 || token >= vocabularySize)
        if (bad < 0) return Effect.yieldNow
        const message = `token ${bad} is ${tokens[bad]}, the tokenizer's are 0 to ${vocabularySize - 1}: it was encoded with another`
        return Effect.fail(
          new TokenOutOfRange({ operator: "shard-tokens", place: `tokens, row ${row} (${id})`, message })
        )
      })
    )
    let origins = makeOrigins()
    let next = 0
    const shards: TokenShards = {
      count: 0,
      bytes: 0,
      width: vocabularySize <= 2 ** 16 ? 2 : 4,
      shardTokens: params.shardTokens,
      read: () => Effect.fail(new ArtifactError({ place: "tokens", message: "they are not written yet" })),
      rowsAt: tokensAt,
      origins: () => ({ tokens: origins.runs() }),
      chunks: inputs.tokens.rows.pipe(
        Stream.map(({ bytes, tokens }) => {
          origins.add([[next, next]], tokens.length)
          next++
          return { tokens, bytes }
        }),
        Stream.onStart(
          Effect.sync(() => {
            origins = makeOrigins()
            next = 0
          })
        ),
        Stream.mapError((error) =>
          error instanceof ArtifactError ? error : new ArtifactError({ place: "tokens", message: error.message })
        )
      )
    }
    return { shards }
  })
})
