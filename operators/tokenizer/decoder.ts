/**
 * The decoders of `tokenizer.json`: tokens back to a text.
 *
 * @since 0.1.0
 */
import { bytesOfToken } from "./byte-characters.ts"
import { replace } from "./normalizer.ts"
import { metaspaceSign, prependScheme } from "./pre-tokenizer.ts"
import { members, refuse, textOf } from "./tokenizer-error.ts"
import type { Component } from "./tokenizer-json.ts"

type Tokens = ReadonlyArray<string>

/** Tokens to the pieces of a text, which are then put together. */
export type DecodeTokens = (tokens: Tokens) => Tokens

const place = "decoder"

/** The decoder of tokens that are not bytes. Without one, Hugging Face's put spaces between tokens. */
export const decoder = (component: Component | undefined): DecodeTokens => {
  if (component === undefined) return (tokens) => tokens.map((token, i) => (i === 0 ? token : ` ${token}`))
  switch (component.type) {
    case "Sequence": {
      const parts = members(component, "decoders", place).map(decoder)
      return (tokens) => parts.reduce((result, part) => part(result), tokens)
    }
    case "Replace": {
      const part = replace(component, place)
      return (tokens) => tokens.map(part)
    }
    case "Fuse":
      return (tokens) => [tokens.join("")]
    case "ByteFallback":
      return byteFallback
    case "ByteLevel":
      return (tokens) => [utf8.decode(Buffer.concat(tokens.map(bytesOrText)))]
    case "WordPiece":
      return wordPiece(component)
    case "Strip":
      return strip(component)
    case "Metaspace": {
      const sign = metaspaceSign(component)
      const prepends = prependScheme(component, place) !== "never"
      return (tokens) => tokens.map((token, i) => token.replaceAll(sign, i === 0 && prepends ? "" : " "))
    }
    case "BPEDecoder": {
      const suffix = textOf(component, "suffix", place)
      return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "))
    }
  }
  throw refuse(
    place,
    `${place} ${component.type} is not supported; ByteLevel, Metaspace, BPEDecoder, Replace, ByteFallback, Fuse, Strip, WordPiece and Sequence are`
  )
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** The bytes that a token is written with; those of its text if it is not in the characters of bytes. */
export const bytesOrText = (token: string): Uint8Array => bytesOfToken(token) ?? Buffer.from(token)

const wordPiece = (component: Component): DecodeTokens => {
  const prefix = textOf(component, "prefix", place)
  const cleanup = component["cleanup"] !== false
  const clean = (text: string) =>
    text
      .replaceAll(/ (?=[.?!,])/g, "")
      .replaceAll(" ' ", "'")
      .replaceAll(/ (?=n't|'m)/g, "")
      .replaceAll(" do not", " don't")
      .replaceAll(/ (?='s|'ve|'re)/g, "")
  return (tokens) =>
    tokens.map((token, i) => {
      const spaced = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
      return cleanup ? clean(spaced) : spaced
    })
}

/** Tokens of bytes in a row are put together; each byte of a row that is not UTF-8 becomes U+FFFD. */
const byteFallback: DecodeTokens = (tokens) => {
  const pieces: Array<string> = []
  let bytes: Array<number> = []
  const flush = () => {
    if (bytes.length === 0) return
    const text = Buffer.from(bytes).toString("utf8")
    pieces.push(...(Buffer.from(text).equals(Buffer.from(bytes)) ? [text] : bytes.map(() => "\ufffd")))
    bytes = []
  }
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1]
    if (byte !== undefined) {
      bytes.push(Number.parseInt(byte, 16))
      continue
    }
    flush()
    pieces.push(token)
  }
  flush()
  return pieces
}

const strip = (component: Component): DecodeTokens => {
  const content = textOf(component, "content", place)
  const most = (key: string) => Number(component[key] ?? 0)
  const [start, stop] = [most("start"), most("stop")]
  return (tokens) =>
    tokens.map((token) => {
      const characters = Array.from(token)
      let from = 0
      while (from < start && characters[from] === content) from++
      let to = characters.length
      while (characters.length - to < stop && to > from && characters[to - 1] === content) to--
      return characters.slice(from, to).join("")
    })
}
