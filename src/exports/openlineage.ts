/**
 * A run as OpenLineage events (https://openlineage.io): START, and COMPLETE, FAIL or ABORT, of the pipeline and of every stage, whose parent is the
 * pipeline's run. The same events, ids included, whether they are made while the run goes on or later from its history.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import type { RunRecord, StageRecord } from "../lineage/record.ts"
import { paramsOf } from "../lineage/record.ts"
import type { GraphEntry, LogEntry } from "../lineage/run-log.ts"
import { facetsOf, fileOf, inputOf, type Named, outputOf } from "./openlineage-dataset.ts"
import type { RunEvent } from "./openlineage-event.ts"

/** The run that events are of; `record` finds what is known of a stage key, `store` is the folder of the store, `version` ptmflow's. */
export interface EventsOptions extends Pick<RunRecord, "run" | "pipeline" | "settings"> {
  /** Of jobs and datasets (default `ptmflow`). */
  readonly namespace?: string | undefined
  readonly store: string
  readonly version: string
  readonly record: (key: string) => StageRecord | undefined
}

const NAMESPACE = Buffer.from("6ba7b8119dad11d180b400c04fd430c8", "hex")

/** A UUID that is a function of the text alone: version 5 (RFC 9562), in the namespace of URLs. */
const uuidOf = (text: string): string => {
  const bytes = createHash("sha1").update(NAMESPACE).update(`urn:ptmflow:${text}`).digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x50
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString("hex").replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5")
}

type Told = Omit<RunEvent["run"]["facets"]["ptmflow"], "_producer" | "_schemaURL" | "run">

/** What makes events of the entries of a run's log, in order. */
export const eventsOf = (options: EventsOptions): ((entry: LogEntry) => ReadonlyArray<RunEvent>) => {
  const { namespace = "ptmflow", pipeline, run, store, version } = options
  const producer = `pkg:npm/ptmflow@${version}`
  const facet = facetsOf(producer)
  const whole = { run: { runId: uuidOf(run) }, job: { namespace, name: pipeline } }
  let graph: GraphEntry | undefined
  const nodes = new Map<string, GraphEntry["stages"][number]>()
  /** The keys of stages that have a result. */
  const keys = new Map<string, string>()
  /** How often each stage began: one whose result was lost is made again. */
  const begun = new Map<string, number>()
  /** Of the stages that have begun and not ended, what was said at their start. */
  const open = new Map<string, Told>()

  const event = (
    eventType: RunEvent["eventType"],
    time: number,
    of: { readonly run: RunEvent["run"]; readonly job: RunEvent["job"] },
    data: Partial<Pick<RunEvent, "inputs" | "outputs">> = {}
  ): RunEvent => ({
    eventType,
    eventTime: new Date(time).toISOString(),
    ...of,
    inputs: data.inputs ?? [],
    outputs: data.outputs ?? [],
    producer,
    schemaURL: "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
  })

  const engine = facet("facets/1-1-1/ProcessingEngineRunFacet.json#/$defs/ProcessingEngineRunFacet", {
    version,
    name: "ptmflow",
    openlineageAdapterVersion: version
  })
  const told = (more: Told) => facet("2-0-2/OpenLineage.json#/$defs/RunFacet", { run, ...more })
  const parameters = (values: ReadonlyArray<{ readonly key: string; readonly value: string }>) =>
    values.length === 0
      ? {}
      : {
          executionParameters: facet(
            "facets/1-0-0/ExecutionParametersRunFacet.json#/$defs/ExecutionParametersRunFacet",
            { parameters: values }
          )
        }
  const errorOf = (message: string | undefined) =>
    message === undefined
      ? {}
      : {
          errorMessage: facet("facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet", {
            message,
            programmingLanguage: "TypeScript"
          })
        }
  const typeOf = (jobType: string) => ({
    jobType: facet("facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet", {
      processingType: "BATCH",
      integration: "PTMFLOW",
      jobType
    })
  })

  const ofPipeline = (message?: string) => ({
    run: {
      ...whole.run,
      facets: {
        processing_engine: engine,
        ...parameters(options.settings.map(({ path, value }) => ({ key: path, value }))),
        ...errorOf(message),
        ptmflow: told({})
      }
    },
    job: { ...whole.job, facets: typeOf("PIPELINE") }
  })

  const jobFacets = (stage: string, record: StageRecord | undefined) => {
    const operator = graph?.operators?.[nodes.get(stage)?.operator ?? ""]
    if (operator === undefined) return typeOf("STAGE")
    const { description, file, line } = operator
    return {
      ...typeOf("STAGE"),
      documentation: facet("facets/1-1-0/DocumentationJobFacet.json#/$defs/DocumentationJobFacet", { description }),
      sourceCodeLocation: facet("facets/1-1-0/SourceCodeLocationJobFacet.json#/$defs/SourceCodeLocationJobFacet", {
        type: "file",
        url: `${file}#L${line}`,
        ...(record === undefined ? {} : { version: record.preimage.code })
      })
    }
  }

  const ofStage = (stage: string, record: StageRecord | undefined, more: Told, message?: string) => {
    const times = begun.get(stage) ?? 1
    const operator = nodes.get(stage)?.operator
    return {
      run: {
        runId: uuidOf([run, stage, ...(times === 1 ? [] : [times])].join("/")),
        facets: {
          processing_engine: engine,
          parent: facet("facets/1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet", { ...whole, root: whole }),
          ...parameters(
            Object.entries(
              record === undefined ? {} : (paramsOf(record.preimage) as { readonly [name: string]: unknown })
            ).map(([key, value]) => ({ key, value: JSON.stringify(value) }))
          ),
          ...errorOf(message),
          ptmflow: told({ stage, ...(operator === undefined ? {} : { operator }), ...more })
        }
      },
      job: { namespace, name: `${pipeline}.${stage}`, facets: jobFacets(stage, record) }
    }
  }

  const named = (stage: string, port: string, record: StageRecord | undefined): ReadonlyArray<Named> => {
    const artifact = record?.outputs[port]
    return artifact === undefined ? [] : [{ namespace, name: `${pipeline}.${stage}.${port}`, artifact }]
  }

  /** What is known of the inputs of a stage: those of stages that have a result. */
  const inputsOf = (stage: string): { readonly [port: string]: Named } =>
    Object.fromEntries(
      Object.entries(nodes.get(stage)?.inputs ?? {}).flatMap(([port, from]) => {
        const key = keys.get(from.stage)
        const record = key === undefined ? undefined : options.record(key)
        return named(from.stage, from.port, record).map((each) => [port, each])
      })
    )

  const begin = (stage: string, time: number, more: Told): ReadonlyArray<RunEvent> => {
    begun.set(stage, (begun.get(stage) ?? 0) + 1)
    open.set(stage, more)
    const inputs = Object.values(inputsOf(stage)).map((each) => inputOf(facet, each, store))
    return [event("START", time, ofStage(stage, undefined, more), { inputs })]
  }

  const end = (
    eventType: "COMPLETE" | "FAIL" | "ABORT",
    stage: string,
    time: number,
    more: Told,
    { key, message }: { readonly key?: string; readonly message?: string } = {}
  ): ReadonlyArray<RunEvent> => {
    // What ends without a start, as a reused stage does, starts at its end.
    const start = open.has(stage) ? [] : begin(stage, time, key === undefined ? {} : { key })
    const record = key === undefined ? undefined : options.record(key)
    const all = { ...open.get(stage), ...more }
    open.delete(stage)
    if (key !== undefined) keys.set(stage, key)
    const inputs = inputsOf(stage)
    const outputs = Object.keys(record?.outputs ?? {}).flatMap((port) =>
      named(stage, port, record).map((each) => outputOf(facet, each, store, port, record!, inputs))
    )
    const files = record?.preimage.sources.map((source) => fileOf(facet, source)) ?? []
    return [
      ...start,
      event(eventType, time, ofStage(stage, record, all, message), {
        inputs: [...Object.values(inputs).map((each) => inputOf(facet, each, store)), ...files],
        outputs
      })
    ]
  }

  const finished = (stage: string, time: number, key: string, status: "ran" | "reused", more: Told) => {
    const record = options.record(key)
    const { device, metrics } = record ?? {}
    return end(
      "COMPLETE",
      stage,
      time,
      {
        key,
        status,
        ...(record === undefined ? {} : { madeIn: record.run }),
        ...(device === undefined || device === null ? {} : { device }),
        ...(metrics === undefined ? {} : { metrics }),
        ...more
      },
      { key }
    )
  }

  return (entry) => {
    const { time } = entry
    switch (entry._tag) {
      case "Graph":
        graph = entry
        for (const node of entry.stages) nodes.set(node.stage, node)
        return [event("START", time, ofPipeline())]
      case "Reused":
        return finished(entry.stage, time, entry.key, "reused", {})
      case "Started":
        return begin(entry.stage, time, { key: entry.key, reasons: entry.reasons })
      case "Finished":
        return finished(entry.stage, time, entry.key, "ran", { metrics: entry.metrics })
      case "Failed":
        return end("FAIL", entry.stage, time, { status: "failed" }, { message: `${entry.cause}: ${entry.message}` })
      case "Skipped": {
        const because = entry.because === "" ? {} : { because: entry.because }
        return end("ABORT", entry.stage, time, { status: "skipped", ...because })
      }
      case "Ended": {
        const { status } = entry
        const cut = [...open.keys()].flatMap((stage) => end("ABORT", stage, time, { status: "interrupted" }))
        const type = status === "succeeded" ? "COMPLETE" : status === "failed" ? "FAIL" : "ABORT"
        return [...cut, event(type, time, ofPipeline(status === "failed" ? "stages failed" : undefined))]
      }
      default:
        return []
    }
  }
}
