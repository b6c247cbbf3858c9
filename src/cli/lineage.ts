/**
 * `ptmflow lineage`: what an artifact came from, or what came from it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { downstream, LineageError, type LineageNode, resolve, upstream } from "../lineage/ledger.ts"
import { stageRecord } from "../lineage/records.ts"
import { statementOf } from "../lineage/statement.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { printDiagram, printJson, printLines, viewOf } from "./output.ts"
import { descendantLines } from "./render/descendants.ts"
import type { Diagram, DiagramFormat } from "./render/diagram.ts"
import { lineageLines } from "./render/lineage.ts"

/** Prints the tree. */
export const lineage = Effect.fnUntraced(
  function* (input: {
    readonly artifact: string
    readonly asOf: Option.Option<string>
    readonly down: boolean
    readonly as: Option.Option<DiagramFormat | "in-toto">
    readonly store: string
    readonly json: boolean
  }) {
    const format = Option.getOrUndefined(input.as)
    if (format !== undefined && (input.down || input.json)) {
      const other = input.down ? "--down" : "--json"
      const message = `--as ${format} writes what an artifact came from, and ${other} asks for something else: leave one of them out`
      return yield* new LineageError({ reference: input.artifact, candidates: [], message })
    }
    const made = yield* resolve(input.artifact, { asOf: Option.getOrUndefined(input.asOf) })
    const view = viewOf(process.stdout)
    if (input.down) {
      const descendants = yield* downstream(made)
      return yield* input.json
        ? printJson({ of: made, descendants })
        : printLines(descendantLines(made, descendants, view))
    }
    const node = yield* upstream(made)
    if (format === "in-toto") {
      // What an artifact came from is only known where all records are.
      const record = stageRecord((yield* Store).journal, node.key)!
      return yield* printJson(statementOf(node, record))
    }
    if (format !== undefined) return yield* printDiagram(format, diagramOf(node))
    yield* input.json ? printJson(flat(node)) : printLines(lineageLines(node, view))
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)

const idOf = ({ key, port }: LineageNode): string => `${key}.${port}`

/** More files than this of one stage are one node. */
const manyFiles = 4

/** The artifacts of the tree, what each came from, and the files that were read. */
const diagramOf = (root: LineageNode): Diagram => {
  const { nodes } = flat(root)
  const files = nodes.flatMap(({ id, sources }) =>
    sources.length > manyFiles
      ? [{ id: `files of ${id}`, to: id, lines: [`${sources.length} files`] }]
      : sources.map(({ digest, name }) => ({ id: digest, to: id, lines: [name, digest.slice(0, 12)] }))
  )
  return {
    nodes: [
      ...nodes.map(({ artifact, id, operator, port, stage }) => ({
        id,
        lines: [`${stage}.${port}`, operator, `${artifact.kind} ${artifact.digest.slice(0, 12)}`],
        mark: id === idOf(root) ? ("due" as const) : ("plain" as const)
      })),
      ...new Map(files.map(({ id, lines }) => [id, { id, lines, mark: "file" as const }])).values()
    ],
    edges: [
      ...nodes.flatMap(({ id, inputs }) => Object.entries(inputs).map(([label, from]) => ({ from, to: id, label }))),
      ...files.map(({ id, to }) => ({ from: id, to, label: "" }))
    ]
  }
}

/** Every node once, by its id, the root first: as nested objects a loop of n rounds would be written 2^n times. */
const flat = (root: LineageNode) => {
  const nodes = new Map<string, LineageNode>()
  const visit = (node: LineageNode): void => {
    if (nodes.has(idOf(node))) return
    nodes.set(idOf(node), node)
    for (const input of Object.values(node.inputs)) visit(input)
  }
  visit(root)
  return {
    root: idOf(root),
    nodes: [...nodes].map(([id, node]) => ({
      id,
      ...node,
      inputs: Object.fromEntries(Object.entries(node.inputs).map(([port, input]) => [port, idOf(input)]))
    }))
  }
}
