/**
 * A checkpoint from Hugging Face's files: `config.json`, `tokenizer.json`, and `model.safetensors` or the shards that
 * `model.safetensors.index.json` names.
 *
 * @since 0.1.0
 */
import { readFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, layout } from "../../src/engine/model.ts"
import type { Checkpoint } from "../checkpoint.ts"
import { load } from "../tokenizer/load.ts"
import { addedTokens } from "../tokenizer/tokenizer-json.ts"
import { HuggingFaceError, parse } from "./config.ts"
import { isDerived, namesOf, type Part, parts, place } from "./parts.ts"
import * as TensorFile from "./tensor-file.ts"

/** The name of the index of shards. */
export const INDEX = "model.safetensors.index.json"

const Index = Schema.fromJsonString(Schema.Struct({ weight_map: Schema.Record(Schema.String, Schema.String) }))

type Files = ReadonlyMap<string, string>

const fail = (at: string, message: string) => new HuggingFaceError({ place: at, message })

const needed = Effect.fnUntraced(function* (files: Files, name: string) {
  const path = files.get(name)
  if (path === undefined) return yield* fail(name, `there is no ${name} beside ${[...files.keys()].join(", ")}`)
  return path
})

/**
 * The text of a file.
 * ptmflow-allow file: a source of the stage, or a blob of an artifact
 */
const text = Effect.fnUntraced(function* (files: Files, name: string) {
  const path = yield* needed(files, name)
  return yield* Effect.tryPromise({ try: () => readFile(path, "utf8"), catch: (cause) => fail(name, String(cause)) })
})

/** The file that each tensor is in, by name. */
const weightFiles = Effect.fnUntraced(function* (files: Files) {
  const opened = new Map<string, TensorFile.TensorFile>()
  const open = Effect.fnUntraced(function* (name: string) {
    const known = opened.get(name)
    if (known !== undefined) return known
    const file = yield* TensorFile.open(yield* needed(files, name), name)
    opened.set(name, file)
    return file
  })
  const places = new Map<string, { readonly file: TensorFile.TensorFile; readonly in: string }>()
  if (!files.has(INDEX)) {
    const file = yield* open("model.safetensors")
    for (const name of file.entries.keys()) places.set(name, { file, in: "model.safetensors" })
    return places
  }
  const { weight_map } = yield* Effect.mapError(Schema.decodeUnknownEffect(Index)(yield* text(files, INDEX)), (error) =>
    fail(INDEX, error.message)
  )
  for (const [name, shard] of Object.entries(weight_map)) {
    const file = yield* open(shard)
    if (!file.entries.has(name)) return yield* fail(`${shard}: ${name}`, `${INDEX} says it is there, and it is not`)
    places.set(name, { file, in: shard })
  }
  return places
})

/**
 * Reads a checkpoint; values of f16 and bf16 become f32 exactly. Fails with the file and the place of a tensor that is missing, has another
 * shape, or that the model has no place for.
 */
export const read = Effect.fnUntraced(function* (files: Files) {
  const config = yield* Effect.flatMap(text(files, "config.json"), (file) =>
    Effect.try({
      try: () => parse(file),
      catch: (cause) => (cause instanceof HuggingFaceError ? cause : fail("config.json", String(cause)))
    })
  )
  const problem = invalid(config)
  if (problem !== null) return yield* fail(`config.json: ${problem.place}`, problem.message)
  const tokenizer = yield* readTokenizer(yield* text(files, "tokenizer.json"), config.vocabulary)
  const places = yield* weightFiles(files)
  const values = new Float32Array(layout(config).count)
  const used = new Set<string>()
  for (const part of parts(config)) used.add(yield* readPart(part, places, values))
  for (const name of places.keys()) {
    if (used.has(name) || isDerived(config, name)) continue
    return yield* fail(
      `${places.get(name)!.in}: ${name}`,
      `a ${config.family} model has no such tensor: without it, it would be another model`
    )
  }
  const checkpoint: Checkpoint = { weights: { config, values }, tokenizer }
  return checkpoint
}, Effect.scoped)

/** Rows of a model's tables that no token has, as special tokens: one that is sampled is left out of the text. */
const withUnused = (file: string, from: number, to: number): string => {
  const json = JSON.parse(file) as { added_tokens?: ReadonlyArray<unknown> }
  const unused = addedTokens(
    from,
    Array.from({ length: to - from }, (_, i) => `<|unused_${from + i}|>`)
  )
  return JSON.stringify({ ...json, added_tokens: [...(json.added_tokens ?? []), ...unused] })
}

const readTokenizer = Effect.fnUntraced(function* (file: string, vocabulary: number) {
  const tokenizerOf = (json: string) =>
    Effect.mapError(load(json), (error) => fail(`tokenizer.json: ${error.place}`, error.message))
  const tokenizer = yield* tokenizerOf(file)
  const { vocabularySize } = tokenizer
  if (vocabularySize === vocabulary) return tokenizer
  if (vocabularySize < vocabulary) return yield* tokenizerOf(withUnused(file, vocabularySize, vocabulary))
  const message = `it has ${vocabularySize} tokens, the model's vocabulary (vocab_size) is ${vocabulary}`
  return yield* fail("tokenizer.json", message)
})

const readPart = Effect.fnUntraced(function* (
  part: Part,
  places: Effect.Success<ReturnType<typeof weightFiles>>,
  values: Float32Array
) {
  const name = namesOf(part).find((each) => places.has(each))
  if (name === undefined) return yield* fail(`weights: ${part.name}`, "the tensor is missing")
  const { file, in: fileName } = places.get(name)!
  const { shape } = file.entries.get(name)!
  if (shape.join() !== part.shape.join()) {
    return yield* fail(
      `${fileName}: ${name}`,
      `its shape is [${shape.join(", ")}], by config.json it is [${part.shape.join(", ")}]`
    )
  }
  yield* file.rows(name, (rows, row) => place(part, rows, row, values))
  return name
})
