/**
 * Why one stage is reused or not: down to the parts of its key, up to the first cause, and against results that are near.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Reason } from "../lineage/reason.ts"
import { Preimage, type StageRecord } from "../lineage/record.ts"
import { stageHeads, stageRecord } from "../lineage/records.ts"
import type { Graph } from "../pipeline/graph.ts"
import { nearest } from "../pipeline/nearest.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { changes } from "./explain.ts"
import { preimageOf } from "./key.ts"
import { planWith, StagePlan } from "./plan.ts"
import { PlanError, prepare } from "./prepare.ts"
import { sharingOf } from "./sharing.ts"

/** A past result of a stage; `time` is milliseconds since 1970, `reasons` why it ran then. */
const Made = Schema.Struct({
  key: Schema.String,
  run: Schema.String,
  pipeline: Schema.String,
  stage: Schema.String,
  time: Schema.Number,
  seconds: Schema.Number,
  reasons: Schema.Array(Reason)
})

/**
 * `plan` is the stage's own; `chain` are the stages from its first cause down to it, those that are due; `preimage` is what its key is made of, its
 * inputs' digests empty where they are not known yet; `made` is the result that it reuses, or that it had last.
 */
export const Why = Schema.Struct({
  format: Schema.Literal(1),
  plan: StagePlan,
  chain: Schema.Array(StagePlan),
  preimage: Preimage,
  made: Schema.optionalKey(Made)
})
export type Why = typeof Why.Type

/** `nearest` are results of the same operator, those with the fewest changes first; `changes` leads from each to the stage as it is now. */
export const WhyNot = Schema.Struct({
  format: Schema.Literal(1),
  plan: StagePlan,
  nearest: Schema.Array(Schema.Struct({ made: Made, changes: Schema.Array(Reason) }))
})
export type WhyNot = typeof WhyNot.Type

/** Results that are compared with at most. */
const MOST = 3

const look = Effect.fnUntraced(function* <R>(graph: Graph<R>, stage: string) {
  const store = yield* Store
  const at = graph.stages.findIndex(({ name }) => name === stage)
  if (at < 0) {
    const names = graph.stages.map(({ name }) => name)
    const near = nearest(stage, names)
    const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `there are ${names.slice(0, 20).join(", ")}`
    const message = `pipeline ${graph.pipeline} has no stage ${stage}; ${hint}`
    return yield* new PlanError({ place: stage, cause: "NoSuchStage", message })
  }
  yield* store.journal.refresh
  const prepared = yield* prepare(graph, store)
  const { history, planned } = yield* planWith(graph.pipeline, prepared, store, yield* sharingOf(store))
  const plans = new Map(planned.map(({ plan, reused }) => [plan.stage, { plan, outputs: reused?.record.outputs }]))
  const { node, recipe } = prepared.stages[at]!
  const sources = Object.entries(node.inputs)
  const known = sources.flatMap(([port, source]) => {
    const artifact = plans.get(source.stage)!.outputs?.[source.port]
    return artifact === undefined ? [] : [[port, artifact] as const]
  })
  const pending = new Set(sources.map(([port]) => port).filter((port) => !known.some(([name]) => name === port)))
  const preimage = preimageOf(node, recipe, Object.fromEntries(known))
  return { store, code: prepared.code, history, planned, plan: planned[at]!.plan, preimage, pending }
})

const madeOf = ({ key, pipeline, reasons, run, seconds, stage, time }: StageRecord): (typeof Made)["Type"] => ({
  key,
  run,
  pipeline,
  stage,
  time,
  seconds,
  reasons
})

/** Why a stage will run, may run, or is reused. */
export const why = Effect.fnUntraced(function* <R>(
  graph: Graph<R>,
  stage: string
): Effect.fn.Return<Why, PlanError | StoreError, R | Store> {
  const { history, plan, planned, preimage, store } = yield* look(graph, stage)
  const record = plan.action === "reuse" ? stageRecord(store.journal, plan.key!) : history.latest(stage)
  return {
    format: 1,
    plan,
    chain: chainTo(
      graph,
      planned.map(({ plan }) => plan),
      plan
    ),
    preimage,
    ...(record === undefined ? {} : { made: madeOf(record) })
  }
})

/** The stages that are due on a shortest way from a stage's first cause to it. */
const chainTo = (graph: Graph<unknown>, plans: ReadonlyArray<StagePlan>, to: StagePlan): ReadonlyArray<StagePlan> => {
  if (to.action === "reuse") return []
  const byName = new Map(plans.map((plan) => [plan.stage, plan]))
  const nodes = new Map(graph.stages.map((node) => [node.name, node]))
  const from = to.cause?.stage ?? to.stage
  let paths: ReadonlyArray<ReadonlyArray<string>> = [[to.stage]]
  const seen = new Set([to.stage])
  while (paths.length > 0) {
    const found = paths.find(([head]) => head === from)
    if (found !== undefined) return found.map((name) => byName.get(name)!)
    paths = paths.flatMap((path) =>
      Object.values(nodes.get(path[0]!)!.inputs).flatMap(({ stage }) => {
        if (seen.has(stage) || byName.get(stage)!.action === "reuse") return []
        seen.add(stage)
        return [[stage, ...path]]
      })
    )
  }
  return [to]
}

/** What keeps a stage from being reused: how it differs from the results of its operator that are nearest to it. */
export const whyNot = Effect.fnUntraced(function* <R>(
  graph: Graph<R>,
  stage: string
): Effect.fn.Return<WhyNot, PlanError | StoreError, R | Store> {
  const { code, history, pending, plan, preimage, store } = yield* look(graph, stage)
  if (plan.action === "reuse") return { format: 1, plan, nearest: [] }
  const records = new Map(
    stageHeads(store.journal).flatMap(({ key }) => {
      const record = stageRecord(store.journal, key)
      return record?.preimage.operator.name === preimage.operator.name ? [[key, record] as const] : []
    })
  )
  const compared = [...records.values()].map((record) => ({
    made: madeOf(record),
    changes: [
      ...changes(record.preimage, preimage, code, pending),
      ...(plan.key === record.key ? (history.lookup(record.key)?.lost ?? []) : [])
    ]
  }))
  compared.sort((a, b) => a.changes.length - b.changes.length || b.made.time - a.made.time)
  return { format: 1, plan, nearest: compared.slice(0, MOST) }
})
