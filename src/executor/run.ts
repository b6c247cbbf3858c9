/**
 * Runs a pipeline: reuses what the store has, runs the rest, and records it.
 *
 * The laws that the tests hold it to:
 * 1. A run gives what it would give on an empty store.
 * 2. A stage runs only if no stage with its key has run, and then once, whatever other processes do.
 * 3. A result is recorded only when all of it is durable; what is recorded is found by every later run.
 * 4. A stage that fails stops what needs it and nothing else.
 * 5. `plan` says beforehand which stages run and why; what it calls `maybe` depends on what a stage before gives.
 *
 * @since 0.1.0
 */
import { randomBytes } from "node:crypto"
import { availableParallelism } from "node:os"
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { nativeTracer } from "effect/Tracer"
import { withResidency } from "../device/residency.ts"
import type { RunRecord, StageFailure } from "../lineage/record.ts"
import { addRun, knownResult } from "../lineage/records.ts"
import type { Artifact } from "../operator/artifact.ts"
import type { Graph } from "../pipeline/graph.ts"
import { thisProcess } from "../store/holder.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import type { Event } from "./event.ts"
import { planWith } from "./plan.ts"
import { type PlanError, prepare } from "./prepare.ts"
import { RunError, type RunReport, type StageReport } from "./report.ts"
import { type Outcome, runStages, traced } from "./schedule.ts"
import { settle } from "./settled.ts"
import { type Sharing, sharingOf } from "./sharing.ts"

/**
 * `concurrency` is how many stages run at once (default: as many as there are cores); those on a GPU do not count, and each device has one at a time. `keepPoints` is how many resume points
 * each stage keeps when it is done (default: none), so that `verify` can take samples from its midst; `file` is the pipeline's.
 */
export interface RunOptions {
  readonly onEvent?: (event: Event) => Effect.Effect<void>
  readonly concurrency?: number
  readonly keepPoints?: number
  readonly file?: string
}

const inSpan = Effect.withSpan("run", {}, { captureStackTrace: false })

/** Runs a pipeline's stages in an order of need, and gives its outputs. What finished is kept even if the run fails or is interrupted. */
export const run = Effect.fnUntraced(function* <R>(
  graph: Graph<R>,
  options: RunOptions = {}
): Effect.fn.Return<RunReport, RunError | PlanError | StoreError, R | Store> {
  const store = yield* Store
  const time = yield* Clock.currentTimeMillis
  const id = `${new Date(time).toISOString().slice(0, 19).replaceAll(":", "-")}-${randomBytes(3).toString("hex")}`
  const emit = options.onEvent ?? (() => Effect.void)
  const prepared = yield* prepare(graph, store)
  const sharing = yield* sharingOf(store)
  const { binding: known, history, planned, unsettled } = yield* planWith(graph.pipeline, prepared, store, sharing)

  const outcomes = new Map<string, Outcome>()
  /** Results that are kept here and could not be pushed. */
  let unshared: ReadonlyArray<StageFailure> = []
  const record = (status: RunRecord["status"], seconds: number | null, durable: boolean) => {
    const all = [...outcomes]
    const places = [
      ...new Set(all.flatMap(([, outcome]) => (outcome.status === "ran" ? (outcome.place ?? []) : [])))
    ].sort()
    const keys = () =>
      graph.stages.flatMap(({ name: stage }) => {
        const outcome = outcomes.get(stage)
        return outcome?.status === "reused" || outcome?.status === "ran" ? [{ stage, key: outcome.key }] : []
      })
    const run = {
      run: id,
      pipeline: graph.pipeline,
      status,
      time,
      seconds,
      settings: graph.settings,
      params: graph.params,
      ...(options.file === undefined ? {} : { file: path.relative(store.folder, path.resolve(options.file)) }),
      holder: thisProcess(),
      stages: graph.stages.length,
      ran: all.flatMap(([stage, { status }]) => (status === "ran" ? [stage] : [])),
      ...(places.length === 0 ? {} : { devices: places }),
      failures: [...all.flatMap(([, outcome]) => (outcome.status === "failed" ? [outcome.failure] : [])), ...unshared],
      skipped: all.flatMap(([stage, { status }]) => (status === "skipped" ? [stage] : [])),
      outputs: graph.outputs
    }
    return Effect.map(addRun(store.journal, run, known ?? keys(), { durable }), (binding) => ({
      ...run,
      binding
    }))
  }
  const finish = Effect.fnUntraced(function* (status: "succeeded" | "failed" | "interrupted", durable: boolean) {
    const seconds = ((yield* Clock.currentTimeMillis) - time) / 1000
    const { binding, failures, ran, skipped } = yield* record(status, seconds, durable)
    const reused = [...outcomes.values()].filter((outcome) => outcome.status === "reused").length
    yield* emit({
      _tag: "RunFinished",
      run: id,
      pipeline: graph.pipeline,
      status,
      reused,
      ran: ran.length,
      failed: failures.length,
      skipped: skipped.length,
      seconds
    })
    return { binding, failures, skipped, seconds }
  })

  yield* emit({ _tag: "RunStarted", run: id, pipeline: graph.pipeline, stages: graph.stages.length, time })
  for (const { plan } of planned) {
    const { key: _, ...event } = plan
    yield* emit({ _tag: "StagePlanned", ...event })
  }
  yield* Effect.annotateCurrentSpan({ "ptmflow.run": id, "ptmflow.pipeline": graph.pipeline })
  // Only where there is a tracer: a run may reuse thousands.
  const isTraced = (yield* Effect.tracer) !== nativeTracer
  for (const { plan, reused } of planned) {
    if (reused === undefined || reused.remote !== undefined) continue
    const { key, record } = reused
    const { outputs: artifacts, metrics } = record
    outcomes.set(plan.stage, { status: "reused", key, artifacts, metrics })
    if (isTraced) {
      const attributes = { "ptmflow.key": key, "ptmflow.status": "reused" }
      yield* Effect.void.pipe(traced("stage", { name: plan.stage, operator: { name: plan.operator } }, attributes))
    }
    yield* emit({ _tag: "StageReused", stage: plan.stage, operator: plan.operator, key, artifacts, metrics })
  }
  const idle = outcomes.size === graph.stages.length
  const running = Effect.gen(function* () {
    yield* record("running", null, false)
    const { concurrency = availableParallelism(), keepPoints = 0 } = options
    const about = {
      run: id,
      pipeline: graph.pipeline,
      prepared,
      store,
      sharing,
      history,
      emit,
      concurrency,
      keepPoints
    }
    yield* withResidency(runStages<R>(about, outcomes))
  })
  /** What was here before is pushed too, so that a remote has all of what a run used. */
  const sharingRest = Effect.fnUntraced(function* ({ offer, settle }: Sharing) {
    for (const { name, operator } of graph.stages) {
      const outcome = outcomes.get(name)
      if (outcome?.status !== "reused" || outcome.remote !== undefined) continue
      yield* offer({ stage: name, operator: operator.name, key: outcome.key })
    }
    unshared = yield* settle
    for (const failure of unshared) yield* emit({ _tag: "StageFailed", ...failure })
  })
  yield* (idle ? Effect.void : running).pipe(
    Effect.andThen(sharing === undefined ? Effect.void : sharingRest(sharing)),
    Effect.onInterrupt(() => Effect.andThen(sharing?.stop ?? Effect.void, Effect.ignore(finish("interrupted", true))))
  )
  const failed = unshared.length > 0 || [...outcomes.values()].some((outcome) => outcome.status === "failed")
  const { binding, failures, seconds, skipped } = yield* finish(failed ? "failed" : "succeeded", !idle)
  if (failed) {
    const causes = failures.map(({ cause, message, stage }) => `stage ${stage} failed: ${cause}: ${message}`)
    const rest = skipped.length === 0 ? [] : [`skipped, as they need it: ${skipped.join(", ")}`]
    return yield* new RunError({ run: id, failures, skipped, message: [...causes, ...rest].join("\n") })
  }
  if (unsettled !== undefined) {
    const results = planned.flatMap(({ plan, reused }) => {
      const { key } = outcomes.get(plan.stage) as Extract<Outcome, { readonly status: "reused" | "ran" }>
      const record = known === undefined ? knownResult(store.journal, key) : reused?.record
      return record === undefined ? [] : [{ key, record }]
    })
    // One that was not kept under its key is found by no later run.
    if (results.length === planned.length) yield* settle(store, graph.pipeline, unsettled, { binding, results })
  }
  const stages = graph.stages.map((node) => reportOf(node.name, node.operator.name, outcomes.get(node.name)!))
  const artifactsOf = new Map(stages.map(({ artifacts, stage }) => [stage, artifacts]))
  const outputs = Object.fromEntries(
    Object.entries(graph.outputs).map(([name, { port, stage }]) => [name, artifactsOf.get(stage)?.[port] as Artifact])
  )
  return { run: id, pipeline: graph.pipeline, stages, outputs, seconds }
}, inSpan)

const reportOf = (stage: string, operator: string, outcome: Outcome): StageReport => {
  const { artifacts, key, metrics } = outcome as Extract<Outcome, { readonly status: "reused" | "ran" }>
  const base = { stage, operator, key, artifacts, metrics }
  return outcome.status === "ran"
    ? {
        ...base,
        status: "ran",
        reasons: outcome.reasons,
        seconds: outcome.seconds,
        ...(outcome.batches === undefined ? {} : { batches: outcome.batches }),
        ...(outcome.resumedFrom === undefined ? {} : { resumedFrom: outcome.resumedFrom }),
        ...(outcome.uncached === undefined ? {} : { uncached: outcome.uncached })
      }
    : {
        ...base,
        status: "reused",
        reasons: [],
        seconds: 0,
        ...(outcome.status === "reused" && outcome.remote !== undefined ? { remote: outcome.remote } : {})
      }
}
