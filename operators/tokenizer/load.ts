/**
 * A tokenizer from its `tokenizer.json`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { addedSplitter } from "./added-tokens.ts"
import { type Merge, makeMergeWord } from "./bpe.ts"
import { inByteCharacters } from "./byte-characters.ts"
import { charactersOf, makeDecodeCharacters, makeEncodeCharacters } from "./characters.ts"
import { bytesOrText, decoder } from "./decoder.ts"
import { makeDecodeBytes, makeDecodeTokens, makeEncode } from "./encode.ts"
import { normalizer } from "./normalizer.ts"
import { preTokenizer } from "./pre-tokenizer.ts"
import { symbolsOf } from "./symbols.ts"
import type { SpecialTokens, Tokenizer } from "./tokenizer.ts"
import { refuse, TokenizerError } from "./tokenizer-error.ts"
import { type AddedToken, TokenizerJson } from "./tokenizer-json.ts"

// Other models' vocabularies have another form: what is refused is the model.
const ModelType = Schema.Struct({ model: Schema.Struct({ type: Schema.optional(Schema.NullOr(Schema.String)) }) })
const decodeType = Schema.decodeUnknownEffect(Schema.fromJsonString(ModelType))
const decodeJson = Schema.decodeUnknownEffect(Schema.fromJsonString(TokenizerJson))

/**
 * The tokenizer that a `tokenizer.json` describes: byte pair encoding over bytes (GPT-2, Llama 3, Qwen, GPT-NeoX, CLIP, ...) or over characters (Llama 2,
 * Mistral, Gemma, ...), or single characters. What it has and is not supported is a TokenizerError that names it.
 */
export const load = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Tokenizer, TokenizerError> {
  const { model } = yield* Effect.mapError(decodeType(file), (error) => refuse("", error.message))
  const type = model.type ?? "BPE"
  if (type !== "BPE" && type !== "WordLevel") {
    const message = `model.type is ${JSON.stringify(type)}: only BPE, and WordLevel of characters, are supported`
    return yield* refuse("model.type", message)
  }
  const json = yield* Effect.mapError(decodeJson(file), (error) => refuse("", error.message))
  return yield* Effect.suspend(() => {
    try {
      return Effect.succeed(build(json, file))
    } catch (error) {
      return error instanceof TokenizerError ? Effect.fail(error) : Effect.die(error)
    }
  })
})

/** Names of the tokens that end a text, in the order in which they are looked for. */
export const endsOfText: ReadonlyArray<string> = [
  "<|endoftext|>",
  "<|end_of_text|>",
  "<|im_end|>",
  "<｜end▁of▁sentence｜>",
  "</s>",
  "<eos>",
  "<EOT>",
  "[EOS]",
  "<EOS_TOKEN>",
  "<|eot_id|>",
  "<|end|>",
  "<end_of_turn>",
  "<EOD>",
  "[SEP]"
]
/** Those of tokens that fill a batch. */
const pads = ["<|pad|>", "<|padding|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<｜▁pad▁｜>", "<|PAD_TOKEN|>"]

const rolesOf = (special: ReadonlyMap<string, number>): SpecialTokens => {
  const find = (names: ReadonlyArray<string>) => names.map((name) => special.get(name)).find((id) => id !== undefined)
  const endOfText = find(endsOfText)
  return { endOfText, pad: find(pads) ?? endOfText }
}

const build = (json: TokenizerJson, file: string): Tokenizer => {
  const { model } = json
  const added = json.added_tokens ?? []
  const ids = new Map(Object.entries(model.vocab))
  const special = new Map(added.filter((token) => token.special === true).map(({ content, id }) => [content, id]))
  const size =
    [...ids.values(), ...special.values(), ...added.map(({ id }) => id)].reduce((a, b) => Math.max(a, b), -1) + 1
  const common = { vocabularySize: size, special: rolesOf(special), specialTokens: special, json: file }
  if (model.type === "WordLevel") {
    const characters = charactersOf(json, special)
    return {
      ...common,
      encode: makeEncodeCharacters(characters),
      decode: makeDecodeCharacters(characters, special, size)
    }
  }
  if ((model.dropout ?? 0) !== 0) {
    throw refuse(
      "model.dropout",
      `model.dropout is ${model.dropout}: an encoding that is drawn at random is not supported`
    )
  }
  const { byteLevel, split } = preTokenizer(json.pre_tokenizer ?? undefined)
  const symbols = symbolsOf(model, ids, byteLevel)
  const merge = makeMergeWord(mergesOf(model, ids), size)
  const whole = model.ignore_merges === true ? ids : undefined
  const normalize = normalizer(json.normalizer ?? undefined)
  const ordinary = added.filter((token) => token.special !== true)
  const writtenAs = ({ content, normalized, special }: AddedToken) =>
    normalized === false || special === true ? content : (normalize?.(content) ?? content)
  const contents = new Map(added.map((token) => [token.id, writtenAs(token)]))
  const specialIds = new Set(special.values())
  return {
    ...common,
    encode: makeEncode({
      splitAdded: addedSplitter(ordinary.filter(({ normalized }) => normalized === false)),
      normalize,
      splitAddedNormalized: addedSplitter(
        ordinary.filter(({ normalized }) => normalized !== false),
        writtenAs
      ),
      split,
      encodeWord: (word) => {
        const id = whole?.get(byteLevel ? inByteCharacters(word) : word)
        return id === undefined ? merge(symbols(word)) : Int32Array.of(id)
      }
    }),
    decode:
      json.decoder?.type === "ByteLevel"
        ? makeDecodeBytes(bytesById(ids, contents, size), specialIds)
        : makeDecodeTokens(tokensById(ids, contents, size), specialIds, decoder(json.decoder ?? undefined))
  }
}

const mergesOf = (model: TokenizerJson["model"], ids: ReadonlyMap<string, number>): ReadonlyArray<Merge> => {
  if (model.merges === undefined || model.merges === null) throw refuse("model.merges", "model.merges is missing")
  const prefix = model.continuing_subword_prefix ?? ""
  return model.merges.map((merge, rank): Merge => {
    const place = `model.merges[${rank}]`
    const [left, right, more] = typeof merge === "string" ? merge.split(" ") : merge
    if (left === undefined || right === undefined || more !== undefined) {
      throw refuse(place, `${place} is not a pair of tokens`)
    }
    const idOf = (token: string): number => {
      const id = ids.get(token)
      if (id === undefined) throw refuse(place, `token ${JSON.stringify(token)} is not in model.vocab`)
      return id
    }
    return { left: idOf(left), right: idOf(right), result: idOf(left + right.slice(prefix.length)) }
  })
}

/** The bytes of every token; a token that was added, or is not written in the characters of bytes, stands for the text it is written as. */
const bytesById = (ids: ReadonlyMap<string, number>, added: ReadonlyMap<number, string>, size: number) => {
  const bytes: Array<Uint8Array | undefined> = Array.from({ length: size })
  for (const [token, id] of ids) bytes[id] = bytesOrText(token)
  for (const [id, content] of added) bytes[id] = Buffer.from(content)
  return bytes
}

const tokensById = (ids: ReadonlyMap<string, number>, added: ReadonlyMap<number, string>, size: number) => {
  const tokens: Array<string | undefined> = Array.from({ length: size })
  for (const [token, id] of ids) tokens[id] = token
  for (const [id, content] of added) tokens[id] = content
  return tokens
}
