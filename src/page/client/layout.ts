/**
 * Where the nodes of a directed graph are drawn: layers from left to right.
 *
 * @since 0.1.0
 */
import * as dagre from "@dagrejs/dagre"

/** A node's centre and size, in pixels at zoom 1. */
export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** Boxes by id, the points of each edge, and the size of it all. */
export interface Layout {
  readonly boxes: ReadonlyMap<string, Box>
  readonly edges: ReadonlyArray<{ readonly from: string; readonly to: string; readonly path: string }>
  readonly width: number
  readonly height: number
}

export const NODE_HEIGHT = 46

/** Width of a node with this text. */
const widthOf = (label: string): number => Math.min(Math.max(label.length * 8.3 + 30, 120), 270)

interface Point {
  readonly x: number
  readonly y: number
}

/** A curve through points, horizontal where it begins and ends. */
const curve = (points: ReadonlyArray<Point>): string => {
  const [first, ...rest] = points
  if (first === undefined) return ""
  let path = `M${first.x.toFixed(1)} ${first.y.toFixed(1)}`
  let last = first
  for (const point of rest) {
    const middle = (last.x + point.x) / 2
    path += `C${middle.toFixed(1)} ${last.y.toFixed(1)} ${middle.toFixed(1)} ${point.y.toFixed(1)} ${point.x.toFixed(1)} ${point.y.toFixed(1)}`
    last = point
  }
  return path
}

/** Lays out nodes by id and label. A thousand take about a second. */
export const layout = (
  nodes: ReadonlyArray<{ readonly id: string; readonly label: string }>,
  edges: ReadonlyArray<readonly [string, string]>
): Layout => {
  const graph = new dagre.graphlib.Graph()
  graph.setGraph({
    rankdir: "LR",
    nodesep: 12,
    ranksep: 38,
    marginx: 16,
    marginy: 16,
    ranker: nodes.length > 200 ? "longest-path" : "network-simplex"
  })
  graph.setDefaultEdgeLabel(() => ({}))
  for (const { id, label } of nodes) graph.setNode(id, { width: widthOf(label), height: NODE_HEIGHT })
  for (const [from, to] of edges) graph.setEdge(from, to)
  dagre.layout(graph)
  const boxes = new Map<string, Box>()
  for (const { id } of nodes) {
    const { height, width, x, y } = graph.node(id) as Box
    boxes.set(id, { x, y, width, height })
  }
  const { height = 0, width = 0 } = graph.graph() as { width?: number; height?: number }
  return {
    boxes,
    edges: edges.map(([from, to]) => ({
      from,
      to,
      path: curve((graph.edge(from, to) as { points: Array<Point> }).points)
    })),
    width,
    height
  }
}
