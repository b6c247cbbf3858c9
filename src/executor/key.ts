/**
 * The stage key: the digest of all that can change a stage's result.
 *
 * In it are the operator's name, version and code, the packages that the code uses, the decoded parameters and seeds, the types of the ports, the contents
 * of inputs and source files, and the numerics class of the device where the operator uses it. Not in it are the names of stages and pipelines,
 * paths, times, the machine, how many threads there are, how often a stage was tried and what it may use.
 *
 * @since 0.1.0
 */
import type { Preimage } from "../lineage/record.ts"
import type { Artifact } from "../operator/artifact.ts"
import { digestOf, sharing } from "../operator/digest.ts"
import type { AnyOperator } from "../operator/operator.ts"
import type { Ports } from "../operator/port.ts"
import type { StageNode } from "../pipeline/graph.ts"

/** Counts up when what the key is made of changes. */
export const KEY_SCHEMA = 3

/** What of the key is known before any stage has run. */
export interface Recipe {
  readonly code: string
  readonly packages: string
  readonly sources: ReadonlyArray<{ readonly name: string; readonly digest: string }>
  readonly numerics: string | null
}

/** The types of ports, by name. */
export const typesOf = <Tag extends string>(_tag: Tag, ports: Ports) =>
  Object.entries(ports).map(([name, { contract, kind }]) => [name, { _tag, kind, contract }] as const)

/** The parts of a preimage that are the same for all stages of an operator. */
const fixedParts = (operator: AnyOperator) => ({
  operator: sharing({ _tag: "Operator" as const, name: operator.name, version: operator.version }),
  inputs: typesOf("Input", operator.inputs).map(
    ([port, type]) => [port, { ...type, contract: sharing(type.contract) }] as const
  ),
  outputs: sharing(Object.fromEntries(typesOf("Output", operator.outputs)))
})

const fixed = new WeakMap<AnyOperator, ReturnType<typeof fixedParts>>()

/** The preimage of a stage whose inputs are known; without them its recipe. */
export const preimageOf = (
  { operator, paramsTree, seedsTree }: StageNode,
  { code, numerics, packages, sources }: Recipe,
  inputs: { readonly [port: string]: Artifact }
): Preimage => {
  let parts = fixed.get(operator)
  if (parts === undefined) {
    parts = fixedParts(operator)
    fixed.set(operator, parts)
  }
  const digests: { [port: string]: Preimage["inputs"][string] } = {}
  for (const [port, { _tag, contract, kind }] of parts.inputs) {
    digests[port] = { _tag, kind, contract, digest: inputs[port]?.digest ?? "" }
  }
  return {
    _tag: "StageKey",
    schema: KEY_SCHEMA,
    operator: parts.operator,
    code,
    packages,
    params: paramsTree,
    ...(hasSeeds(seedsTree) ? { seeds: { _tag: "Seeds", values: seedsTree } } : {}),
    inputs: digests,
    outputs: parts.outputs,
    sources: sources.map(({ digest, name }) => ({ _tag: "Source", name, digest })),
    numerics
  }
}

const hasSeeds = (seeds: StageNode["seedsTree"]): boolean => {
  for (const _ in seeds) return true
  return false
}

/** The stage key. */
export const keyOf = (preimage: Preimage): string => digestOf("stage-key", preimage)

/** The digest of a preimage without what its inputs hold. */
export const recipeOf = (preimage: Preimage): string =>
  digestOf("recipe", {
    ...preimage,
    inputs: Object.fromEntries(Object.entries(preimage.inputs).map(([port, input]) => [port, { ...input, digest: "" }]))
  })
