/**
 * What a run would do, and why, found without running anything.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Artifact } from "../operator/artifact.ts"
import type { Graph } from "../pipeline/graph.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { type PlanError, type Prepared, prepare } from "./prepare.ts"
import { Reason } from "./reason.ts"
import { type History, historyOf, type Resolution, resolvePending, resolveStage } from "./resolve.ts"

/**
 * What will happen to one stage. `maybe`: a stage before it runs, and if that gives the same bytes as some run before, this one is
 * reused. `seconds` is what it took last time.
 */
export const StagePlan = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  action: Schema.Literals(["reuse", "run", "maybe"]),
  key: Schema.optionalKey(Schema.String),
  reasons: Schema.Array(Reason),
  seconds: Schema.optionalKey(Schema.Number)
})
export type StagePlan = typeof StagePlan.Type

/** The stages in an order of running. `seconds` is the sum of what stages that run, or may run, took last time. */
export const Plan = Schema.Struct({
  pipeline: Schema.String,
  stages: Schema.Array(StagePlan),
  seconds: Schema.Number
})
export type Plan = typeof Plan.Type

/** Says of each stage whether it would be reused or run, and why. Writes no record and runs no operator. */
export const plan = Effect.fnUntraced(function* <R>(
  graph: Graph<R>
): Effect.fn.Return<Plan, PlanError | StoreError, R | Store> {
  const store = yield* Store
  yield* store.journal.refresh
  const prepared = yield* prepare(graph, store)
  return planOf(graph.pipeline, planStages(prepared, historyOf(store, graph.pipeline)))
})

/** A stage's plan, with what was found on the way where it can be reused. */
export interface PlannedStage {
  readonly plan: StagePlan
  readonly reused: Extract<Resolution, { readonly action: "reuse" }> | undefined
}

/** Plans prepared stages, each after its inputs. */
export const planStages = ({ code, stages }: Prepared, history: History): ReadonlyArray<PlannedStage> => {
  const results = new Map<string, { readonly [port: string]: Artifact }>()
  return stages.map((stage) => {
    const { inputs, name: stageName, operator } = stage.node
    const known = Object.fromEntries(
      Object.entries(inputs).map(([port, source]) => [port, results.get(source.stage)?.[source.port]])
    )
    const planned = (plan: Omit<StagePlan, "stage" | "operator">): StagePlan => ({
      stage: stageName,
      operator: operator.name,
      ...plan
    })
    if (Object.values(known).every((artifact) => artifact !== undefined)) {
      const found = resolveStage(stage, known as { readonly [port: string]: Artifact }, history, code)
      if (found.action === "reuse") {
        results.set(stageName, found.record.outputs)
        return {
          plan: planned({ action: "reuse", key: found.key, reasons: [], seconds: found.record.seconds }),
          reused: found
        }
      }
      const { key, latest, reasons } = found
      return { plan: planned({ action: "run", key, reasons, ...lastTime(latest) }), reused: undefined }
    }
    const { certain, latest, reasons } = resolvePending(stage, known, history, code)
    return { plan: planned({ action: certain ? "run" : "maybe", reasons, ...lastTime(latest) }), reused: undefined }
  })
}

const lastTime = (latest: { readonly seconds: number } | undefined) =>
  latest === undefined ? {} : { seconds: latest.seconds }

const planOf = (pipeline: string, planned: ReadonlyArray<PlannedStage>): Plan => ({
  pipeline,
  stages: planned.map(({ plan }) => plan),
  seconds: planned.reduce((sum, { plan }) => sum + (plan.action === "reuse" ? 0 : (plan.seconds ?? 0)), 0)
})
