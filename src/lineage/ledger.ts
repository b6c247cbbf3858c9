/**
 * Questions asked of the records of past runs.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Artifact } from "../operator/artifact.ts"
import type { Journal } from "../store/journal.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { withIndex } from "./artifact-index.ts"
import { paramsOf, type StageRecord } from "./record.ts"
import { keysOf, type RecordedRun, recordThatGave, runNames, runRecords, stageBrief, stageRecords } from "./records.ts"
import { endOf } from "./run-status.ts"
import { type Verified, verifiedOf } from "./verified.ts"

/** A reference that names nothing, or more than one thing; `candidates` are what could be meant. */
export class LineageError extends Schema.TaggedError<LineageError>()("LineageError", {
  reference: Schema.String,
  candidates: Schema.Array(Schema.String),
  message: Schema.String
}) {}

/** An artifact and the stage that made it: output `port` of the stage with `key`. */
export interface Made {
  readonly artifact: Artifact
  readonly key: string
  readonly stage: string
  readonly port: string
}

/** An artifact, the stage that made it, and what that was made from. `time` (of its start) is milliseconds since 1970. */
export interface LineageNode extends Made {
  readonly operator: string
  readonly pipeline: string
  readonly run: string
  readonly params: Schema.Json
  readonly metrics: { readonly [name: string]: number }
  readonly device: string | null
  /** The kind of the device, its name in the run, and its numerics class. */
  readonly ranOn?: StageRecord["ranOn"]
  readonly time: number
  readonly seconds: number
  readonly sources: ReadonlyArray<{ readonly name: string; readonly digest: string }>
  /** The newest verification of it, where there was one. */
  readonly verified?: Verified
  /** A node that several others came from is one object. */
  readonly inputs: { readonly [port: string]: LineageNode }
}

/** An artifact that came from another, `distance` stages on. */
export interface Descendant extends Made {
  readonly operator: string
  readonly distance: number
}

const opened = Effect.gen(function* (): Effect.fn.Return<Journal, StoreError, Store> {
  const { journal } = yield* Store
  yield* journal.refresh
  return journal
})

/**
 * The runs up to the one whose id is, or begins with, `asOf`, newest first: as if those after it had not been. Records are only added, so what is
 * found so is what was found then.
 */
export const runsAsOf = (
  journal: Journal,
  asOf: string | undefined
): Effect.Effect<Iterable<RecordedRun>, LineageError> => {
  if (asOf === undefined) return Effect.succeed(runRecords(journal))
  const runs = runNames(journal)
  const named = runs.filter((run) => run.startsWith(asOf))
  if (named.length === 1) return Effect.succeed(runRecords(journal, named[0]))
  const candidates = (named.length > 1 ? named : runs).slice(0, 20)
  const message =
    named.length > 1
      ? `${asOf} may be run ${candidates.join(" or ")}: say more of it`
      : candidates.length === 0
        ? `there is no run ${asOf}: nothing has run yet`
        : `there is no run ${asOf}; there is ${candidates.join(", ")}`
  return Effect.fail(new LineageError({ reference: asOf, candidates, message }))
}

const madeBy = (key: string, outputs: StageRecord["outputs"], stage: string): ReadonlyArray<Made> =>
  Object.entries(outputs).map(([port, artifact]) => ({ artifact, key, stage, port }))

/** The names of stages that a reference may begin with: itself, and each part of it that ends before a dot. */
const stagesIn = (reference: string): ReadonlyArray<string> => [
  reference,
  ...Array.from(reference.matchAll(/\./g), ({ index }) => reference.slice(0, index))
]

/** Runs whose names are listed where one is not known. */
const LISTED = 3

const nameOf = ({ artifact, port, stage }: Made): string => `${stage}.${port} (${artifact.digest.slice(0, 12)})`

/**
 * The artifact that a person means: by 6 or more digits of its digest, or, of the newest run that has it, by `stage.port`, by the name of a stage
 * with one output or one checkpoint among them, or by the name of an output of the pipeline. With `kind`, only artifacts of that kind are meant; with `asOf`, the newest run is that
 * one (see `runsAsOf`).
 */
export const resolve = Effect.fnUntraced(function* (
  reference: string,
  options: { readonly kind?: string; readonly asOf?: string | undefined } = {}
): Effect.fn.Return<Made, LineageError | StoreError, Store> {
  const journal = yield* opened
  const wanted = (made: Made) => options.kind === undefined || made.artifact.kind === options.kind
  const known = new Map<string, Made>()
  if (/^[0-9a-f]{6,64}$/.test(reference)) {
    for (const key of yield* withIndex(({ makers }) => makers(reference))) {
      for (const record of stageRecords(journal, key)) {
        for (const made of madeBy(key, record.outputs, record.stage)) {
          if (made.artifact.digest.startsWith(reference) && wanted(made)) known.set(made.artifact.digest, made)
        }
      }
    }
  }
  /** Of a name that no stage or output ever had it is not asked in every run what it is there. */
  const isKnown =
    known.size === 0 &&
    (yield* withIndex(({ hasStage }) =>
      stagesIn(reference).some((stage) => hasStage(stage, reference.slice(stage.length + 1) || undefined))
    ))
  /** Stages and keys of the newest runs, for the names in them. */
  const newest: Array<ReadonlyMap<string, string>> = []
  const bindings = new Set<string>()
  for (const run of yield* runsAsOf(journal, options.asOf)) {
    if (known.size > 0) break
    const called = Object.hasOwn(run.outputs, reference) ? run.outputs[reference] : undefined
    if (run.status !== "running" && bindings.has(run.binding) && called === undefined) continue
    if (!isKnown && called === undefined && newest.length === LISTED) continue
    bindings.add(run.binding)
    const keys = keysOf(journal, run)
    if (newest.length < LISTED) newest.push(keys)
    for (const stage of new Set([...stagesIn(reference), ...(called === undefined ? [] : [called.stage])])) {
      const key = keys.get(stage)
      const record = key === undefined ? undefined : stageBrief(journal, key, endOf(run))
      if (key === undefined || record === undefined) continue
      const outputs = madeBy(key, record.outputs, stage).filter(wanted)
      const checkpoints = outputs.filter(({ artifact }) => artifact.kind === "checkpoint")
      for (const made of stage === reference && checkpoints.length === 1 ? checkpoints : outputs) {
        const full = `${stage}.${made.port}`
        const isCalled = called?.stage === stage && called.port === made.port
        if (full === reference || stage === reference || isCalled) known.set(full, made)
      }
    }
    const exact = known.get(reference)
    if (exact !== undefined) return exact
  }
  const found = [...known.values()]
  if (found.length === 1) return found[0]!
  if (found.length > 1) {
    const candidates = found.map(nameOf)
    return yield* new LineageError({
      reference,
      candidates,
      message: `${reference} may be ${candidates.join(" or ")}: say which`
    })
  }
  const names = yield* withIndex(({ briefs }) =>
    newest.flatMap((keys) => {
      const found = briefs([...keys.values()])
      return [...keys].flatMap(([stage, key], i) =>
        madeBy(key, found[i]?.outputs ?? {}, stage)
          .filter(wanted)
          .map(({ port }) => `${stage}.${port}`)
      )
    })
  )
  const all = [...new Set(names)]
  const close = all.filter((name) => name.includes(reference) || reference.startsWith(name.split(".")[0]!))
  const candidates = (close.length > 0 ? close : all).slice(0, 20)
  return yield* new LineageError({
    reference,
    candidates,
    message:
      candidates.length === 0
        ? `there is no ${reference}: nothing has run yet`
        : `there is no ${reference}; there ${close.length > 0 ? "is" : "are"} ${candidates.join(", ")}`
  })
})

/** What an artifact came from, stage by stage, back to the files. */
export const upstream = Effect.fnUntraced(function* (
  made: Pick<Made, "key" | "port" | "artifact">
): Effect.fn.Return<LineageNode, LineageError | StoreError, Store> {
  const journal = yield* opened
  const nodes = new Map<string, LineageNode>()
  const visit = (key: string, port: string, digest: string | undefined): LineageNode => {
    const id = `${key} ${port} ${digest}`
    const known = nodes.get(id)
    if (known !== undefined) return known
    const record = digest === undefined ? undefined : recordThatGave(journal, key, port, digest)
    const artifact = record?.outputs[port]
    if (record === undefined || artifact === undefined) {
      throw new LineageError({
        reference: key,
        candidates: [],
        message: `the record of stage key ${key} is not in the store: its journal was damaged`
      })
    }
    const { device, metrics, pipeline, preimage, ranOn, run, seconds, stage, time } = record
    const verified = verifiedOf(journal, { artifact, key, port })
    const inputs = Object.fromEntries(
      Object.entries(record.inputs).map(([name, input]) => [
        name,
        visit(input.key, input.port, preimage.inputs[name]?.digest)
      ])
    )
    const node: LineageNode = {
      artifact,
      key,
      stage,
      port,
      operator: preimage.operator.name,
      pipeline,
      run,
      params: paramsOf(preimage),
      metrics,
      device,
      ...(ranOn === undefined ? {} : { ranOn }),
      time,
      seconds,
      sources: preimage.sources,
      ...(verified === undefined ? {} : { verified }),
      inputs
    }
    nodes.set(id, node)
    return node
  }
  return yield* Effect.try({
    try: () => visit(made.key, made.port, made.artifact.digest),
    catch: (cause) => cause as LineageError
  })
})

/** What came from an artifact, nearest first. What was made from another artifact of the same content counts. */
export const downstream = Effect.fnUntraced(function* (
  made: Pick<Made, "artifact">
): Effect.fn.Return<ReadonlyArray<Descendant>, StoreError, Store> {
  yield* opened
  const found = new Map<string, Descendant>()
  yield* withIndex(({ briefs, users }) => {
    let wave = [made.artifact.digest]
    for (let distance = 1; wave.length > 0; distance++) {
      const next: Array<string> = []
      const keys = [...new Set(users(wave).flat())]
      for (const [i, brief] of briefs(keys).entries()) {
        for (const each of brief === null ? [] : madeBy(keys[i]!, brief.outputs, brief.stage)) {
          const id = `${each.key} ${each.port}`
          if (found.has(id)) continue
          found.set(id, { ...each, operator: brief!.operator, distance })
          next.push(each.artifact.digest)
        }
      }
      wave = next
    }
  })
  return [...found.values()]
})
