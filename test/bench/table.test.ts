import { expect, test } from "vitest"
import { forwardFlops, models, parameterCount, trainingFlops } from "../../bench/models.ts"
import type { Report, Row } from "../../bench/result.ts"
import { median, ratio, spread } from "../../bench/spread.ts"
import { markdown, ratioOf, reached, short, text, utilisation } from "../../bench/table.ts"

test("parameters and FLOPs of GPT-2 124M, counted by hand", () => {
  const gpt2 = { ...models["124M"], context: 1024 }
  // Vocabulary, positions; a block has 12 C^2 + 13 C (two norms of 2 C, biases of 3 C + C + 4 C + C); the last norm 2 C.
  const blocks = 12 * (12 * 768 ** 2 + 13 * 768) + 2 * 768
  expect(parameterCount(gpt2)).toBe(50304 * 768 + 1024 * 768 + blocks)
  expect(parameterCount(gpt2, true) - parameterCount(gpt2)).toBe(768 + 1)
  expect(trainingFlops(gpt2)).toBe(6 * (50304 * 768 + blocks) + 12 * 12 * 768 * 1024)
  // The figure that is known for it: 855 MFLOP a token.
  expect(trainingFlops(gpt2) / 1e6).toBeCloseTo(855.4, 0)
  expect(forwardFlops(gpt2) * 3).toBe(trainingFlops(gpt2))
})

test("median and spread", () => {
  expect(median([5])).toBe(5)
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(spread([3, 1, 2, 10])).toEqual({ least: 1, median: 2.5, most: 10 })
})

test("a ratio is that of the medians, its spread that of neighbours in time", () => {
  // The machine slows down by half after the second turn: both sides feel it.
  expect(ratio([2, 2, 4, 4, 4], [1, 1, 2, 2, 2])).toEqual({ least: 2, median: 2, most: 2 })
  expect(ratio([2, 3, 4], [1, 1, 1])).toEqual({ least: 2, median: 3, most: 4 })
})

const sample = (values: ReadonlyArray<number>, variant = "eager") => ({ version: "1", variant, values, bytes: 2e9 })
const row = (changes: Partial<Row>): Row => ({
  name: "train/x",
  work: "training step",
  quantity: "seconds",
  unit: "tokens/s",
  units: 1000,
  flops: 1e9,
  ours: sample([0.1, 0.1, 0.2]),
  peer: { name: "PyTorch", sample: sample([0.2, 0.25, 0.15]) },
  others: {},
  target: { kind: "ratio", value: 1.5 },
  seconds: 1,
  ...changes
})

test("speed counts as more, memory as less", () => {
  const fast = row({})
  expect(ratioOf(fast)).toEqual({ least: 0.15 / 0.2, median: 2, most: 2.5 })
  expect(reached(fast, 1e10, 2)).toBe(true)
  expect(reached(row({ target: { kind: "ratio", value: 2.1 } }), 1e10, 2)).toBe(false)
  const lean = row({ quantity: "bytes", ours: sample([3e9]), peer: { name: "PyTorch", sample: sample([4e9]) } })
  expect(ratioOf(lean)?.median).toBe(0.75)
  expect(reached({ ...lean, target: { kind: "memory", value: 0.75 } }, 1e10, 2)).toBe(true)
  expect(reached({ ...lean, target: { kind: "memory", value: 0.7 } }, 1e10, 2)).toBe(false)
})

test("a share is of the peak of all threads", () => {
  // 1e9 FLOPs in 0.1 s on two threads of 1e10 FLOP/s.
  expect(utilisation(row({}), sample([0.1]), 1e10, 2)).toBeCloseTo(0.5)
  expect(reached(row({ target: { kind: "share", value: 0.5 }, peer: null }), 1e10, 2)).toBe(true)
  expect(reached(row({ target: { kind: "share", value: 0.51 } }), 1e10, 2)).toBe(false)
})

const report = (rows: ReadonlyArray<Row>): Report => ({
  date: "2026-11-24 10:00",
  command: "npm run bench",
  commit: "abc1234",
  machine: { processor: "P", instructions: "AVX2", cores: 2, memory: 24e9, system: "Debian" },
  versions: { node: "Node 24" },
  threads: 2,
  repeats: 3,
  peak: 1e10,
  rows
})

test("the table says what was measured and what was not, and why", () => {
  const missing = { notMeasured: "no PyTorch" }
  const rows = [row({}), row({ name: "train/y", peer: { name: "PyTorch", sample: missing } })]
  const lines = markdown(report(rows)).split("\n")
  expect(lines).toContain(
    "| training step | 10.0k tokens/s | PyTorch: 5.00k tokens/s (eager) | 2.00 (0.75 to 2.50) | >= 1.5, reached | 50% / 25% | 2.00 / 2.00 |"
  )
  expect(lines).toContain(
    "| training step | 10.0k tokens/s | PyTorch: not measured | - | >= 1.5 | 50% / - | 2.00 / - |"
  )
  expect(lines).toContain("- train/y, PyTorch: no PyTorch")
  expect(text(report(rows))).toContain("FMA peak 10.0 GFLOP/s a thread")
})

test("numbers are short", () => {
  expect([0.0123, 3.214, 99.96, 480.4, 1234, 68600, 129876, 2.5e6].map(short)).toEqual([
    "0.0123",
    "3.21",
    "100",
    "480",
    "1.23k",
    "68.6k",
    "130k",
    "2.50M"
  ])
})
