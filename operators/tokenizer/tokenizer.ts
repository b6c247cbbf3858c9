/**
 * A tokenizer: text to token ids and back.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"

/** A tokenizer has no special token that ends a text by a name that is known, and one is needed. */
export class NoEndToken extends Schema.TaggedError<NoEndToken>()("NoEndToken", { message: Schema.String }) {}

/** The special tokens of a tokenizer that operators use, by role, as token ids. */
export interface SpecialTokens {
  /** Ends a document or an answer; undefined where a tokenizer has none by a name that is known. */
  readonly endOfText: number | undefined
  /** Fills a row of a batch; never a target. The same as `endOfText` where a tokenizer has none. */
  readonly pad: number | undefined
}

/** A tokenizer of bytes, to which every text has an encoding, or of the characters that it knows. */
export interface Tokenizer {
  readonly vocabularySize: number
  readonly special: SpecialTokens
  /** All special tokens by the text they are written as. */
  readonly specialTokens: ReadonlyMap<string, number>
  /**
   * Token ids of a text. A special token written in the text is not recognised: it encodes as the characters it is written with. A tokenizer of
   * characters throws `UnknownCharacter` at one that it does not know: operators encode within `encoding`.
   */
  readonly encode: (text: string) => Int32Array
  /**
   * The text of token ids; bytes that are not UTF-8 become U+FFFD, special tokens are left out unless `keepSpecial`. Throws `RangeError` at
   * an id that is no token. For well-formed text and a tokenizer that does not normalize, `decode(encode(text))` is `text`.
   */
  readonly decode: (ids: Iterable<number>, options?: { readonly keepSpecial?: boolean }) => string
  /** The text of its `tokenizer.json`. */
  readonly json: string
}

/** The token that ends a text, for what is to end with one. Throws `NoEndToken`: operators call it within `encoding`. */
export const endOfText = ({ special, specialTokens }: Tokenizer): number => {
  if (special.endOfText !== undefined) return special.endOfText
  const has = specialTokens.size === 0 ? "none" : [...specialTokens.keys()].slice(0, 8).join(", ")
  throw new NoEndToken({
    message: `the tokenizer has no special token that ends a text (such as <|endoftext|> or </s>), and a text is to end with one: it has ${has}`
  })
}
