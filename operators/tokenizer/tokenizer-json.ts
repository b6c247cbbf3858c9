/**
 * The format of Hugging Face `tokenizer.json`, as far as tokenizers by byte pair encoding, or of single characters, use it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const optional = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))

/** Ids are small enough for pairs of them to be exact integers. */
const LARGEST = 2 ** 24

const isId = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= LARGEST

const Id = Schema.declare(isId, { identifier: `an id from 0 to ${LARGEST}` })

/** A token that is split out of the text before all else. `special` ones are left out of decoded text. */
export const AddedToken = Schema.Struct({
  id: Id,
  content: Schema.String,
  single_word: Schema.optional(Schema.Boolean),
  lstrip: Schema.optional(Schema.Boolean),
  rstrip: Schema.optional(Schema.Boolean),
  normalized: Schema.optional(Schema.Boolean),
  special: Schema.optional(Schema.Boolean)
})
export type AddedToken = typeof AddedToken.Type

/** A normalizer, pre-tokenizer or decoder: what its type is, and the rest by name. */
export const Component = Schema.StructWithRest(Schema.Struct({ type: Schema.String }), [
  Schema.Record(Schema.String, Schema.Json)
])
export type Component = typeof Component.Type

type Merge = string | ReadonlyArray<string>

const isMerge = (value: unknown): value is Merge =>
  typeof value === "string" || (Array.isArray(value) && value.every((token) => typeof token === "string"))

// Hundreds of thousands of entries: looked at in one loop, not by a schema each.
const Vocab = Schema.declare(
  (value: unknown): value is { readonly [token: string]: number } =>
    typeof value === "object" && value !== null && Object.values(value).every(isId),
  { identifier: `an object from tokens to ids from 0 to ${LARGEST}` }
)
const Merges = Schema.declare(
  (value: unknown): value is ReadonlyArray<Merge> => Array.isArray(value) && value.every(isMerge),
  { identifier: "a list of pairs of tokens" }
)

/** The file; what is not named here has no bearing on encoding one text or on decoding. */
export const TokenizerJson = Schema.Struct({
  added_tokens: optional(Schema.Array(AddedToken)),
  normalizer: optional(Component),
  pre_tokenizer: optional(Component),
  decoder: optional(Component),
  model: Schema.Struct({
    type: optional(Schema.String),
    dropout: optional(Schema.Number),
    unk_token: optional(Schema.String),
    continuing_subword_prefix: optional(Schema.String),
    end_of_word_suffix: optional(Schema.String),
    fuse_unk: optional(Schema.Boolean),
    byte_fallback: optional(Schema.Boolean),
    ignore_merges: optional(Schema.Boolean),
    vocab: Vocab,
    merges: optional(Merges)
  })
})
export type TokenizerJson = typeof TokenizerJson.Type

/** What a trained tokenizer is: tokens in the characters of bytes, in the order of their ids, and pairs of them in the order of merging. */
export interface Vocabulary {
  readonly tokens: ReadonlyArray<string>
  readonly merges: ReadonlyArray<readonly [left: string, right: string]>
  /** Tokens that stand for themselves; their ids come after those of `tokens`. */
  readonly special: ReadonlyArray<string>
}

/** The entries of special tokens, whose ids start at `first`. */
export const addedTokens = (first: number, special: ReadonlyArray<string>): ReadonlyArray<AddedToken> =>
  special.map((content, index) => ({
    id: first + index,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  }))

/** The file of a tokenizer that splits as GPT-2 does. */
export const write = ({ merges, special, tokens }: Vocabulary): string => {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true }
  const all = [...tokens, ...special]
  return JSON.stringify(
    {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: addedTokens(tokens.length, special),
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(all.map((token, id) => [token, id])),
        merges: merges.map(([left, right]) => `${left} ${right}`)
      }
    },
    null,
    1
  )
}
