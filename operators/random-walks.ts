/**
 * trlX's random-walks task: find the shortest way to node "a" of a random graph, having seen random walks only. A node is a letter, a walk a text.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { philox, uniform } from "../src/engine/random.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Prompt } from "./answers.ts"
import { Measurement } from "./measurements.ts"
import { Part, PositiveInt, parameter } from "./parameter.ts"
import { plot } from "./plot.ts"
import { ReportPort } from "./report.ts"
import { Document } from "./rows.ts"
import { scoreWith } from "./score-with.ts"
import { sum } from "./scoring.ts"

/** Most nodes of a walk. */
export const walkLength = 10

/** `edges[i]` are the nodes that lead on from node i, `distances[i]` the fewest nodes (i included) of a way to node 0, infinite if there is none. */
export interface Graph {
  readonly edges: ReadonlyArray<ReadonlyArray<number>>
  readonly distances: ReadonlyArray<number>
}

/** A graph in which each node leads to each other with a probability; node 0 leads nowhere, all others somewhere. A function of its arguments. */
export const graphOf = (seed: number, nodes: number, edgeProbability: number): Graph => {
  const draw = (attempt: number, i: number, j: number) => uniform(philox([seed >>> 0, 0x3a1], [attempt, i, j, 0])[0]!)
  const all = Array.from({ length: nodes }, (_, i) => i)
  for (let attempt = 0; ; attempt++) {
    const edges = all.map((i) => (i === 0 ? [] : all.filter((j) => i !== j && draw(attempt, i, j) < edgeProbability)))
    if (edges.slice(1).some((next) => next.length === 0)) continue
    const distances = all.map((i) => (i === 0 ? 1 : Number.POSITIVE_INFINITY))
    for (let length = 2; length <= nodes; length++) {
      for (const i of all) {
        if (distances[i]! > length && edges[i]!.some((j) => distances[j] === length - 1)) distances[i] = length
      }
    }
    // Every node has a way to the goal that is short enough to be written.
    if (distances.every((distance) => distance < walkLength)) return { edges, distances }
  }
}

const letter = (node: number) => String.fromCharCode(97 + node)

/** 1 for a shortest way to node 0, 0 for none within `walkLength` nodes or one along an edge that is not there (trlX's `optimality`). */
export const optimality = ({ distances, edges }: Graph, walk: string): number => {
  const nodes = Array.from(walk.slice(0, walkLength), (character) => character.charCodeAt(0) - 97)
  let length = walkLength
  for (const [at, node] of nodes.entries()) {
    if (at > 0 && !edges[nodes[at - 1]!]?.includes(node)) break
    if (node === 0) {
      length = at + 1
      break
    }
  }
  return (walkLength - length) / (walkLength - distances[nodes[0]!]!)
}

const graphParams = {
  nodes: parameter(Schema.Int.check(Schema.isBetween({ minimum: 3, maximum: 26 })), 21, "nodes, each a letter"),
  edgeProbability: parameter(Part, 0.1, "of an edge from one node to another"),
  seed: parameter(Schema.Int, 1, "of the graph and the walks")
}

/** Random walks that end at node "a" or after 10 nodes, and prompts that begin one: the other nodes in turn. */
export const randomWalks = Operator.make("random-walks", {
  description: "Random walks on a random graph, as texts",
  params: Schema.Struct({
    ...graphParams,
    walks: parameter(PositiveInt, 1000, "walks"),
    prompts: parameter(PositiveInt, 640, "prompts")
  }),
  inputs: {},
  outputs: { documents: Table.of(Document), prompts: Table.of(Prompt) },
  run: ({ params }) => {
    const { edges } = graphOf(params.seed, params.nodes, params.edgeProbability)
    const documents = Array.from({ length: params.walks }, (_, n) => {
      const word = (step: number) => philox([params.seed >>> 0, 0x3a2], [n, step, 0, 0])[0]!
      let node = 1 + (word(0) % (params.nodes - 1))
      let text = letter(node)
      for (let step = 1; step < walkLength && node !== 0; step++) {
        node = edges[node]![word(step) % edges[node]!.length]!
        text += letter(node)
      }
      return { id: `walk-${n}`, text, source: "random-walks" }
    })
    const prompts = Array.from({ length: params.prompts }, (_, n) => ({
      id: `prompt-${n}`,
      prompt: letter(1 + (n % (params.nodes - 1)))
    }))
    return Effect.succeed({
      documents: Table.fromRows(Document, documents),
      prompts: Table.fromRows(Prompt, prompts)
    })
  }
})

/** Scores a walk by its optimality. */
export const scoreWalks = scoreWith("score-walks", {
  description: "Scores walks by how short a way to the goal they are",
  params: Schema.Struct(graphParams),
  reward: (answers, { edgeProbability, nodes, seed }) => {
    const graph = graphOf(seed, nodes, edgeProbability)
    return answers.map(({ answer, prompt }) => optimality(graph, prompt + answer))
  }
})

/** Mean over seeds with its 95% interval (Student's t), from one value a seed. */
const overSeeds = (values: ReadonlyArray<number>) => {
  const n = values.length
  const mean = sum(values) / n
  const variance = sum(values.map((x) => (x - mean) ** 2)) / Math.max(n - 1, 1)
  const t = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262][n - 2] ?? 1.96
  return { mean, half: n < 2 ? 0 : t * Math.sqrt(variance / n) }
}

/** A curve a seed, and how far the seeds came: `series` is the seed, `x` the epoch. */
export const walksReport = Operator.make("walks-report", {
  description: "Optimality of walks over the epochs of PPO",
  params: Schema.Struct({ goal: parameter(Schema.Number, 0.9, "optimality that epochs are counted to") }),
  inputs: { measurements: Table.of(Measurement) },
  outputs: { report: ReportPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const rows = yield* Table.collect(inputs.measurements)
    const curves = Map.groupBy(rows, (row) => row.series)
    const first = overSeeds(Array.from(curves.values(), (curve) => curve[0]!.reward))
    const last = overSeeds(Array.from(curves.values(), (curve) => curve.at(-1)!.reward))
    const reached = Array.from(curves.values(), (curve) => curve.find((row) => row.reward >= params.goal)?.x)
    const epochs = reached.filter((x) => x !== undefined).toSorted((a, b) => a - b)
    const note = `on ${curves.size} seeds; 95% interval +- `
    yield* stage.report({ metrics: { optimalityBefore: first.mean, optimality: last.mean, seeds: epochs.length } })
    return {
      report: {
        title: "Random walks",
        figures: [
          { name: "optimality, pretrained", value: first.mean, note: `${note}${first.half.toFixed(3)}` },
          { name: "optimality, PPO", value: last.mean, note: `${note}${last.half.toFixed(3)}` },
          { name: `seeds that reach ${params.goal}`, value: epochs.length, note: `of ${curves.size}` },
          ...(epochs.length === curves.size
            ? [{ name: `epochs to ${params.goal}, slowest seed`, value: epochs.at(-1)! }]
            : [])
        ],
        samples: [],
        plots: [
          yield* plot(
            rows.map(({ reward, series, x }) => ({ series, x, y: reward })),
            {
              name: "optimality",
              title: "Random walks: optimality",
              x: "epoch of PPO",
              y: "mean optimality of a rollout"
            }
          )
        ]
      }
    }
  })
})
