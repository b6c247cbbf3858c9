/**
 * `ptmflow lineage`: what an artifact came from, or what came from it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { downstream, type LineageNode, resolve, upstream } from "../lineage/ledger.ts"
import { layer as storeLayer } from "../store/store.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { descendantLines } from "./render/descendants.ts"
import { lineageLines } from "./render/lineage.ts"

/** Prints the tree. */
export const lineage = Effect.fnUntraced(
  function* (input: {
    readonly artifact: string
    readonly asOf: Option.Option<string>
    readonly down: boolean
    readonly store: string
    readonly json: boolean
  }) {
    const made = yield* resolve(input.artifact, { asOf: Option.getOrUndefined(input.asOf) })
    const view = viewOf(process.stdout)
    if (input.down) {
      const descendants = yield* downstream(made)
      return yield* input.json
        ? printJson({ of: made, descendants })
        : printLines(descendantLines(made, descendants, view))
    }
    const node = yield* upstream(made)
    yield* input.json ? printJson(flat(node)) : printLines(lineageLines(node, view))
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)

const idOf = ({ key, port }: LineageNode): string => `${key}.${port}`

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
