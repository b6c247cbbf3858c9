/**
 * The normalizers of `tokenizer.json`: what is done to a text before it is split.
 *
 * @since 0.1.0
 */
import { inByteCharacters } from "./byte-characters.ts"
import { charsmap } from "./charsmap.ts"
import { literally } from "./pattern.ts"
import { piecesOf } from "./split.ts"
import { members, refuse, textOf, withPattern } from "./tokenizer-error.ts"
import type { Component } from "./tokenizer-json.ts"

type Normalize = (text: string) => string

const place = "normalizer"

/** The normalizer, or undefined if the text stays as it is. */
export const normalizer = (component: Component | undefined): Normalize | undefined => {
  if (component === undefined) return undefined
  const { type } = component
  switch (type) {
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD":
      return (text) => text.normalize(type)
    case "Sequence": {
      const parts = members(component, "normalizers", place).map(normalizer)
      return (text) => parts.reduce((result, part) => (part === undefined ? result : part(result)), text)
    }
    case "Prepend": {
      const prepended = textOf(component, "prepend", place)
      return (text) => (text === "" ? text : prepended + text)
    }
    case "Replace":
      return replace(component, place)
    case "Lowercase":
      return lowercase
    case "StripAccents":
      return (text) => text.replaceAll(/\p{M}/gu, "")
    case "Strip": {
      const left = component["strip_left"] !== false
      const right = component["strip_right"] !== false
      return (text) => {
        const stripped = left ? text.replace(/^\p{White_Space}+/u, "") : text
        return right ? stripped.replace(/\p{White_Space}+$/u, "") : stripped
      }
    }
    case "BertNormalizer":
      return bert(component)
    case "Nmt":
      return nmt
    case "ByteLevel":
      return inByteCharacters
    case "Precompiled":
      return charsmap(Buffer.from(textOf(component, "precompiled_charsmap", place), "base64"), place)
  }
  throw refuse(
    place,
    `${place} ${type} is not supported; NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, StripAccents, BertNormalizer, Nmt, ByteLevel, Precompiled and Sequence are`
  )
}

/** The matches of a component's pattern become its content; among normalizers and among decoders. */
export const replace = (component: Component, at: string): Normalize => {
  const source = patternOf(component, at)
  const content = textOf(component, "content", at)
  return withPattern(at, () => {
    const pieces = piecesOf(source)
    return (text) => {
      let result = ""
      pieces(text, (from, to, matches) => {
        result += matches ? content : text.slice(from, to)
      })
      return result
    }
  })
}

/** The source of the pattern of a Split or Replace. */
export const patternOf = (component: Component, at: string): string => {
  const { Regex, String: literal } = (component["pattern"] ?? {}) as {
    readonly Regex?: unknown
    readonly String?: unknown
  }
  if (typeof Regex === "string") return Regex
  if (typeof literal === "string") return literally(literal)
  throw refuse(at, `${at} ${component.type} has no pattern`)
}

/** Each character by itself: a sigma at a word's end becomes the same as others. */
const lowercase = (text: string): string =>
  text.replaceAll(/\p{Lu}|\p{Lt}|\p{Changes_When_Lowercased}/gu, (one) => one.toLowerCase())

/** The control characters that sentencepiece leaves out, and what it takes for a space, before translation. */
const nmtRemoved = new Set([1, 2, 3, 4, 5, 6, 7, 8, 11, ...Array.from({ length: 18 }, (_, i) => 14 + i), 127, 143, 159])
const nmtSpaces = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g

const nmt = (text: string): string =>
  Array.from(text, (one) => (nmtRemoved.has(one.codePointAt(0)!) ? "" : one))
    .join("")
    .replaceAll(nmtSpaces, " ")

const bert = (component: Component): Normalize => {
  const lower = component["lowercase"] !== false
  const accents = component["strip_accents"] ?? lower
  return (text) => {
    let result = text
    if (component["clean_text"] !== false) {
      result = result
        .replaceAll(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu, "")
        .replaceAll(/\p{White_Space}/gu, " ")
    }
    if (component["handle_chinese_chars"] !== false) {
      result = result.replaceAll(
        /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu,
        " $& "
      )
    }
    if (accents === true) result = result.normalize("NFD").replaceAll(/\p{Mn}/gu, "")
    return lower ? lowercase(result) : result
  }
}
