/**
 * The stage key: the digest of all that can change a stage's result.
 *
 * In it are the operator's name, version and code, the decoded parameters, the types of the ports, the contents of inputs and source files,
 * and the numerics class of the device where the operator uses it. Not in it are the names of stages and pipelines, paths, times, the machine,
 * and how many threads there are.
 *
 * @since 0.1.0
 */
import type { Preimage } from "../lineage/record.ts"
import type { Artifact } from "../operator/artifact.ts"
import { digestOf } from "../operator/digest.ts"
import type { Ports } from "../operator/port.ts"
import type { StageNode } from "../pipeline/graph.ts"

/** Counts up when what the key is made of changes. */
export const KEY_SCHEMA = 1

/** What of the key is known before any stage has run. */
export interface Recipe {
  readonly code: string
  readonly sources: ReadonlyArray<{ readonly name: string; readonly digest: string }>
  readonly numerics: string | null
}

const portTypes = (ports: Ports) =>
  Object.fromEntries(Object.entries(ports).map(([name, { contract, kind }]) => [name, { kind, contract }]))

/** The preimage of a stage whose inputs are known; without them its recipe. */
export const preimageOf = (
  { operator, paramsJson }: StageNode,
  { code, numerics, sources }: Recipe,
  inputs: { readonly [port: string]: Artifact }
): Preimage => {
  const types = portTypes(operator.inputs)
  return {
    schema: KEY_SCHEMA,
    operator: { name: operator.name, version: operator.version },
    code,
    params: paramsJson,
    inputs: Object.fromEntries(
      Object.entries(types).map(([port, type]) => [port, { ...type, digest: inputs[port]?.digest ?? "" }])
    ),
    outputs: portTypes(operator.outputs),
    sources: sources.map(({ digest, name }) => ({ name, digest })),
    numerics
  }
}

/** The stage key. */
export const keyOf = (preimage: Preimage): string => digestOf("stage-key", preimage)

/** The digest of a preimage without what its inputs hold. */
export const recipeOf = (preimage: Preimage): string =>
  digestOf("recipe", {
    ...preimage,
    inputs: Object.fromEntries(Object.entries(preimage.inputs).map(([port, input]) => [port, { ...input, digest: "" }]))
  })
