/** A made-up graph of tiny stages in layers: what the group `dag` builds with ptmflow and with every peer. */

/** A stage; one without parents reads its own source file. Parents come before their children. */
export interface DagStage {
  readonly name: string
  readonly parents: ReadonlyArray<string>
}

/** Layers, whatever the number of stages. */
const layers = 10

/**
 * `count` stages (a multiple of 10) in ten layers of one width. A stage has one to three parents, of the three that are nearest in the layer above, so
 * that what depends on one leaf is a small part of the whole.
 */
export const dagOf = (count: number): ReadonlyArray<DagStage> => {
  let state = 1
  const random = (below: number) => {
    state = (state * 48271) % 2147483647
    return Math.floor((state / 2147483647) * below)
  }
  const width = count / layers
  if (!Number.isInteger(width) || width < 3) throw new Error(`${count} stages cannot be ${layers} layers of at least 3`)
  const name = (layer: number, at: number) => `s${layer}-${(at + width) % width}`
  const stages: Array<DagStage> = []
  for (let layer = 0; layer < layers; layer++) {
    for (let at = 0; at < width; at++) {
      const near = layer === 0 ? [] : [at - 1, at, at + 1]
      while (near.length > 1 && random(2) === 0) near.splice(random(near.length), 1)
      stages.push({ name: name(layer, at), parents: near.map((each) => name(layer - 1, each)) })
    }
  }
  return stages
}

/** A stage and all that depend on it, in the graph's order. */
export const coneOf = (dag: ReadonlyArray<DagStage>, name: string): ReadonlyArray<string> => {
  const cone = new Set([name])
  for (const { name, parents } of dag) if (parents.some((parent) => cone.has(parent))) cone.add(name)
  return [...cone]
}

/** Stages that nothing depends on: what has to be asked for so that all is built. */
export const endsOf = (dag: ReadonlyArray<DagStage>): ReadonlyArray<string> => {
  const used = new Set(dag.flatMap(({ parents }) => parents))
  return dag.flatMap(({ name }) => (used.has(name) ? [] : [name]))
}
