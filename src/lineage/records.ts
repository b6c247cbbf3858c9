/**
 * Reading and writing records in a store's journal.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Artifact, Blob } from "../operator/artifact.ts"
import type { Entry, Journal, NewEntry } from "../store/journal.ts"
import type { StoreError } from "../store/storeError.ts"
import { bindingEntries, bindingOf } from "./binding.ts"
import { type Binding, RunRecord, StageRecord } from "./record.ts"

const decodeStage = Schema.decodeUnknownOption(StageRecord)
const decodeRun = Schema.decodeUnknownOption(RunRecord)
const encodeStage = Schema.encodeSync(StageRecord)
const encodeRun = Schema.encodeSync(RunRecord)

/** A stage's record, as JSON holds it; undefined if it is none. */
export const decodeRecord = (value: Schema.Json): StageRecord | undefined => Option.getOrUndefined(decodeStage(value))

const Head = Schema.Struct({
  key: Schema.String,
  recipe: Schema.String,
  run: Schema.String,
  pipeline: Schema.String,
  stage: Schema.String
})
const decodeHead = Schema.decodeUnknownOption(Head)

/** What a stage record is found by, without the rest of it. `position` grows with time. */
export type StageHead = (typeof Head)["Type"] & { readonly position: number }

const entryOf = (journal: Journal, key: string, upTo?: number): Entry | undefined =>
  journal.newest("stage", key, upTo) ?? journal.newest("uncached", key, upTo)

/** The result of a stage key, if it is known; or what is recorded of a stage whose result is no key's. */
export const stageRecord = (journal: Journal, key: string): StageRecord | undefined =>
  recordUpTo(journal, key, undefined)

/** The same, of the records up to a position, where one is given. */
export const recordUpTo = (journal: Journal, key: string, upTo: number | undefined): StageRecord | undefined => {
  const entry = entryOf(journal, key, upTo)
  return entry === undefined ? undefined : Option.getOrUndefined(decodeStage(entry.value()))
}

/** All records of a stage key, newest first: a stage whose result was lost, and that ran again, may have given other bytes. */
export function* stageRecords(journal: Journal, key: string): Generator<StageRecord> {
  for (let entry = entryOf(journal, key); entry !== undefined; entry = entryOf(journal, key, entry.position - 1)) {
    const record = decodeStage(entry.value())
    if (Option.isSome(record)) yield record.value
  }
}

/** The record of a stage key that gave output `port` with this digest: what came from it did so, whatever the stage gave later. */
export const recordThatGave = (
  journal: Journal,
  key: string,
  port: string,
  digest: string
): StageRecord | undefined => {
  for (const record of stageRecords(journal, key)) if (record.outputs[port]?.digest === digest) return record
  return undefined
}

export const KnownResult = Schema.Struct({
  outputs: StageRecord.fields.outputs,
  metrics: StageRecord.fields.metrics,
  seconds: StageRecord.fields.seconds
})

/** Of a stage record what a stage that reuses it needs. */
export type KnownResult = (typeof KnownResult)["Type"]

const isRecordOf = (value: unknown, is: (item: unknown) => boolean): boolean => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false
  for (const name in value) if (!is((value as { readonly [name: string]: unknown })[name])) return false
  return true
}

const isBlob = (value: unknown): boolean => {
  const { bytes, digest } = (value ?? {}) as Partial<Blob>
  return typeof digest === "string" && typeof bytes === "number"
}

const isArtifact = (value: unknown): boolean => {
  const { digest, kind, meta, parts } = (value ?? {}) as Partial<Artifact>
  return (
    typeof kind === "string" && typeof digest === "string" && isRecordOf(parts, isBlob) && isRecordOf(meta, () => true)
  )
}

/** Whether JSON is a `KnownResult`: what its schema says, in a tenth of the time, as a run may reuse thousands. */
export const isKnownResult = (value: unknown): value is KnownResult => {
  const { metrics, outputs, seconds } = (value ?? {}) as Partial<KnownResult>
  const isNumber = (each: unknown) => typeof each === "number"
  return isRecordOf(outputs, isArtifact) && isRecordOf(metrics, isNumber) && typeof seconds === "number"
}

/** The result of a stage key, if it is known: the rest of its record is not looked at. */
export const knownResult = (journal: Journal, key: string): KnownResult | undefined => {
  const value = journal.newest("stage", key)?.value()
  return isKnownResult(value) ? value : undefined
}

/** Of a stage record what the state of a run shows. `time` (of the start) is milliseconds since 1970. */
export interface StageBrief extends KnownResult {
  readonly run: string
  readonly stage: string
  readonly operator: string
  readonly time: number
}

/** Of a stage record what the graph of a run shows: what it took, in place of what it gave. */
export interface StageNode extends Omit<StageBrief, "outputs"> {
  readonly inputs: StageRecord["inputs"]
}

/** The same as `stageRecord`, of a record of which little is needed, of those up to a position if one is given. */
export const stageBrief = (journal: Journal, key: string, upTo?: number): StageBrief | undefined =>
  briefOf(entryOf(journal, key, upTo)?.value())

/** What the state of a run shows of a stage record, if it is one. */
export const briefOf = (value: unknown): StageBrief | undefined => {
  if (!isKnownResult(value)) return undefined
  const { metrics, outputs, preimage, run, seconds, stage, time } = value as KnownResult & Partial<StageRecord>
  const operator = preimage?.operator?.name
  return [run, stage, operator].every((each) => typeof each === "string") && typeof time === "number"
    ? { metrics, outputs, seconds, run: run!, stage: stage!, operator: operator!, time }
    : undefined
}

/** Of all stage records, or of those after a position, oldest first, what they are found by. */
export const stageHeads = (journal: Journal, after?: number): ReadonlyArray<StageHead> =>
  journal.all("stage", after).flatMap((entry) => {
    const head = decodeHead(entry.value())
    return Option.isSome(head) ? [{ ...head.value, position: entry.position }] : []
  })

/** A run, and where in the journal it was last recorded. */
export type RecordedRun = RunRecord & { readonly position: number }

/** The names of all runs, newest first. */
export const runNames = (journal: Journal): ReadonlyArray<string> => [
  ...new Set(Array.from(journal.all("run").toReversed(), ({ key }) => key))
]

/** All runs, newest first, each as it was last recorded; those from the run called `first` on, if it is given. */
export function* runRecords(journal: Journal, first?: string): Generator<RecordedRun> {
  const seen = new Set<string>()
  for (const entry of journal.all("run").toReversed()) {
    if (seen.has(entry.key)) continue
    seen.add(entry.key)
    if (first !== undefined && !seen.has(first)) continue
    const run = decodeRun(entry.value())
    if (Option.isSome(run)) yield { ...run.value, position: entry.position }
  }
}

/** The keys of a run's stages: those it is bound to, and those that it finished before it was cut off. */
export const keysOf = (
  journal: Journal,
  run: RunRecord & { readonly position?: number }
): ReadonlyMap<string, string> => {
  const keys = new Map<string, string>()
  for (const { key, stage } of bindingOf(journal, run.binding)) keys.set(stage, key)
  if (run.status === "running") {
    for (const head of stageHeads(journal, run.position)) if (head.run === run.run) keys.set(head.stage, head.key)
  }
  return keys
}

/** Adds a stage's record; it is durable when this returns. */
export const addStage = (
  journal: Journal,
  record: StageRecord,
  others: ReadonlyArray<NewEntry>
): Effect.Effect<void, StoreError> =>
  journal.append(
    [
      ...others,
      { kind: record.uncached === undefined ? "stage" : "uncached", key: record.key, value: encodeStage(record) }
    ],
    { durable: true }
  )

/** Adds a run's record, and which key each stage has, or under which digest that is recorded. Gives that digest. */
export const addRun = (
  journal: Journal,
  record: Omit<RunRecord, "binding">,
  binding: Binding | string,
  options: { readonly durable: boolean }
): Effect.Effect<string, StoreError> => {
  const before = () => {
    for (const { binding, pipeline, run } of runRecords(journal)) {
      if (pipeline === record.pipeline && run !== record.run) return binding
    }
    return undefined
  }
  const { digest, entries } =
    typeof binding === "string" ? { digest: binding, entries: [] } : bindingEntries(journal, binding, before)
  const run = { kind: "run", key: record.run, value: encodeRun({ ...record, binding: digest }) }
  return Effect.as(journal.append([...entries, run], options), digest)
}
