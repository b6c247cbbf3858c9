/** What the page makes of a run's stages: groups of them, and their state from its log. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { LogEntry } from "../../src/lineage/run-log.ts"
import type { StageState, StageView } from "../../src/page/answers.ts"
import { collapse, firstMode, type Mode, order, stateOf, tally } from "../../src/page/client/collapse.ts"
import { familyOf, kindOf } from "../../src/page/client/family.ts"
import { advance, collect, type Growing, pending, seriesId } from "../../src/page/progress.ts"

/** Stages of a random graph, each after its inputs, in any states. */
const stages: fc.Arbitrary<ReadonlyArray<StageView>> = fc
  .array(
    fc.record({
      name: fc.constantFrom("a", "b.shard", "c-2"),
      takes: fc.array(fc.nat(), { maxLength: 3 }),
      state: fc.constantFrom<StageState>(...order)
    }),
    { minLength: 1, maxLength: 30 }
  )
  .map((all) => {
    const names = all.map(({ name }, i) => `${name}.${i + 1}`)
    return all.map(({ name, state, takes }, i) => ({
      ...pending(
        names[i]!,
        name,
        Object.fromEntries(
          i === 0 ? [] : takes.map((from, port) => [`p${port}`, { stage: names[from % i]!, port: "out" }])
        )
      ),
      state
    }))
  })

describe("stages put together", () => {
  it("are each in one group, whose edges are those between its stages and others'", () =>
    fc.assert(
      fc.property(stages, fc.constantFrom<Mode>("none", "name", "layer"), fc.nat(), (all, mode, pick) => {
        const closed = collapse(all, mode, new Set())
        const open = new Set([closed.groups[pick % closed.groups.length]!.id])
        for (const { edges, groups } of [closed, collapse(all, mode, open)]) {
          const groupOf = new Map(groups.flatMap(({ id, stages }) => stages.map(({ stage }) => [stage, id])))
          assert.strictEqual(
            groups.reduce((sum, { stages }) => sum + stages.length, 0),
            all.length
          )
          assert.deepStrictEqual([...groupOf.keys()].sort(), all.map(({ stage }) => stage).sort())
          const wanted = all.flatMap(({ inputs, stage }) =>
            Object.values(inputs).flatMap((input) => {
              const [from, to] = [groupOf.get(input.stage)!, groupOf.get(stage)!]
              return from === to ? [] : [`${from} ${to}`]
            })
          )
          assert.deepStrictEqual(edges.map((edge) => edge.join(" ")).sort(), [...new Set(wanted)].sort())
          for (const { stages } of groups) {
            assert.strictEqual(
              tally(stages).reduce((sum, [, count]) => sum + count, 0),
              stages.length
            )
            const failed = stages.some(({ state }) => state === "failed")
            assert.strictEqual(stateOf(stages) === "failed", failed)
          }
        }
        if (mode === "none") assert.strictEqual(closed.groups.length, all.length)
        // What is opened is shown stage by stage.
        const opened = closed.groups.find(({ id }) => open.has(id))!
        const shown = new Set(collapse(all, mode, open).groups.map(({ id }) => id))
        for (const { stage } of opened.stages) assert.isTrue(shown.has(stage))
      })
    ))

  it("at first are few enough to be read", () => {
    const many = (count: number, name: (i: number) => string) =>
      Array.from({ length: count }, (_, i) => pending(name(i), "op", {}))
    assert.strictEqual(firstMode(many(40, (i) => `s.${i}`)), "none")
    assert.strictEqual(firstMode(many(1_000, (i) => `s.${i}`)), "name")
    assert.strictEqual(firstMode(many(1_000, (i) => `part-${String.fromCodePoint(0x4e00 + i)}`)), "layer")
  })

  it("are of a family by the last number, and of a kind without any", () => {
    assert.deepStrictEqual(familyOf("ppo.12"), { name: "ppo", round: 12 })
    assert.deepStrictEqual(familyOf("score.shard-3.7"), { name: "score.shard-3", round: 7 })
    assert.deepStrictEqual(familyOf("gpt2"), { name: "gpt2", round: null })
    assert.deepStrictEqual(["score.shard-3.7", "ppo.12", "gpt2", "to-2d"].map(kindOf), [
      "score.shard",
      "ppo",
      "gpt2",
      "to-2d"
    ])
  })
})

describe("a stage's log", () => {
  const at = { stage: "s", time: 5 }
  const entries: ReadonlyArray<LogEntry> = [
    { _tag: "Waiting", ...at, holder: "process 3 on h" },
    { _tag: "Started", ...at, key: "k", reasons: ["never ran"] },
    { _tag: "Progress", ...at, seconds: 1, step: 1, steps: 2, metrics: { loss: 3, rate: null } },
    { _tag: "Progress", ...at, seconds: 2, step: 2, metrics: { loss: 2 } },
    { _tag: "Finished", ...at, key: "k", seconds: 3, metrics: { loss: 2, held: 7 } }
  ]

  it("brings its state up to date, and told twice gives the same", () => {
    const states = entries.map((_, i) => entries.slice(0, i + 1).reduce(advance, pending("s", "op", {})))
    assert.deepStrictEqual(
      states.map(({ state, step, steps }) => [state, step, steps]),
      [
        ["waiting", null, null],
        ["running", null, null],
        ["running", 1, 2],
        ["running", 2, 2],
        ["ran", 2, 2]
      ]
    )
    const last = states.at(-1)!
    assert.deepStrictEqual(last.metrics, { loss: 2, rate: null, held: 7 })
    assert.deepStrictEqual(entries.reduce(advance, last), last)
  })

  it("gives each report to a curve once, and an end to those that had none", () => {
    const series = new Map<string, Growing>()
    for (const entry of entries) collect(series, entry)
    assert.deepStrictEqual(series.get(seriesId("s", "loss"))?.points, [
      [1, 2, 3, 5],
      [2, null, 2, 5]
    ])
    assert.deepStrictEqual(series.get(seriesId("s", "held"))?.points, [[null, null, 7, 5]])
    assert.isFalse(series.has(seriesId("s", "rate")))
  })
})
