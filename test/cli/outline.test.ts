import { expect, test } from "vitest"
import { dagLines } from "../../src/cli/render/dag.ts"
import { type OutlineStage, outline } from "../../src/cli/render/outline.ts"
import { styleOf } from "../../src/cli/render/view.ts"
import { width } from "../../src/cli/render/width.ts"

const stage = (name: string, ...from: ReadonlyArray<string>): OutlineStage => ({
  name,
  operator: name.split(".")[0]!,
  from
})
const rounds = (n: number, make: (i: number) => ReadonlyArray<OutlineStage>) =>
  Array.from({ length: n }, (_, i) => make(i + 1)).flat()
const recipe = [
  stage("sft"),
  stage("reward", "sft"),
  ...rounds(12, (i) => [
    stage(`rollout.${i}`, i === 1 ? "sft" : `ppo.${i - 1}`),
    stage(`ppo.${i}`, i === 1 ? "sft" : `ppo.${i - 1}`, `rollout.${i}`, "reward")
  ]),
  stage("evaluate", "ppo.12", "sft")
]

const shape = (stages: ReadonlyArray<OutlineStage>) =>
  outline(stages).map(({ rounds, rows }) => [rounds, ...rows.map(({ name }) => name)])

test("the rounds of a loop are one block, between the stages before and after it", () => {
  expect(shape(recipe)).toEqual([
    [0, "sft", "reward"],
    [12, "rollout", "ppo"],
    [0, "evaluate"]
  ])
  const ppo = outline(recipe)[1]!.rows[1]!
  expect(ppo.stages).toEqual(Array.from({ length: 12 }, (_, i) => `ppo.${i + 1}`))
  expect(ppo.from).toEqual([["sft", "ppo"], ["rollout"], ["reward"]])
})

test("two loops of as many rounds, one after the other, are two blocks", () => {
  const stages = [...rounds(3, (i) => [stage(`a.${i}`)]), ...rounds(3, (i) => [stage(`b.${i}`)])]
  expect(shape(stages)).toEqual([
    [3, "a"],
    [3, "b"]
  ])
})

test("an inner loop is in the outer loop's block", () => {
  const stages = rounds(2, (i) => [stage(`roll.${i}`), ...rounds(3, (j) => [stage(`step.${i}.${j}`)])])
  expect(shape(stages)).toEqual([[2, "roll", "step"]])
  expect(outline(stages)[0]!.rows[1]!.stages).toHaveLength(6)
})

test("a loop of one round, and stages whose names only look like rounds, keep their names", () => {
  expect(
    shape([stage("ppo.1"), { ...stage("v.2"), operator: "other" }, { ...stage("v.3"), operator: "another" }])
  ).toEqual([[0, "ppo.1", "v.2", "v.3"]])
})

test("the graph as lines, within its columns", () => {
  const lines = (columns: number) =>
    dagLines(outline(recipe), () => ({ sign: "●", end: ["never ran"], below: ["parameter x: 1 -> 2"] }), {
      columns,
      style: styleOf(false)
    })
  expect(lines(80).filter((line) => !line.includes("parameter"))).toEqual([
    "  ● sft                                             never ran",
    "  ● reward    ← sft                                 never ran",
    "╭ ● rollout   ← sft then ppo                   ×12  never ran",
    "╰ ● ppo       ← sft then ppo, rollout, reward  ×12  never ran",
    "  ● evaluate  ← ppo, sft                            never ran"
  ])
  for (const columns of [20, 40, 60])
    for (const line of lines(columns)) expect(width(line)).toBeLessThanOrEqual(columns)
})
