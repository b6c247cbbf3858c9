/**
 * The lineage of an artifact as a graph that one can walk, and the diff of two.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { diff as diffOf } from "../../executor/diff.ts"
import { downstream, type Made } from "../../lineage/ledger.ts"
import { paramsOf, placeOf, type StageRecord } from "../../lineage/record.ts"
import { recordThatGave } from "../../lineage/records.ts"
import { verifiedOf } from "../../lineage/verified.ts"
import type { Journal } from "../../store/journal.ts"
import { Store } from "../../store/store.ts"
import type { Diff, Lineage, LineageNodeView } from "../answers.ts"
import { artifactView, findArtifact } from "./artifact.ts"
import { verifiedView } from "./verified.ts"

/** Nodes of an answer at most: a person walks on from there. */
const MOST = 300

const idOf = (key: string, port: string): string => `${key}:${port}`

type Node = Omit<LineageNodeView, "inputs" | "more"> & { readonly record: StageRecord }

const nodeOf = (journal: Journal, record: StageRecord, port: string, distance: number): Node => {
  const verified = verifiedOf(journal, { key: record.key, port, artifact: record.outputs[port]! })
  const { key, metrics, pipeline, preimage, run, seconds, stage, time } = record
  return {
    ...artifactView(record.outputs[port]!, stage, key, port),
    id: idOf(key, port),
    stage,
    operator: preimage.operator.name,
    pipeline,
    run,
    time,
    seconds,
    device: placeOf(record),
    verified: verified === undefined ? null : verifiedView(verified),
    distance,
    params: paramsOf(preimage),
    metrics: Object.fromEntries(
      Object.entries(metrics).map(([name, value]) => [name, Number.isFinite(value) ? value : null])
    ),
    sources: preimage.sources.map(({ digest, name }) => ({ digest, name })),
    record
  }
}

/** What an artifact came from and what came from it, each `depth` stages far. */
export const lineage = Effect.fnUntraced(function* (reference: string, depth: number) {
  const { journal } = yield* Store
  const made = yield* findArtifact(reference)
  const nodes = new Map<string, Node>()
  const add = (key: string, port: string, digest: string | undefined, distance: number): Node | undefined => {
    const record = digest === undefined ? undefined : recordThatGave(journal, key, port, digest)
    if (record === undefined) return undefined
    const node = nodeOf(journal, record, port, distance)
    nodes.set(node.id, node)
    return node
  }
  let wave = [add(made.key, made.port, made.artifact.digest, 0)]
  for (let distance = 1; distance <= depth && nodes.size < MOST; distance++) {
    wave = wave.flatMap((node) =>
      Object.entries(node?.record.inputs ?? {}).flatMap(([name, { key, port }]) =>
        nodes.has(idOf(key, port)) ? [] : [add(key, port, node!.record.preimage.inputs[name]?.digest, -distance)]
      )
    )
  }
  let beyond = false
  for (const { artifact, distance, key, port } of yield* downstream(made)) {
    if (distance > depth || nodes.size >= MOST) {
      beyond = true
      break
    }
    if (!nodes.has(idOf(key, port))) add(key, port, artifact.digest, distance)
  }
  // An input may be another artifact of the same content.
  const byDigest = new Map([...nodes.values()].map((node) => [node.digest, node.id]))
  const used = new Set<string>()
  const views = [...nodes.values()].map(({ record, ...node }): LineageNodeView => {
    const inputs = Object.entries(record.inputs).flatMap(([port, input]) => {
      const id = nodes.has(idOf(input.key, input.port))
        ? idOf(input.key, input.port)
        : byDigest.get(record.preimage.inputs[port]?.digest ?? "")
      if (id === undefined) return []
      used.add(id)
      return [[port, id] as const]
    })
    const more = inputs.length < Object.keys(record.inputs).length
    return { ...node, inputs: Object.fromEntries(inputs), more }
  })
  const view: Lineage = {
    root: idOf(made.key, made.port),
    depth,
    nodes: views.map((node) => ({
      ...node,
      more: node.more || (beyond && node.distance > 0 && !used.has(node.id))
    }))
  }
  return view
})

const shown = (value: unknown): string | null =>
  value === undefined || value === null ? null : typeof value === "string" ? value : JSON.stringify(value)

const viewOf = ({ artifact, key, port, stage }: Made) => artifactView(artifact, stage, key, port)

/** How two artifacts differ. */
export const diff = Effect.fnUntraced(function* (first: string, second: string) {
  const [a, b] = [yield* findArtifact(first), yield* findArtifact(second)]
  const { causes, metrics, same } = yield* diffOf(a, b)
  const view: Diff = {
    a: viewOf(a),
    b: viewOf(b),
    same,
    causes: causes.map(({ a, b, from, kind, message, place, to }) => ({
      kind,
      stage: a === b ? b : `${a} → ${b}`,
      place,
      from: shown(from),
      to: shown(to),
      message
    })),
    metrics: metrics.map(({ a, b, name }) => ({ name, a: a ?? null, b: b ?? null }))
  }
  return view
})
