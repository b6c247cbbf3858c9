/** Serves the benchmark's encoding from a tokenizer of npm: a JSON request a line on stdin, a JSON answer a line on stdout, as bench/ours/serve.ts. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { createInterface } from "node:readline"

const require = createRequire(import.meta.url)

/** Each gives how many tokens a text has. */
const libraries = {
  tiktoken: async () => {
    const { get_encoding } = await import("tiktoken")
    const encoding = get_encoding("cl100k_base")
    return (text) => encoding.encode_ordinary(text).length
  },
  "gpt-tokenizer": async () => {
    const { encode } = await import("gpt-tokenizer/encoding/cl100k_base")
    return (text) => encode(text, { disallowedSpecial: new Set() }).length
  },
  "@huggingface/tokenizers": async (json) => {
    const { Tokenizer } = await import("@huggingface/tokenizers")
    const tokenizer = new Tokenizer(JSON.parse(json), {})
    return (text) => tokenizer.encode(text, { add_special_tokens: false }).ids.length
  },
  "@anush008/tokenizers": async (json) => {
    const { Tokenizer } = require("@anush008/tokenizers")
    const tokenizer = Tokenizer.fromString(json)
    return async (text) => (await tokenizer.encode(text, null, { addSpecialTokens: false })).getLength()
  }
}

let count
let texts

const all = async () => {
  let tokens = 0
  for (const text of texts) tokens += await count(text)
  return tokens
}

const answer = async (request) => {
  if (request.do === "open") {
    texts = JSON.parse(readFileSync(request.texts, "utf8"))
    count = await libraries[request.library](readFileSync(request.tokenizer, "utf8"))
    const { version } = JSON.parse(
      readFileSync(new URL(`node_modules/${request.library}/package.json`, import.meta.url))
    )
    return { version: `${request.library} ${version}`, tokens: await all() }
  }
  if (request.do === "repeat") {
    const start = performance.now()
    for (let time = 0; time < request.times; time++) await all()
    return { seconds: (performance.now() - start) / 1000 / request.times }
  }
  return { bytes: process.resourceUsage().maxRSS * 1024 }
}

for await (const line of createInterface(process.stdin)) {
  const result = await answer(JSON.parse(line)).catch((error) => ({ error: String(error) }))
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
