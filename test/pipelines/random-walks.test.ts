import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expectedBest, fitTwo, forms } from "../../operators/overoptimisation.ts"
import { graphOf, optimality, walkLength } from "../../operators/random-walks.ts"
import { type Report, ReportPort } from "../../operators/report.ts"
import overoptimisation from "../../pipelines/overoptimisation.ts"
import randomWalks from "../../pipelines/random-walks.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Event } from "../../src/executor/event.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer, Store } from "../../src/store/store.ts"
import { temporaryFiles } from "../operators/files.ts"

/** Runs a pipeline in a store of its own, and gives the report of a stage. */
const reportOf = Effect.fnUntraced(function* (
  pipeline: typeof randomWalks | typeof overoptimisation,
  settings: Readonly<Record<string, string>>,
  stage: string
) {
  const store = layer(join(yield* temporaryFiles({}), "store"))
  const graph = yield* Pipeline.build(
    pipeline as typeof randomWalks,
    Object.entries(settings).map(([path, value]) => ({ path, value }))
  )
  return yield* Effect.gen(function* () {
    const events: Array<Event> = []
    yield* run(graph, { onEvent: (event) => Effect.sync(() => events.push(event)) })
    const finished = events.find((event) => event._tag === "StageFinished" && event.stage === stage)
    if (finished?._tag !== "StageFinished") return assert.fail(`${stage} did not finish`)
    return yield* ReportPort.decode(finished.artifacts["report"]!, (yield* Store).source)
  }).pipe(Effect.provide(store), Effect.provide(cpu({ threads: 1 })))
}, Effect.scoped)

const figure = ({ figures }: Report, name: string) => figures.find((each) => each.name === name)!.value

describe("random walks", () => {
  it("a shortest way is worth 1; an edge that is not there, or no way to the goal, nothing", () => {
    const graph = graphOf(1, 21, 0.1)
    for (let start = 1; start < 21; start++) {
      assert.isBelow(graph.distances[start]!, walkLength)
      // A shortest way, by going down the distances.
      const way = [start]
      while (way.at(-1) !== 0) {
        const node = way.at(-1)!
        way.push(graph.edges[node]!.find((next) => graph.distances[next]! === graph.distances[node]! - 1)!)
      }
      const text = way.map((node) => String.fromCharCode(97 + node)).join("")
      assert.strictEqual(optimality(graph, text), 1)
      assert.strictEqual(optimality(graph, `${text}xyz`), 1)
      if (way.length > 2) assert.strictEqual(optimality(graph, `${text[0]}a`), 0)
      assert.strictEqual(optimality(graph, text.slice(0, -1)), 0)
    }
  })

  it.live("PPO raises the optimality of walks", () =>
    Effect.gen(function* () {
      const settings = {
        seeds: "1",
        epochs: "5",
        rollouts: "64",
        width: "32",
        layers: "1",
        steps: "200",
        learningRate: "3e-3"
      }
      const report = yield* reportOf(randomWalks, settings, "walks-report")
      assert.isBelow(figure(report, "optimality, pretrained"), 0.4)
      assert.isAbove(figure(report, "optimality, PPO"), figure(report, "optimality, pretrained") + 0.25)
      assert.include(report.plots![0]!.svg, "seed 1")
    })
  )
})

describe("over-optimisation", () => {
  it("the expected best of n is the mean over all choices of n", () => {
    const scores = [0.3, -1, 2, 0.9, 1.4]
    const values = [5, 1, -2, 3, 7]
    for (const n of [1, 2, 3, 5]) {
      const best: Array<number> = []
      for (let set = 0; set < 32; set++) {
        const members = scores.map((_, i) => i).filter((i) => (set >> i) & 1)
        if (members.length === n) best.push(values[members.reduce((a, b) => (scores[b]! > scores[a]! ? b : a))]!)
      }
      assert.closeTo(expectedBest(scores, values, n), best.reduce((a, b) => a + b, 0) / best.length, 1e-12)
    }
  })

  it("a fit of two functions finds what points were made of", () => {
    const points = [0.5, 1, 1.7, 2.4].map((d) => ({ d, y: d * (1.3 - 0.4 * d) }))
    const right = fitTwo(points, (d) => d, forms["d (a - b d)"])
    assert.closeTo(right.a, 1.3, 1e-9)
    assert.closeTo(right.b, 0.4, 1e-9)
    assert.closeTo(right.r2, 1, 1e-9)
    const other = fitTwo(points, (d) => d, forms["d (a - b ln d)"])
    assert.isBelow(other.r2, 0.99)
  })

  it.live("a gold model labels and scores, both rewards rise at first, and are drawn", () =>
    Effect.gen(function* () {
      const settings = {
        steps: "100",
        goldRankings: "100",
        goldEpochs: "2",
        rounds: "5",
        rollouts: "64",
        n: "8",
        rankings: "80",
        learningRate: "1e-3"
      }
      const report = yield* reportOf(overoptimisation, settings, "overoptimisation-report")
      assert.isAbove(figure(report, "PPO, proxy reward at the end"), 0.4)
      assert.isAbove(figure(report, "PPO, greatest gold reward"), 0.4)
      assert.isAbove(figure(report, "best of n, a of gold = d (a - b d)"), 0.5)
      assert.include(report.plots![0]!.svg, "best of n, gold")
      assert.include(report.plots![0]!.svg, "PPO, optimality")
    })
  )
})
