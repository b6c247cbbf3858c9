/**
 * What a run would do, and why, found without running anything.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Graph } from "../pipeline/graph.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { Reason } from "./reason.ts"

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

/** A stage's key could not be found out: its sources or its code could not be read. */
export class PlanError extends Schema.TaggedError<PlanError>()("PlanError", {
  stage: Schema.String,
  cause: Schema.String,
  message: Schema.String
}) {}

export declare const plan: <R>(graph: Graph<R>) => Effect.Effect<Plan, PlanError | StoreError, R | Store>
