/**
 * The pre-tokenizers of `tokenizer.json`: how a text is split into words.
 *
 * @since 0.1.0
 */
import { inByteCharacters } from "./byte-characters.ts"
import { patternOf } from "./normalizer.ts"
import { inWord, literally } from "./pattern.ts"
import { type Behavior, behaviors, GPT2_PATTERN, type Split, splitInTurn, splitWith } from "./split.ts"
import { members, refuse, withPattern } from "./tokenizer-error.ts"
import type { Component } from "./tokenizer-json.ts"

const place = "pre_tokenizer"

/** How a text is split, and whether its words are still to be written in the characters of bytes. */
export interface PreTokenizer {
  readonly split: Split
  readonly byteLevel: boolean
}

/** The pre-tokenizer. */
export const preTokenizer = (component: Component | undefined): PreTokenizer => {
  const parts = component === undefined ? [] : splits(component)
  const bytes = parts.findIndex(({ byteLevel }) => byteLevel)
  // What is split after ByteLevel (as Falcon's are) is split in the characters of bytes: words then are in them already.
  const written = bytes >= 0 && bytes < parts.length - 1
  const inTurn = parts.map(({ byteLevel, split }) => (byteLevel && written ? inBytes(split) : split))
  return { split: splitInTurn(inTurn), byteLevel: bytes >= 0 && !written }
}

const inBytes =
  (split: Split): Split =>
  (text, word, atStart) =>
    split(text, (piece, first) => word(inByteCharacters(piece), first), atStart)

const by = (source: string, behavior: Behavior = "Isolated", invert = false): PreTokenizer => ({
  byteLevel: false,
  split: withPattern(place, () => splitWith(source, behavior, invert))
})

/** Rust's ASCII punctuation, and Unicode's. */
const punctuation = "[!-/:-@\\[-`{-~\\p{P}]"

const splits = (component: Component): ReadonlyArray<PreTokenizer> => {
  switch (component.type) {
    case "Sequence":
      return members(component, "pretokenizers", place).flatMap(splits)
    case "ByteLevel": {
      const { split } = component["use_regex"] === false ? whole : by(GPT2_PATTERN)
      return [{ byteLevel: true, split: component["add_prefix_space"] === true ? withPrefixSpace(split) : split }]
    }
    case "Metaspace":
      return [{ byteLevel: false, split: metaspace(component) }]
    case "Digits":
      return [by(component["individual_digits"] === true ? "\\p{N}" : "\\p{N}+")]
    case "Whitespace":
      return [by(`[${inWord}]+|[^${inWord}\\s]+`, "Removed", true)]
    case "WhitespaceSplit":
      return [by("\\s", "Removed")]
    case "CharDelimiterSplit":
      return [by(literally(String(component["delimiter"])), "Removed")]
    case "Punctuation":
      return [by(punctuation, behaviorOf(component))]
    case "BertPreTokenizer":
      return [by("\\s", "Removed"), by(punctuation)]
    case "FixedLength":
      return [by(`\\p{Any}{1,${Number(component["length"] ?? 5)}}`)]
    case "Split":
      return [by(patternOf(component, place), behaviorOf(component), component["invert"] === true)]
  }
  throw refuse(
    place,
    `${place} ${component.type} is not supported; ByteLevel, Metaspace, Split, Digits, Whitespace, WhitespaceSplit, CharDelimiterSplit, Punctuation, BertPreTokenizer, FixedLength and Sequence are`
  )
}

const behaviorOf = (component: Component): Behavior => {
  const behavior = behaviors.find((one) => one === (component["behavior"] ?? "Isolated"))
  if (behavior !== undefined) return behavior
  throw refuse(place, `${place} ${component.type} with behavior ${component["behavior"]} is not supported`)
}

const whole: { readonly split: Split } = { split: (text, word, atStart) => word(text, atStart) }

const withPrefixSpace =
  (split: Split): Split =>
  (text, word, atStart) =>
    split(text.startsWith(" ") ? text : ` ${text}`, word, atStart)

/** When a Metaspace puts its sign before a text: `add_prefix_space` is what old files have. */
export const prependScheme = (component: Component, at: string): "always" | "first" | "never" => {
  const scheme = component["prepend_scheme"] ?? (component["add_prefix_space"] === false ? "never" : "always")
  if (scheme === "always" || scheme === "first" || scheme === "never") return scheme
  throw refuse(at, `${at} Metaspace with prepend_scheme ${scheme} is not supported`)
}

/** The sign that a Metaspace writes for a space. */
export const metaspaceSign = (component: Component): string => String(component["replacement"] ?? "▁")

const metaspace = (component: Component): Split => {
  const sign = metaspaceSign(component)
  const scheme = prependScheme(component, place)
  const { split } = component["split"] === false ? whole : by(literally(sign), "MergedWithNext")
  return (text, word, atStart) => {
    const signed = text.replaceAll(" ", sign)
    const prepends = (scheme === "always" || (scheme === "first" && atStart)) && !signed.startsWith(sign)
    split(prepends ? sign + signed : signed, word, atStart)
  }
}
