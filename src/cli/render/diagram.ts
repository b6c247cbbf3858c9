/**
 * Graphs as text that other programs draw: Graphviz's DOT, and Mermaid.
 *
 * @since 0.1.0
 */

/** What a graph can be written as. */
export const diagramFormats = ["dot", "mermaid"] as const
export type DiagramFormat = (typeof diagramFormats)[number]

/** `lines` are what stands in the node; `mark` says how it is drawn. */
export interface DiagramNode {
  readonly id: string
  readonly lines: ReadonlyArray<string>
  readonly mark: "plain" | "due" | "maybe" | "file"
}

export interface DiagramEdge {
  readonly from: string
  readonly to: string
  readonly label: string
}

export interface Diagram {
  readonly nodes: ReadonlyArray<DiagramNode>
  readonly edges: ReadonlyArray<DiagramEdge>
}

/** The graph from left to right, a line a node and a line an edge. */
export const diagramLines = (format: DiagramFormat, { edges, nodes }: Diagram): ReadonlyArray<string> =>
  format === "dot" ? dot(nodes, edges) : mermaid(nodes, edges)

/** What Mermaid draws of one diagram unless whoever calls it allows more: edges, and characters of text. */
const mermaidLimits = { edges: 500, characters: 50_000 }

/** Why a diagram may not be drawn by who reads it, if that is so. */
export const diagramWarning = (format: DiagramFormat, { edges }: Diagram, lines: ReadonlyArray<string>) => {
  const characters = lines.reduce((sum, line) => sum + line.length + 1, 0)
  if (format === "dot") return undefined
  if (edges.length <= mermaidLimits.edges && characters <= mermaidLimits.characters) return undefined
  const of = (edges: number, characters: number) => `${edges} edges and ${characters} characters`
  const limits = of(mermaidLimits.edges, mermaidLimits.characters)
  return `warning: the diagram has ${of(edges.length, characters)}; Mermaid draws ${limits} unless maxEdges and maxTextSize allow more; --as dot has no such limit`
}

const dotText = (text: string) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`

const dotMarks = {
  plain: "",
  due: ' style="filled" fillcolor="#ffd8a8"',
  maybe: ' style="filled,dashed" fillcolor="#fff3bf"',
  file: " shape=note"
} as const

const dot = (nodes: Diagram["nodes"], edges: Diagram["edges"]) => [
  "digraph {",
  '  rankdir="LR"; node [shape=box fontname="sans-serif"]; edge [fontname="sans-serif" fontsize=10];',
  ...nodes.map(
    ({ id, lines, mark }) =>
      `  ${dotText(id)} [label="${lines.map((line) => dotText(line).slice(1, -1)).join("\\n")}"${dotMarks[mark]}];`
  ),
  ...edges.map(({ from, label, to }) => `  ${dotText(from)} -> ${dotText(to)} [label=${dotText(label)}];`),
  "}"
]

/** Mermaid's ids are letters and digits, and its texts have entities for what would end them. */
const mermaidText = (text: string) =>
  `"${text.replaceAll(/[#"&<>`\\[\]]/g, (character) => `#${character.codePointAt(0)};`)}"`

const mermaid = (nodes: Diagram["nodes"], edges: Diagram["edges"]) => {
  const ids = new Map(nodes.map(({ id }, i) => [id, `n${i}`]))
  return [
    "flowchart LR",
    ...nodes.map(({ id, lines, mark }) => {
      const text = lines.map((line) => mermaidText(line).slice(1, -1)).join("<br>")
      return `  ${ids.get(id)}["${text}"]${mark === "plain" ? "" : `:::${mark}`}`
    }),
    ...edges.map(
      ({ from, label, to }) => `  ${ids.get(from)} -->${label === "" ? "" : `|${mermaidText(label)}|`} ${ids.get(to)}`
    ),
    "  classDef due fill:#ffd8a8,color:#000",
    "  classDef maybe fill:#fff3bf,color:#000,stroke-dasharray:4",
    "  classDef file fill:#e9ecef,color:#000"
  ]
}
