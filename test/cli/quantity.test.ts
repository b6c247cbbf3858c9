import { expect, test } from "vitest"
import { metricPhrases, resultMetrics } from "../../src/cli/render/metrics.ts"
import { ago, bytes, decimal, duration } from "../../src/cli/render/quantity.ts"

test.each([
  [0, "0 ms"],
  [0.0304, "30 ms"],
  [0.0999, "0.1 s"],
  [9.94, "9.9 s"],
  [9.96, "10 s"],
  [59.6, "1m 00s"],
  [185, "3m 05s"],
  [3599.7, "1h 00m"],
  [7620, "2h 07m"],
  [90061, "25h 01m"]
])("%d seconds are %s", (seconds, words) => {
  expect(duration(seconds)).toBe(words)
})

test.each([
  [3, "3"],
  [3.41234, "3.412"],
  [0.05, "0.05000"],
  [0.0002, "2.0e-4"],
  [-12.3456, "-12.35"],
  [1234.5, "1235"],
  [12345.6, "12.3k"],
  [1_067_776, "1.07M"],
  [Number.NaN, "NaN"],
  [Number.POSITIVE_INFINITY, "Infinity"]
])("%d is written %s", (value, text) => {
  expect(decimal(value)).toBe(text)
})

test("bytes and ages", () => {
  expect([999, 1000, 3_210_000, 999_700].map(bytes)).toEqual(["999 B", "1.00 kB", "3.21 MB", "1.00 MB"])
  const minute = 60_000
  expect([0, minute, 5 * minute, 120 * minute, 3 * 1440 * minute].map((before) => ago(0, before))).toEqual([
    "just now",
    "1 minute ago",
    "5 minutes ago",
    "2 hours ago",
    "3 days ago"
  ])
})

test("metrics: losses and rewards first, rates with their unit, settings of the optimizer last and not among results", () => {
  const metrics = { learningRate: 3e-4, tokensPerSecond: 12345, entropy: 2, validationLoss: 3.4 }
  expect(metricPhrases(metrics)).toEqual([
    "validation loss 3.400",
    "entropy 2",
    "12.3k tokens/s",
    "learning rate 3.0e-4"
  ])
  expect(resultMetrics(metrics)).toEqual({ entropy: 2, validationLoss: 3.4 })
})
