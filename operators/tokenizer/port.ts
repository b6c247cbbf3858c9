/**
 * A tokenizer: text to token ids and back.
 *
 * @since 0.1.0
 */
import type { Port } from "../../src/operator/port.ts"

/** The special tokens of a tokenizer that operators use, by role, as token ids. */
export interface SpecialTokens {
  /** Ends a document or an answer. */
  readonly endOfText: number
  /** Fills a row of a batch; never a target. */
  readonly pad: number
}

/** A byte-level tokenizer. Every text has an encoding, and `decode(encode(text))` is `text` for well-formed text. */
export interface Tokenizer {
  readonly vocabularySize: number
  readonly special: SpecialTokens
  /** Token ids of a text. Special tokens written in the text are not recognised: they encode as ordinary characters. */
  readonly encode: (text: string) => Int32Array
  /** The text of token ids; bytes that are not UTF-8 become U+FFFD; special tokens are left out unless `keepSpecial`. */
  readonly decode: (ids: Iterable<number>, options?: { readonly keepSpecial?: boolean }) => string
}

/** The port of tokenizers; the artifact's one part is `tokenizer.json`, in the format of Hugging Face `tokenizers`. */
export declare const TokenizerPort: Port<Tokenizer>
