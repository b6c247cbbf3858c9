import { assert, describe, it } from "@effect/vitest"
import { diagramLines } from "../../src/cli/render/diagram.ts"
import type { LineageNode } from "../../src/lineage/ledger.ts"
import { statementOf } from "../../src/lineage/statement.ts"

const odd = 'a "quoted" <b> \\ [x] #1 `y`'
const graph = {
  nodes: [
    { id: "ppo.1", lines: ["ppo.1", odd], mark: "due" },
    { id: "sft", lines: ["sft"], mark: "plain" },
    { id: "text.md", lines: ["text.md"], mark: "file" }
  ],
  edges: [
    { from: "sft", to: "ppo.1", label: "policy" },
    { from: "text.md", to: "sft", label: "file" }
  ]
} as const

describe("a graph as text", () => {
  it("in DOT has each node and edge once, and texts that end nothing", () => {
    const lines = diagramLines("dot", graph)
    assert.strictEqual(lines[0], "digraph {")
    assert.strictEqual(lines.at(-1), "}")
    assert.include(
      lines,
      '  "ppo.1" [label="ppo.1\\na \\"quoted\\" <b> \\\\ [x] #1 `y`" style="filled" fillcolor="#ffd8a8"];'
    )
    assert.include(lines, '  "sft" -> "ppo.1" [label="policy"];')
    // Outside of texts there is no quotation mark left.
    for (const line of lines) assert.notMatch(line.replaceAll(/"(?:[^"\\]|\\.)*"/g, ""), /"/)
  })

  it("in Mermaid has ids of its own and entities in texts", () => {
    const lines = diagramLines("mermaid", graph)
    assert.strictEqual(lines[0], "flowchart LR")
    assert.include(lines, '  n1 -->|"policy"| n0')
    const node = lines.find((line) => line.startsWith("  n0["))!
    assert.match(node, /^ {2}n0\["[^"[\]<>`\\]*<br>[^"[\]<>`\\]*"\]:::due$/)
    const text = /<br>(.*)"\]/.exec(node)![1]!
    assert.strictEqual(
      text.replaceAll(/#(\d+);/g, (_, code) => String.fromCodePoint(Number(code))),
      odd
    )
  })
})

describe("a statement of an artifact", () => {
  const node = (stage: string, inputs: LineageNode["inputs"], sources: LineageNode["sources"] = []): LineageNode => ({
    artifact: {
      kind: "checkpoint",
      digest: stage.padEnd(64, "0"),
      parts: { weights: { digest: `${stage}1`.padEnd(64, "0"), bytes: 7 } },
      meta: {}
    },
    key: `key of ${stage}`,
    stage,
    port: "out",
    operator: "train",
    pipeline: "p",
    run: "r1",
    params: { steps: 3 },
    metrics: { loss: 1.5 },
    device: "cpu",
    time: Date.UTC(2026, 0, 1),
    seconds: 90,
    sources,
    inputs
  })

  it("is an in-toto statement whose subject is its blobs, and whose dependencies are those of its stage", () => {
    const file = { name: "text.md", digest: "f".repeat(64) }
    const far = node("far", {})
    const statement = statementOf(node("near", { base: node("base", { far }) }, [file]))
    assert.strictEqual(statement._type, "https://in-toto.io/Statement/v1")
    assert.strictEqual(statement.predicateType, "https://slsa.dev/provenance/v1")
    assert.deepStrictEqual(
      statement.subject.map(({ digest, name }) => [name, digest.sha256]),
      [["near.out/weights", "near1".padEnd(64, "0")]]
    )
    const { buildDefinition, runDetails } = statement.predicate
    assert.deepStrictEqual(
      buildDefinition.resolvedDependencies.map(({ digest, name }) => [name, digest.sha256]),
      [
        ["base.out/weights", "base1".padEnd(64, "0")],
        ["text.md", file.digest]
      ]
    )
    assert.deepStrictEqual(buildDefinition.externalParameters.params, { steps: 3 })
    assert.deepStrictEqual(runDetails.metadata, {
      invocationId: "r1",
      startedOn: "2026-01-01T00:00:00.000Z",
      finishedOn: "2026-01-01T00:01:30.000Z"
    })
    const content = runDetails.byproducts[0]!.content
    assert.deepStrictEqual(JSON.parse(Buffer.from(content, "base64").toString()), { loss: 1.5 })
  })
})
