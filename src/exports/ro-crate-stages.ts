/**
 * The stages of a run in its crate: steps of the pipeline, their operators as tools, what each stage did as an action, and the files of what it made.
 *
 * @since 0.1.0
 */
import { paramsOf, type RunRecord, type StageRecord } from "../lineage/record.ts"
import type { GraphEntry, LogEntry } from "../lineage/run-log.ts"
import type { Artifact, Blob } from "../operator/artifact.ts"
import {
  type CrateGraph,
  iso,
  type makeParameters,
  named,
  type Reference,
  safe,
  unique,
  valueType
} from "./ro-crate-graph.ts"

const types: { readonly [ending: string]: string } = {
  arrow: "application/vnd.apache.arrow.file",
  json: "application/json",
  jsonl: "application/jsonl",
  md: "text/markdown",
  svg: "image/svg+xml",
  txt: "text/plain"
}

/** The state of an action that ended. */
export const statusOf = (failed: boolean): string => `http://schema.org/${failed ? "Failed" : "Completed"}ActionStatus`

/** What became of a stage, when, and of its result the key. */
export interface Ended {
  readonly stage: string
  readonly time: number
  readonly key?: string
  readonly error?: string
}

/** The stages that began, and when, and what became of them, in the order in which they ended. */
export const endsOf = (entries: ReadonlyArray<LogEntry>) => {
  const began = new Map<string, number>()
  const ends = new Map<string, Ended>()
  for (const entry of entries) {
    const { time } = entry
    if (entry._tag === "Started") began.set(entry.stage, time)
    if (entry._tag === "Reused" || entry._tag === "Finished") {
      ends.set(entry.stage, { stage: entry.stage, time, key: entry.key })
    }
    if (entry._tag === "Failed") {
      ends.set(entry.stage, { stage: entry.stage, time, error: `${entry.cause}: ${entry.message}` })
    }
    if (entry._tag === "Ended") {
      for (const stage of began.keys())
        if (!ends.has(stage)) ends.set(stage, { stage, time, error: "it was interrupted" })
    }
  }
  return { began, ends }
}

/** The part of an artifact that it is for: its largest. */
const largest = ({ parts }: Artifact, files: ReadonlyArray<Reference>): Reference | undefined => {
  const sizes = Object.values(parts).map(({ bytes }) => bytes)
  return files[sizes.indexOf(Math.max(...sizes))]
}

const operatorId = (name: string): string => `#operator/${safe(name)}`

/** `by` is who did it; `data`: files are in the crate. */
export interface StagesOptions {
  readonly graph: CrateGraph
  readonly parameters: ReturnType<typeof makeParameters>
  readonly run: RunRecord
  readonly stages: GraphEntry
  readonly began: ReadonlyMap<string, number>
  readonly ends: ReadonlyMap<string, Ended>
  readonly data: boolean
  readonly by: { readonly agent?: Reference }
  readonly record: (key: string) => StageRecord | undefined
}

/** Adds the stages to the graph; gives what the rest of the crate refers to, and the files that belong in it. */
export const addStages = (options: StagesOptions) => {
  const { began, by, ends, run, stages: entry } = options
  const { add, link } = options.graph
  const { exemplify, formal, property } = options.parameters
  const nodes = new Map(entry.stages.map((node) => [node.stage, node]))
  const blobs: Array<readonly [string, Blob]> = []
  const contents: Array<Reference> = []
  const collections: Array<Reference> = []

  const fileOf = (place: string, name: string, blob: Blob): Reference => {
    const encodingFormat = types[name.split(".").at(-1)!] ?? "application/octet-stream"
    const about = { name, encodingFormat, sha256: blob.digest, contentSize: String(blob.bytes) }
    if (!options.data) return add(named(blob.digest), "File", about)
    blobs.push([place, blob])
    return add(place, "File", about)
  }

  const toolOf = (stage: string, record: StageRecord | undefined): Reference => {
    const name = nodes.get(stage)?.operator ?? ""
    const id = operatorId(name)
    const { description } = entry.operators?.[name] ?? {}
    const tool = add(id, "SoftwareApplication", { name, ...(description === undefined ? {} : { description }) })
    if (record === undefined) return tool
    const { code, inputs, operator, outputs } = record.preimage
    add(id, "SoftwareApplication", { softwareVersion: `${operator.version}, code ${code}` })
    for (const port of Object.keys(inputs)) link(id, "input", formal(`${id}/input/${safe(port)}`, port, "File"))
    for (const [parameter, value] of Object.entries(paramsOf(record.preimage) as object)) {
      link(id, "input", formal(`${id}/parameter/${safe(parameter)}`, parameter, valueType(value)))
    }
    for (const port of Object.keys(outputs)) link(id, "output", formal(`${id}/output/${safe(port)}`, port, "File"))
    return tool
  }

  /** Entities of artifacts, by stage and port. */
  const artifacts = new Map<string, Reference>()
  const artifactOf = (stage: string, port: string, artifact: Artifact): Reference => {
    const id = `${stage}.${port}`
    const known = artifacts.get(id)
    if (known !== undefined) return known
    const place = `data/${safe(stage)}/${safe(port)}`
    const files = Object.entries(artifact.parts).map(([name, blob]) => fileOf(`${place}/${safe(name)}`, name, blob))
    contents.push(...files)
    const about = { description: `${artifact.kind} ${id}, ${artifact.digest}` }
    const made =
      files.length === 1
        ? add(files[0]!["@id"], "File", about)
        : add(`#artifact/${safe(id)}`, "Collection", {
            name: id,
            hasPart: files,
            mainEntity: largest(artifact, files),
            ...about
          })
    if (files.length !== 1) collections.push(made)
    exemplify(made, `${operatorId(nodes.get(stage)?.operator ?? "")}/output/${safe(port)}`)
    artifacts.set(id, made)
    return made
  }

  const steps: Array<Reference> = []
  const tools: Array<Reference> = []
  const controls: Array<Reference> = []
  const actions: Array<Reference> = []
  const sources: Array<Reference> = []
  for (const [position, { inputs, stage }] of entry.stages.entries()) {
    const ended = ends.get(stage)
    const record = ended?.key === undefined ? undefined : options.record(ended.key)
    // What did not begin has no action, and a step is there for an action; the pipeline's description has it.
    if (ended === undefined) continue
    const tool = toolOf(stage, record)
    const about = { name: stage, position: String(position), workExample: tool }
    const step = add(`#step/${safe(stage)}`, "HowToStep", about)
    steps.push(step)
    tools.push(tool)
    const taken = Object.entries(inputs).flatMap(([port, from]) => {
      const key = ends.get(from.stage)?.key
      const artifact = key === undefined ? undefined : options.record(key)?.outputs[from.port]
      if (artifact === undefined) return []
      const made = artifactOf(from.stage, from.port, artifact)
      if (record !== undefined) exemplify(made, `${tool["@id"]}/input/${safe(port)}`)
      return [made]
    })
    const files = (record?.preimage.sources ?? []).map(({ digest, name }) => {
      return add(named(digest), "File", {
        name,
        sha256: digest,
        encodingFormat: types[name.split(".").at(-1)!] ?? "application/octet-stream"
      })
    })
    sources.push(...files)
    const id = `#stage/${safe(stage)}`
    const params = Object.entries(record === undefined ? {} : (paramsOf(record.preimage) as object)).map(
      ([name, value]) =>
        property(`${id}/parameter/${safe(name)}`, name, value, { "@id": `${tool["@id"]}/parameter/${safe(name)}` })
    )
    const results = Object.entries(record?.outputs ?? {}).map(([port, artifact]) => artifactOf(stage, port, artifact))
    const metrics = Object.entries(record?.metrics ?? {}).map(([name, value]) =>
      property(`${id}/metric/${safe(name)}`, name, value)
    )
    const elsewhere = record !== undefined && record.run !== run.run
    const action = add(id, "CreateAction", {
      name: stage,
      description: elsewhere
        ? `Stage ${stage}: made in run ${record.run}, and reused in this one`
        : `Stage ${stage}: operator ${nodes.get(stage)!.operator} ran`,
      instrument: tool,
      object: [...taken, ...files, ...params],
      result: [...results, ...metrics],
      startTime: iso(record?.time ?? began.get(stage) ?? ended.time),
      endTime: iso(record === undefined ? ended.time : record.time + 1000 * record.seconds),
      actionStatus: statusOf(ended.error !== undefined),
      ...(ended.error === undefined ? {} : { error: ended.error }),
      ...by
    })
    actions.push(action)
    controls.push(
      add(`#control/${safe(stage)}`, "ControlAction", {
        name: `orchestrate ${stage}`,
        instrument: step,
        object: action
      })
    )
  }
  return { actions, artifacts, blobs, collections, contents, controls, sources, steps, tools: unique(tools) }
}
