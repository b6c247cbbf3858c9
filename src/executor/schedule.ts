/**
 * Runs the stages that are not reused: each when its inputs are there, several at once, those that use the device one at a time.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { Device } from "../device/device.ts"
import type { Reason } from "../lineage/reason.ts"
import { type Preimage, placeOf, type StageFailure, type StageRecord } from "../lineage/record.ts"
import { addStage } from "../lineage/records.ts"
import type { Artifact } from "../operator/artifact.ts"
import { digestOf } from "../operator/digest.ts"
import type { NewEntry } from "../store/journal.ts"
import type { Held } from "../store/lease.ts"
import type { Store } from "../store/store.ts"
import type { BatchCount } from "./batches.ts"
import type { CodeHistory } from "./code.ts"
import type { NamedDevice } from "./devices.ts"
import type { Event } from "./event.ts"
import { execute } from "./execute.ts"
import { failureOf } from "./failure.ts"
import { recipeOf } from "./key.ts"
import { makePool } from "./pool.ts"
import { changedSources, type Prepared, type PreparedStage } from "./prepare.ts"
import { type History, type Resolution, resolveStage } from "./resolve.ts"
import type { Sharing } from "./sharing.ts"

interface Done {
  readonly key: string
  readonly artifacts: { readonly [port: string]: Artifact }
  readonly metrics: { readonly [name: string]: number }
}

/** What became of a stage in a run. */
export type Outcome =
  | ({ readonly status: "reused"; readonly remote?: string } & Done)
  | ({
      readonly status: "ran"
      readonly reasons: ReadonlyArray<Reason>
      readonly seconds: number
      readonly resumedFrom: number | undefined
      readonly batches: BatchCount | undefined
      readonly uncached: string | undefined
      /** What it computed on, in words; null where it needed no device. */
      readonly place: string | null
    } & Done)
  | { readonly status: "failed"; readonly failure: StageFailure }
  | { readonly status: "skipped"; readonly because: string }

/** The run that stages are part of. */
export interface Running {
  readonly run: string
  readonly pipeline: string
  readonly prepared: Prepared
  readonly store: Store["Service"]
  readonly sharing: Sharing | undefined
  readonly history: History
  readonly emit: (event: Event) => Effect.Effect<void>
  readonly concurrency: number
  readonly keepPoints: number
}

/** How often, one upon another, damaged inputs are made again for one stage. */
const HEALINGS = 5

/** Runs every stage that has no outcome yet, and notes its outcome. A failure is an outcome. */
export const runStages = Effect.fnUntraced(function* <R>(
  running: Running,
  outcomes: Map<string, Outcome>
): Effect.fn.Return<void, never, R> {
  const remaining = running.prepared.stages.filter(({ node }) => !outcomes.has(node.name))
  const prepared = new Map(running.prepared.stages.map((stage) => [stage.node.name, stage]))
  const finished = new Map(remaining.map(({ node }) => [node.name, Deferred.makeUnsafe<void>()]))
  const devices = makePool([...new Set(running.prepared.stages.flatMap((stage) => stage.devices))])
  /** Where the stages of this run computed: what they made may still be there. */
  const places = new Map<string, NamedDevice>()
  const slots = yield* Semaphore.make(running.concurrency)
  const keys = new Map<string, Semaphore.Semaphore>()
  const { emit } = running

  /** Reuses or runs a stage whose inputs there are. */
  const obtain = Effect.fnUntraced(function* (
    stage: PreparedStage,
    inputs: { readonly [port: string]: Artifact }
  ): Effect.fn.Return<Outcome, unknown, R> {
    const { inputs: sources, name, operator } = stage.node
    const resolve = () => resolveStage(stage, inputs, running.history, running.prepared.code)
    const first = resolve()
    yield* Effect.annotateCurrentSpan("ptmflow.key", first.key)
    if (first.action === "reuse" && first.remote === undefined) return yield* reuse(stage, first, emit)
    /** The result, if a remote has it: it is here then. */
    const shared = Effect.gen(function* () {
      const { sharing } = running
      if (sharing === undefined || (yield* sharing.find(first.key, first.preimage)) === undefined) return undefined
      const found = resolve()
      if (found.action === "reuse" && found.remote === undefined) return yield* reuse(stage, found, emit)
      return found.action === "reuse" && (yield* sharing.pull(found.key)) ? yield* reuse(stage, found, emit) : undefined
    })
    const permit = slots.withPermits(1)
    const same = keys.get(first.key) ?? Semaphore.makeUnsafe(1)
    keys.set(first.key, same)
    const exclusive = (device?: NamedDevice) =>
      running.store.holding(
        first.key,
        (waiting) => emit({ _tag: "StageWaiting", stage: name, operator: operator.name, ...waiting }),
        Effect.fnUntraced(function* (lease) {
          yield* running.store.journal.refresh
          const found = resolve()
          if (found.action === "reuse") return yield* reuse(stage, { ...found, remote: undefined }, emit)
          const from = Object.fromEntries(
            Object.entries(sources).map(([port, source]) => {
              const { key } = outcomes.get(source.stage) as Extract<Outcome, Done>
              return [port, { key, port: source.port }]
            })
          )
          return yield* make<R>(running, lease, stage, device, found, inputs, from)
        })
      )
    return yield* same.withPermits(1)(
      Effect.flatMap(shared, (outcome) => {
        if (outcome !== undefined) return Effect.succeed(outcome)
        if (!operator.usesDevice) return permit(exclusive())
        const before = Object.values(sources).map((source) => places.get(source.stage))
        const nearest = stage.devices.toSorted((a, b) => Number(before.includes(b)) - Number(before.includes(a)))
        return devices.using(nearest, (device) => {
          places.set(name, device)
          // A stage on a GPU leaves the cores to others.
          return device.shape.kind === "cuda" ? exclusive(device) : permit(exclusive(device))
        })
      })
    )
  })

  const inputsOf = ({ node }: PreparedStage): { readonly [port: string]: Artifact } =>
    Object.fromEntries(
      Object.entries(node.inputs).map(([port, source]) => [
        port,
        (outcomes.get(source.stage) as Extract<Outcome, Done>).artifacts[source.port]!
      ])
    )

  /** The stages before a stage of whose results something is gone from the store, as it was lost, or was damaged and put aside. */
  const damaged = (stage: PreparedStage): ReadonlyArray<string> => {
    const inputs = inputsOf(stage)
    const gone = Object.entries(stage.node.inputs).filter(([port]) =>
      Object.values(inputs[port]!.parts).some((blob) => !running.store.blobs.has(blob))
    )
    return [...new Set(gone.map(([, source]) => source.stage))]
  }

  /** Obtains a stage; if it fails as what it was given is damaged, the stages that made that run again, and then so does this one. */
  const healed = (stage: PreparedStage, times: number): Effect.Effect<Outcome, unknown, R> =>
    Effect.suspend(() => obtain(stage, inputsOf(stage))).pipe(
      Effect.tap(({ status }) => Effect.annotateCurrentSpan("ptmflow.status", status)),
      traced("stage", stage.node, { "ptmflow.attempt": 1 + HEALINGS - times }),
      Effect.catch((error) =>
        Effect.suspend(() => {
          const sources = times > 0 ? damaged(stage) : []
          if (sources.length === 0) return Effect.fail(error)
          const heal = (name: string) =>
            Effect.map(healed(prepared.get(name)!, times - 1), (outcome) => outcomes.set(name, outcome))
          return Effect.andThen(Effect.forEach(sources, heal, { discard: true }), healed(stage, times - 1))
        })
      )
    )

  const runOne = Effect.fnUntraced(function* (stage: PreparedStage): Effect.fn.Return<Outcome, unknown, R> {
    const { inputs: sources, name, operator } = stage.node
    for (const source of Object.values(sources)) {
      const pending = finished.get(source.stage)
      if (pending !== undefined) yield* Deferred.await(pending)
      const outcome = outcomes.get(source.stage)!
      if (outcome.status === "failed" || outcome.status === "skipped") {
        const because = outcome.status === "failed" ? source.stage : outcome.because
        yield* emit({ _tag: "StageSkipped", stage: name, operator: operator.name, because })
        return { status: "skipped", because }
      }
    }
    return yield* healed(stage, HEALINGS)
  })

  yield* Effect.forEach(
    remaining,
    (stage) => {
      const { name, operator } = stage.node
      return runOne(stage).pipe(
        Effect.catchCause((cause) => {
          if (cause.reasons.every((reason) => reason._tag === "Interrupt"))
            return Effect.failCause(cause as Cause.Cause<never>)
          const failure = failureOf(name, operator.name, cause)
          return Effect.as(emit({ _tag: "StageFailed", ...failure }), { status: "failed", failure } as const)
        }),
        Effect.tap((outcome) => Effect.sync(() => outcomes.set(name, outcome))),
        Effect.tap((outcome) =>
          outcome.status === "ran" && running.sharing !== undefined
            ? running.sharing.offer({ stage: name, operator: operator.name, key: outcome.key })
            : Effect.void
        ),
        Effect.andThen(Deferred.succeed(finished.get(name)!, undefined))
      )
    },
    { concurrency: "unbounded", discard: true }
  )
})

/** In a span: of the `stage`, with what it waits for, or of its `operator`. */
export const traced = (
  what: "stage" | "operator",
  { name, operator }: { readonly name: string; readonly operator: { readonly name: string } },
  attributes: { readonly [name: string]: string | number }
) => {
  const about = { "ptmflow.stage": name, "ptmflow.operator": operator.name, ...attributes }
  return Effect.withSpan(
    `${what} ${what === "stage" ? name : operator.name}`,
    { attributes: about },
    { captureStackTrace: false }
  )
}

const reuse = (
  { node }: PreparedStage,
  { key, record, remote }: Extract<Resolution, { readonly action: "reuse" }>,
  emit: Running["emit"]
): Effect.Effect<Outcome> => {
  const { metrics, outputs: artifacts } = record
  const done = { key, artifacts, metrics, ...(remote === undefined ? {} : { remote }) }
  const event: Event = { _tag: "StageReused", stage: node.name, operator: node.operator.name, ...done }
  return Effect.as(emit(event), { status: "reused", ...done })
}

const ranOn = ({ name, shape }: NamedDevice) =>
  Effect.map(shape.numerics, (numerics) => ({ kind: shape.kind, name, numerics }))

/** What is behind the digests of a preimage, where the journal does not have it yet. */
const treesOf = ({ journal }: Store["Service"], { code, packages }: Preimage, known: CodeHistory) =>
  (
    [
      ["code", known.tree(code)],
      ["packages", known.packages(packages)]
    ] as const
  ).flatMap(
    ([kind, value]): ReadonlyArray<NewEntry> =>
      value === undefined || journal.newest(kind, value.digest) !== undefined
        ? []
        : [{ kind, key: value.digest, value }]
  )

/** Runs a stage whose lease is held, and records what it gave. */
const make = Effect.fnUntraced(function* <R>(
  { emit, keepPoints, pipeline, prepared, run, store }: Running,
  { held, lost, tell }: Held,
  stage: PreparedStage,
  device: NamedDevice | undefined,
  { key, preimage, reasons }: Extract<Resolution, { readonly action: "run" }>,
  inputs: { readonly [port: string]: Artifact },
  from: StageRecord["inputs"]
): Effect.fn.Return<Outcome, unknown, R> {
  const { name, operator, paramsJson } = stage.node
  const on = device === undefined ? {} : { ranOn: yield* ranOn(device) }
  const about = { stage: name, operator: operator.name }
  const time = yield* Clock.currentTimeMillis
  const elapsed = Effect.map(Clock.currentTimeMillis, (now) => (now - time) / 1000)
  yield* emit({
    _tag: "StageStarted",
    ...about,
    key,
    reasons,
    ...(device === undefined ? {} : { device: device.name })
  })
  const request = {
    key,
    stage: name,
    operator: { name: operator.name, version: operator.version },
    preimage,
    params: paramsJson,
    inputs,
    sources: stage.files
  }
  const changed = Effect.map(changedSources(stage, store), (names) =>
    names.length === 0 ? undefined : `source file ${names.join(", ")} changed while stage ${name} read it`
  )
  const executed = execute<R>(store, request, operator, {
    keepPoints,
    onUpdate: (update) =>
      Effect.flatMap(elapsed, (seconds) => {
        const { step, steps } = update
        if (step !== undefined) tell({ step, ...(steps === undefined ? {} : { steps }) })
        return emit({ _tag: "StageProgress", ...about, ...update, metrics: update.metrics ?? {}, seconds })
      }),
    maySave: Effect.flatMap(held, (is) => (is ? Effect.map(changed, (change) => change === undefined) : lost))
  })
  const result = yield* (device === undefined ? executed : Effect.provideService(executed, Device, device.shape)).pipe(
    traced("operator", stage.node, device === undefined ? {} : { "ptmflow.device": device.name })
  )
  const change = yield* changed
  const { batches, learned, metrics, outputs, over = [], points, resumedFrom, runSeconds, trace } = result
  const mapped = batches === undefined ? {} : { batches }
  const seconds = yield* elapsed
  // What was read is not what the key says: used here, but no other run will find it.
  const uncached = change === undefined ? {} : { uncached: `${change}: its result is used in this run only` }
  const recorded = change === undefined ? key : digestOf("uncached", { key, run })
  const record: StageRecord = {
    key: recorded,
    recipe: recipeOf(preimage),
    preimage,
    reasons,
    run,
    pipeline,
    stage: name,
    inputs: from,
    outputs,
    metrics,
    device: device?.shape.description ?? null,
    ...on,
    time,
    seconds,
    runSeconds,
    ...(batches === undefined ? {} : { batches: { ...batches, over } }),
    ...(resumedFrom === undefined ? {} : { resumedFrom }),
    ...(operator.columns === undefined ? {} : { columns: operator.columns }),
    ...(trace === undefined ? {} : { trace }),
    ...(learned === undefined ? {} : { learned }),
    ...(points === undefined ? {} : { points }),
    ...uncached
  }
  // A process that was stopped in the midst, and taken for dead, leaves it to the one that has the stage now.
  if (!(yield* held)) yield* lost
  yield* addStage(store.journal, record, treesOf(store, preimage, prepared.code))
  yield* store.resumePoints.drop(key)
  yield* emit({
    _tag: "StageFinished",
    ...about,
    key: recorded,
    artifacts: outputs,
    metrics,
    seconds,
    runSeconds,
    ...mapped,
    ...uncached
  })
  return {
    status: "ran",
    key: recorded,
    artifacts: outputs,
    metrics,
    reasons,
    seconds,
    resumedFrom,
    batches,
    uncached: uncached.uncached,
    place: placeOf(record)
  }
})
