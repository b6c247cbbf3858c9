/**
 * What a run would do, and why, found without running anything.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { FirstCause, Reason } from "../lineage/reason.ts"
import type { Artifact } from "../operator/artifact.ts"
import type { Graph } from "../pipeline/graph.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { BatchPlan, planBatches } from "./batches.ts"
import { consult } from "./consult.ts"
import { PlanError, type Prepared, type PreparedStage, prepare } from "./prepare.ts"
import { type History, historyOf, type Resolution, resolvePending, resolveStage } from "./resolve.ts"
import { type Settled, settledOf } from "./settled.ts"
import { type Sharing, sharingOf } from "./sharing.ts"

/**
 * What will happen to one stage. `maybe`: a stage before it runs, and if that gives the same bytes as some run before, this one is
 * reused. `reasons` are the smallest parts of its key that changed, and the inputs that it waits for; where there are only such, `cause` is why.
 * `seconds` is what it took last time; `remote` is where the result is that will be reused, if it is not here yet; `batches` is what is known
 * of them where it maps batch by batch.
 */
export const StagePlan = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  action: Schema.Literals(["reuse", "run", "maybe"]),
  key: Schema.optionalKey(Schema.String),
  reasons: Schema.Array(Reason),
  cause: Schema.optionalKey(FirstCause),
  seconds: Schema.optionalKey(Schema.Number),
  remote: Schema.optionalKey(Schema.String),
  batches: Schema.optionalKey(BatchPlan)
})
export type StagePlan = typeof StagePlan.Type

/** A stage's plan, and what it takes: by input the stage and the output of it. */
export const PlanNode = Schema.Struct({
  ...StagePlan.fields,
  inputs: Schema.Record(Schema.String, Schema.Struct({ stage: Schema.String, port: Schema.String }))
})
export type PlanNode = typeof PlanNode.Type

/**
 * The stages in an order of running. `seconds` is the sum of what stages that run, or may run, took last time. This is what `plan --json` prints;
 * `format` counts up when a field changes its meaning or goes, not when one is added.
 */
export const Plan = Schema.Struct({
  format: Schema.Literal(1),
  pipeline: Schema.String,
  stages: Schema.Array(PlanNode),
  seconds: Schema.Number
})
export type Plan = typeof Plan.Type

/** Says of each stage whether it would be reused or run, and why. Writes no record and runs no operator. */
export const plan = Effect.fnUntraced(function* <R>(
  graph: Graph<R>
): Effect.fn.Return<Plan, PlanError | StoreError, R | Store> {
  const store = yield* Store
  const prepared = yield* prepare(graph, store)
  const sharing = yield* sharingOf(store)
  const { planned } = yield* planWith(graph.pipeline, prepared, store, sharing)
  return planOf(graph, planned)
})

/**
 * What is known of a graph's stages. `binding` is the digest under which their keys are recorded, where their results are known in one piece (see
 * `settled.ts`), `unsettled` the graph, where that is worth doing.
 */
export interface Planned {
  readonly history: History
  readonly planned: ReadonlyArray<PlannedStage>
  readonly binding?: string
  readonly unsettled?: string
}

/** Plans with what the store has and, if that is not enough, with what a remote has. */
export const planWith = Effect.fnUntraced(function* (
  pipeline: string,
  prepared: Prepared,
  store: Store["Service"],
  sharing: Sharing | undefined
): Effect.fn.Return<Planned, PlanError | StoreError> {
  const history = historyOf(store, pipeline, sharing)
  const { graph: unsettled, settlement } = yield* settledOf(store, pipeline, prepared.stages)
  if (settlement !== undefined) {
    const { binding, results, stale } = settlement
    const planned = results.map((result, at) => reusing(prepared.stages[at]!, result))
    return { history, planned, binding, ...(stale ? { unsettled } : {}) }
  }
  yield* store.journal.refresh
  const planned = planStages(prepared, history)
  if (sharing === undefined || planned.every(({ reused }) => reused !== undefined))
    return { history, planned, unsettled }
  yield* Effect.mapError(
    consult(prepared, history, sharing),
    ({ _tag, message, place }) => new PlanError({ place, cause: _tag, message })
  )
  return { history, planned: planStages(prepared, history), unsettled }
})

/** A stage's plan, with what was found on the way where it can be reused. */
export interface PlannedStage {
  readonly plan: StagePlan
  readonly reused: Pick<Extract<Resolution, { readonly action: "reuse" }>, "key" | "record" | "remote"> | undefined
}

const reusing = (
  { node }: PreparedStage,
  { key, record, remote }: Settled & { readonly remote?: string | undefined }
): PlannedStage => ({
  plan: {
    stage: node.name,
    operator: node.operator.name,
    action: "reuse",
    key,
    reasons: [],
    seconds: record.seconds,
    ...(remote === undefined ? {} : { remote })
  },
  reused: { key, record, remote }
})

/** Plans prepared stages, each after its inputs. */
export const planStages = ({ code, stages }: Prepared, history: History): ReadonlyArray<PlannedStage> => {
  const results = new Map<string, { readonly [port: string]: Artifact }>()
  /** Of stages that are due, the place of the earliest at or above them that has reasons of its own. */
  const origins = new Map<string, number>()
  const planned: Array<PlannedStage> = []
  for (const stage of stages) {
    const { inputs, name, operator } = stage.node
    const about = { stage: name, operator: operator.name }
    const known = Object.fromEntries(
      Object.entries(inputs).map(([port, source]) => [port, results.get(source.stage)?.[source.port]])
    )
    const found = resolve(stage, known, history, code)
    if (found.action === "reuse") {
      results.set(name, found.record.outputs)
      planned.push(reusing(stage, found))
      continue
    }
    const { action, batches, key, latest, reasons } = found
    const own = reasons.some(isOwn)
    const above = Object.values(inputs).flatMap(({ stage }) => origins.get(stage) ?? [])
    const origin = own ? planned.length : Math.min(...above)
    origins.set(name, origin)
    const first = own ? undefined : planned[origin]!.plan
    const plan: StagePlan = {
      ...about,
      action,
      ...(key === undefined ? {} : { key }),
      reasons,
      ...(first === undefined ? {} : { cause: { stage: first.stage, message: first.reasons.find(isOwn)!.message } }),
      ...(latest === undefined ? {} : { seconds: latest.seconds }),
      ...(batches === undefined ? {} : { batches })
    }
    planned.push({ plan, reused: undefined })
  }
  return planned
}

/** Whether a reason is of the stage itself, and not only that a stage before it runs. */
const isOwn = ({ kind }: Reason): boolean => kind !== "input-pending"

type Found =
  | Extract<Resolution, { readonly action: "reuse" }>
  | {
      readonly action: "run" | "maybe"
      readonly key: string | undefined
      readonly reasons: ReadonlyArray<Reason>
      readonly latest: { readonly seconds: number } | undefined
      readonly batches: BatchPlan | undefined
    }

const resolve = (
  stage: PreparedStage,
  inputs: { readonly [port: string]: Artifact | undefined },
  history: History,
  code: Prepared["code"]
): Found => {
  if (Object.values(inputs).every((artifact) => artifact !== undefined)) {
    const found = resolveStage(stage, inputs as { readonly [port: string]: Artifact }, history, code)
    return found.action === "reuse"
      ? found
      : { ...found, batches: planBatches(found.latest, found.preimage, new Set()) }
  }
  const { certain, latest, pending, preimage, reasons } = resolvePending(stage, inputs, history, code)
  const batches = planBatches(latest, preimage, pending)
  return { action: certain ? "run" : "maybe", key: undefined, reasons, latest, batches }
}

const planOf = ({ pipeline, stages }: Graph<unknown>, planned: ReadonlyArray<PlannedStage>): Plan => ({
  format: 1,
  pipeline,
  stages: planned.map(({ plan }, i) => ({ ...plan, inputs: stages[i]!.inputs })),
  seconds: planned.reduce((sum, { plan }) => sum + (plan.action === "reuse" ? 0 : (plan.seconds ?? 0)), 0)
})
