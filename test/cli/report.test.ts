import { expect, test } from "vitest"
import { reportLines } from "../../src/cli/render/report.ts"
import { styleOf } from "../../src/cli/render/view.ts"
import { width } from "../../src/cli/render/width.ts"

const report = {
  title: "Result",
  figures: [
    { name: "loss", value: 3.41234, unit: "nats/token" },
    { name: "reward", value: -12.5, note: "by the reward model" },
    { name: "prompts", value: 512, note: "held out" },
    { name: "rate", value: 0.0002 },
    { name: "broken", value: Number.NaN }
  ],
  samples: [
    {
      prompt: "The sea",
      answers: [
        { checkpoint: "SFT", answer: " was calm and the ship lay still upon it" },
        { checkpoint: "PPO", answer: "\u001b[31m was bright" }
      ]
    }
  ]
}
const lines = (columns: number) => reportLines(report, { columns, style: styleOf(false) })

test("figures align at the decimal point, with units and notes; answers stand under each other", () => {
  expect(lines(60)).toEqual([
    `── Result ${"─".repeat(50)}`,
    "  loss       3.412    nats/token",
    "  reward   -12.500                by the reward model",
    "  prompts  512                    held out",
    "  rate       2.00e-4",
    "  broken   NaN",
    "",
    "  The sea",
    "    SFT  was calm and the ship lay still upon it",
    "    PPO  \\x1b[31m was bright"
  ])
})

test("a long text wraps under itself, and a note that has no room goes below", () => {
  for (const columns of [24, 30, 40])
    for (const line of lines(columns)) expect(width(line)).toBeLessThanOrEqual(columns)
  expect(lines(34)).toContain("      by the reward model")
  expect(lines(34).slice(-3, -1)).toEqual(["    SFT  was calm and the ship lay", "         still upon it"])
})
