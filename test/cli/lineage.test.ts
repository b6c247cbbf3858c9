import { expect, test } from "vitest"
import { lineageLines, paramsText } from "../../src/cli/render/lineage.ts"
import { styleOf } from "../../src/cli/render/view.ts"
import { width } from "../../src/cli/render/width.ts"
import type { LineageNode } from "../../src/lineage/ledger.ts"

const node = (
  stage: string,
  inputs: { readonly [port: string]: LineageNode } = {},
  more: Partial<LineageNode> = {}
): LineageNode => ({
  artifact: { kind: "checkpoint", digest: stage.padEnd(64, "0"), parts: {}, meta: {} },
  key: stage,
  stage,
  port: "out",
  operator: stage.split(".")[0]!,
  pipeline: "p",
  run: "r",
  params: {},
  metrics: {},
  device: null,
  time: 0,
  seconds: 1,
  sources: [],
  inputs,
  ...more
})
const lines = (root: LineageNode, columns = 80) => lineageLines(root, { columns, style: styleOf(false) })

const files = Array.from({ length: 5 }, (_, i) => ({ name: `text-${i}.md`, digest: `${i}`.repeat(64) }))
const documents = node("documents", {}, { sources: files })
const tokenizer = node("tokenizer", { documents }, { operator: "trainTokenizer", params: { vocabularySize: 2048 } })
const tokens = node("tokens", { documents, tokenizer })
const pretrain = node("pretrain", { tokens, tokenizer }, { metrics: { validationLoss: 3.2, tokensPerSecond: 9 } })

test("the longest line of descent goes straight down, and what several took is drawn once", () => {
  expect(lines(pretrain)).toEqual([
    "● pretrain.out  checkpoint pretrain0000  1.0 s  validation loss 3.200",
    "├─ tokenizer: tokenizer.out  tokenizer000, below",
    "● tokens.out  checkpoint tokens000000  1.0 s",
    "├─ documents: documents.out  documents000, below",
    "● tokenizer.out  checkpoint tokenizer000  1.0 s",
    "│  trainTokenizer  vocabularySize 2048",
    "● documents.out  checkpoint documents000  1.0 s",
    "   file text-0.md 000000000000",
    "   file text-1.md 111111111111",
    "   file text-2.md 222222222222",
    "   and 2 more files"
  ])
})

test("what went in beside it is a branch, with what that came from", () => {
  const lexicon = node("lexicon")
  const rank = node("rank", { sample: node("sample", { policy: pretrain }), lexicon })
  const text = lines(rank)
  expect(text[1]).toBe("├─● lexicon: lexicon.out  checkpoint lexicon00000  1.0 s")
  expect(text[2]).toBe("● sample.out  checkpoint sample000000  1.0 s")
})

test("two outputs of one stage are one node of the tree", () => {
  const cut = (port: string) => node("cut", { documents }, { port })
  const rank = node("rank", { prompts: cut("prompts"), sample: node("sample", { answers: cut("answers") }) })
  const text = lines(rank)
  expect(text).toContain("├─ prompts: cut.prompts  cut000000000, below")
  expect(text.filter((line) => line.includes("● cut."))).toHaveLength(1)
})

/** Rounds of rollout and ppo; each ppo takes the one before it twice over. */
const loop = (rounds: number) => {
  const prompts = node("prompts")
  let policy = pretrain
  for (let i = 1; i <= rounds; i++) {
    const rollout = node(`rollout.${i}`, { policy, prompts })
    policy = node(`ppo.${i}`, { policy, rollout })
  }
  return policy
}

test("of a loop the newest round is drawn, the earlier ones are one line, and nothing that went into them is lost", () => {
  const text = lines(loop(12))
  expect(text.filter((line) => line.includes("● ppo.12") || line.includes("● rollout.12"))).toHaveLength(2)
  expect(text.filter((line) => /● (ppo|rollout)\.([1-9]|1[01])\./.test(line))).toEqual([])
  expect(text).toContainEqual(expect.stringMatching(/^┊ {2}rounds 11 to 1 of ppo, rollout/))
  for (const name of ["prompts", "pretrain", "tokens", "tokenizer", "documents"]) {
    const head = new RegExp(`●( \\w+:)? ${name}\\.out`)
    expect(text.filter((line) => head.test(line))).toHaveLength(1)
  }
})

test("a long loop is no deeper a tree: lines fit, and there are few", () => {
  const text = lines(loop(1000), 60)
  expect(text.length).toBeLessThan(30)
  for (const line of text) expect(width(line)).toBeLessThanOrEqual(60)
})

test("parameters by their dotted path, texts with blanks in quotes", () => {
  const params = { learningRate: 3e-4, model: { width: 128, heads: [1, 2] }, title: "a b", kind: "x", none: null }
  expect(paramsText(params)).toBe(
    'learningRate 0.0003, model.width 128, model.heads [1,2], title "a b", kind x, none null'
  )
})
