/**
 * A tokenizer whose tokens are single characters (Unicode code points): a word-level `tokenizer.json` with words of one character.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Tokenizer } from "./tokenizer.ts"
import { refuse } from "./tokenizer-error.ts"
import { addedTokens, type TokenizerJson } from "./tokenizer-json.ts"

/** A text has a character that the vocabulary does not; `offset` is where, in UTF-16 units. */
export class UnknownCharacter extends Schema.TaggedError<UnknownCharacter>()("UnknownCharacter", {
  character: Schema.String,
  offset: Schema.Int,
  message: Schema.String
}) {}

/** The pattern that makes every character a word. */
const EACH = "[\\s\\S]"

/** The characters that a word-level model has for its words. Throws `TokenizerError` if it is anything else. */
export const charactersOf = (
  json: TokenizerJson,
  special: ReadonlyMap<string, number>
): ReadonlyMap<string, number> => {
  const { model, normalizer, pre_tokenizer: split } = json
  const pattern = (split?.["pattern"] as { readonly Regex?: string } | undefined)?.Regex
  if (split?.type !== "Split" || split["behavior"] !== "Isolated" || pattern !== EACH) {
    throw refuse("pre_tokenizer", `a WordLevel model is supported where pre_tokenizer is a Split by ${EACH}, Isolated`)
  }
  if (normalizer !== undefined && normalizer !== null) {
    throw refuse("normalizer", "a WordLevel model with a normalizer is not supported")
  }
  const characters = Object.entries(model.vocab).filter(([token]) => !special.has(token))
  const long = characters.find(([token]) => token.length !== (token.codePointAt(0)! > 0xffff ? 2 : 1))
  if (long !== undefined) {
    throw refuse("model.vocab", `token ${JSON.stringify(long[0])} is not one character: only such words are supported`)
  }
  return new Map(characters)
}

/** The encoding of texts. */
export const makeEncodeCharacters = (ids: ReadonlyMap<string, number>): Tokenizer["encode"] => {
  // Looking a character up by its code is faster than by a string.
  const idOfCode = new Map(Array.from(ids, ([character, id]) => [character.codePointAt(0)!, id]))
  return (text) => {
    const result = new Int32Array(text.length)
    let length = 0
    for (let at = 0; at < text.length; ) {
      const code = text.codePointAt(at)!
      const id = idOfCode.get(code)
      if (id === undefined) throw unknown(text, at, ids.size)
      result[length++] = id
      at += code > 0xffff ? 2 : 1
    }
    return result.slice(0, length)
  }
}

const unknown = (text: string, offset: number, size: number): UnknownCharacter => {
  const code = text.codePointAt(offset)!
  const character = String.fromCodePoint(code)
  const name = `${JSON.stringify(character)} (U+${code.toString(16).toUpperCase().padStart(4, "0")})`
  const line = text.slice(0, offset).split("\n").length
  const column = offset - text.lastIndexOf("\n", offset - 1)
  return new UnknownCharacter({
    character,
    offset,
    message: `line ${line}, column ${column}: the character ${name} is not one of the ${size} that the tokenizer knows`
  })
}

/** The decoding of token ids; `special` ids are left out unless asked for. */
export const makeDecodeCharacters = (
  ids: ReadonlyMap<string, number>,
  special: ReadonlyMap<string, number>,
  size: number
): Tokenizer["decode"] => {
  const tokens: Array<string | undefined> = Array.from({ length: size })
  for (const [token, id] of [...ids, ...special]) tokens[id] = token
  const hidden = new Set(special.values())
  return (sequence, options) => {
    let text = ""
    for (const id of sequence) {
      const token = tokens[id]
      if (token === undefined) throw new RangeError(`token id ${id} is not one of this tokenizer (0 to ${size - 1})`)
      if (options?.keepSpecial === true || !hidden.has(id)) text += token
    }
    return text
  }
}

/** The file of a tokenizer of these characters, in the order of their ids; `special` come after them. */
export const writeCharacters = (characters: ReadonlyArray<string>, special: ReadonlyArray<string>): string =>
  JSON.stringify(
    {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: addedTokens(characters.length, special),
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: EACH }, behavior: "Isolated", invert: false },
      post_processor: null,
      decoder: { type: "Fuse" },
      // No token stands for what is unknown: as here, Hugging Face's `tokenizers` then refuses the text.
      model: {
        type: "WordLevel",
        vocab: Object.fromEntries([...characters, ...special].map((token, id) => [token, id])),
        unk_token: "<|unknown|>"
      }
    },
    null,
    1
  )
