/**
 * A tokenizer from its `tokenizer.json`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Merge, makeEncodeWord } from "./bpe.ts"
import { bytesOfToken, characterOfByte } from "./byte-characters.ts"
import { charactersOf, makeDecodeCharacters, makeEncodeCharacters } from "./characters.ts"
import { addedSplitter, normalizer, refuse, refuseOptions, splitter, TokenizerError } from "./components.ts"
import { makeDecode, makeEncode } from "./encode.ts"
import type { SpecialTokens, Tokenizer } from "./tokenizer.ts"
import { type AddedToken, TokenizerJson } from "./tokenizer-json.ts"

const decodeJson = Schema.decodeUnknownEffect(Schema.fromJsonString(TokenizerJson))

/** The tokenizer that a `tokenizer.json` describes: byte pair encoding over bytes (GPT-2, Llama 3, Qwen, GPT-NeoX, ...), or single characters. */
export const load = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Tokenizer, TokenizerError> {
  const json = yield* Effect.mapError(decodeJson(file), (error) => refuse("", error.message))
  return yield* Effect.suspend(() => {
    try {
      return Effect.succeed(build(json, file))
    } catch (error) {
      return error instanceof TokenizerError ? Effect.fail(error) : Effect.die(error)
    }
  })
})

/** Names of the tokens that end a text or fill a batch, in the order in which they are looked for. */
const roles = {
  endOfText: ["<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|end▁of▁sentence|>", "</s>", "<eos>"],
  pad: ["<|pad|>", "<|padding|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|PAD_TOKEN|>"]
}

const rolesOf = (special: ReadonlyMap<string, number>): SpecialTokens => {
  const find = (names: ReadonlyArray<string>) => names.map((name) => special.get(name)).find((id) => id !== undefined)
  const endOfText = find(roles.endOfText)
  if (endOfText === undefined) {
    throw refuse("added_tokens", `no special token ends a text; one of ${roles.endOfText.join(", ")} is needed`)
  }
  return { endOfText, pad: find(roles.pad) ?? endOfText }
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
  refuseOptions(model)
  const idOf = (token: string, place: string): number => {
    const id = ids.get(token)
    if (id === undefined) throw refuse(place, `token ${JSON.stringify(token)} is not in model.vocab`)
    return id
  }
  const byteIds = Int32Array.from(characterOfByte, (character) => idOf(character, "model.vocab"))
  if (model.merges === undefined || model.merges === null) throw refuse("model.merges", "model.merges is missing")
  const merges = model.merges.map((merge, rank): Merge => {
    const place = `model.merges[${rank}]`
    const [left, right] = typeof merge === "string" ? merge.split(" ") : merge
    if (left === undefined || right === undefined) throw refuse(place, `${place} is not a pair of tokens`)
    return { left: idOf(left, place), right: idOf(right, place), result: idOf(left + right, place) }
  })
  return {
    ...common,
    encode: makeEncode({
      normalize: normalizer(json.normalizer ?? undefined),
      split: splitter(json.pre_tokenizer ?? undefined),
      splitAdded: addedSplitter(added),
      encodeWord: makeEncodeWord(merges, byteIds, size),
      whole: model.ignore_merges === true ? ids : undefined
    }),
    decode: makeDecode(bytesById(ids, added, size), new Set(special.values()))
  }
}

/** The bytes of every token; a token that was added stands for the text it is written as. */
const bytesById = (ids: ReadonlyMap<string, number>, added: ReadonlyArray<AddedToken>, size: number) => {
  const contents = new Map(added.map(({ content, id }) => [id, content]))
  const bytes: Array<Uint8Array | undefined> = Array.from({ length: size })
  for (const [token, id] of ids) {
    bytes[id] = contents.has(id) ? undefined : bytesOfToken(token)
    if (bytes[id] === undefined && !contents.has(id)) {
      throw refuse("model.vocab", `token ${JSON.stringify(token)} is not written in the characters of bytes`)
    }
  }
  for (const [id, content] of contents) bytes[id] = Buffer.from(content)
  return bytes
}
