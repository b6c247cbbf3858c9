import { assert, describe, it } from "@effect/vitest"
import { type Diagram, diagramLines, diagramWarning } from "../../src/cli/render/diagram.ts"

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

  it("is warned of where Mermaid would not draw it", () => {
    const edge = { from: "sft", to: "ppo.1", label: "" }
    const of = (edges: number) => ({ ...graph, edges: Array.from({ length: edges }, () => edge) })
    const warned = (format: "dot" | "mermaid", diagram: Diagram) =>
      diagramWarning(format, diagram, diagramLines(format, diagram)) !== undefined
    assert.deepStrictEqual(
      [warned("mermaid", of(500)), warned("mermaid", of(501)), warned("dot", of(501))],
      [false, true, false]
    )
    const long = { nodes: [{ id: "a", lines: ["x".repeat(50_000)], mark: "plain" as const }], edges: [] }
    assert.isTrue(warned("mermaid", long))
  })
})
