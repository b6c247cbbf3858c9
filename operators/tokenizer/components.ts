/**
 * The normalizers and pre-tokenizers of `tokenizer.json` that byte-level tokenizers use.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { GPT2_PATTERN, type Split, splitByPattern, splitInTurn } from "./split.ts"
import type { AddedToken, Component, TokenizerJson } from "./tokenizer-json.ts"

/** A `tokenizer.json` that is not one, or that asks for something ptmflow does not do. `place` is a path inside the file. */
export class TokenizerError extends Schema.TaggedError<TokenizerError>()("TokenizerError", {
  place: Schema.String,
  message: Schema.String
}) {}

export const refuse = (place: string, message: string) =>
  new TokenizerError({ place, message: `tokenizer.json: ${message}` })

/** Refuses models that are not byte pair encoding of bytes. */
export const refuseOptions = (model: TokenizerJson["model"]): void => {
  const unsupported = (name: string, value: unknown) =>
    refuse(`model.${name}`, `model.${name} is ${JSON.stringify(value)}: only byte-level BPE without it is supported`)
  if ((model.type ?? "BPE") !== "BPE") throw unsupported("type", model.type)
  if ((model.dropout ?? 0) !== 0) throw unsupported("dropout", model.dropout)
  if (model.byte_fallback === true) throw unsupported("byte_fallback", true)
  for (const name of ["continuing_subword_prefix", "end_of_word_suffix"] as const) {
    if ((model[name] ?? "") !== "") throw unsupported(name, model[name])
  }
}

type Normalize = (text: string) => string

/** The normalizer, or undefined if the text stays as it is. */
export const normalizer = (component: Component | undefined): Normalize | undefined => {
  if (component === undefined) return undefined
  const { type } = component
  if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD") return (text) => text.normalize(type)
  if (type === "Sequence") {
    const parts = members(component, "normalizers", "normalizer").map(normalizer)
    return (text) => parts.reduce((result, part) => (part === undefined ? result : part(result)), text)
  }
  throw refuse("normalizer", `normalizer ${type} is not supported; NFC, NFD, NFKC, NFKD and Sequence are`)
}

const isComponent = Schema.is(Schema.Struct({ type: Schema.String }))

const members = (component: Component, key: string, place: string): ReadonlyArray<Component> => {
  const list = component[key]
  if (!Array.isArray(list) || !list.every(isComponent)) throw refuse(place, `${place} Sequence has no ${key}`)
  return list as unknown as ReadonlyArray<Component>
}

/** The pre-tokenizer; together its pieces are the text (with a space before it for `add_prefix_space`). */
export const splitter = (component: Component | undefined): Split => {
  const parts = component === undefined ? [] : splits(component)
  if (!parts.some(({ byteLevel }) => byteLevel)) {
    throw refuse("pre_tokenizer", "pre_tokenizer has no ByteLevel: only byte-level tokenizers are supported")
  }
  return splitInTurn(parts.map(({ split }) => split))
}

const splits = (component: Component): ReadonlyArray<{ readonly split: Split; readonly byteLevel?: boolean }> => {
  switch (component.type) {
    case "Sequence":
      return members(component, "pretokenizers", "pre_tokenizer").flatMap(splits)
    case "ByteLevel": {
      const split: Split = component["use_regex"] === false ? (text, word) => word(text) : byPattern(GPT2_PATTERN)
      return [{ byteLevel: true, split: component["add_prefix_space"] === true ? withPrefixSpace(split) : split }]
    }
    case "Digits":
      return [{ split: byPattern(component["individual_digits"] === true ? "\\p{N}" : "\\p{N}+") }]
    case "Split": {
      const { Regex, String: literal } = component["pattern"] as { readonly Regex?: string; readonly String?: string }
      const source = Regex ?? literal?.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")
      const { behavior, invert } = component
      if (source === undefined) break
      if (behavior === "Isolated") return [{ split: byPattern(source) }]
      if (behavior === "Removed" && invert === true) return [{ split: byPattern(source, true) }]
      throw refuse("pre_tokenizer", `pre_tokenizer Split with behavior ${behavior} is not supported; Isolated is`)
    }
  }
  throw refuse(
    "pre_tokenizer",
    `pre_tokenizer ${component.type} is not supported; ByteLevel, Split, Digits and Sequence are`
  )
}

const byPattern = (source: string, onlyMatches = false): Split => {
  try {
    return splitByPattern(source, onlyMatches)
  } catch (error) {
    throw refuse("pre_tokenizer", `pre_tokenizer pattern is not one that JavaScript has: ${error}`)
  }
}

const withPrefixSpace =
  (split: Split): Split =>
  (text, word) =>
    split(text.startsWith(" ") ? text : ` ${text}`, word)

/**
 * Splits out the tokens that were added as ordinary text (special ones are not looked for in a text); the pieces that are one are told by
 * their id.
 */
export const addedSplitter = (
  added: ReadonlyArray<AddedToken>
): ((text: string, piece: (text: string, id: number | undefined) => void) => void) => {
  const ordinary = added.filter(({ special }) => special !== true)
  for (const { content, lstrip, rstrip, single_word } of ordinary) {
    if (lstrip === true || rstrip === true || single_word === true) {
      throw refuse(
        "added_tokens",
        `added token ${JSON.stringify(content)}: lstrip, rstrip and single_word are not supported`
      )
    }
  }
  if (ordinary.length === 0) return (text, piece) => piece(text, undefined)
  const ids = new Map(ordinary.map(({ content, id }) => [content, id]))
  const longestFirst = [...ids.keys()].toSorted((a, b) => b.length - a.length)
  const split = byPattern(longestFirst.map((token) => token.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"))
  return (text, piece) => split(text, (part) => piece(part, ids.get(part)))
}
