/**
 * A run as a Workflow Run RO-Crate, of the profile Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5), on RO-Crate 1.1: the pipeline with
 * its steps, what each stage took, made and measured, when and how it ended, and the files themselves or where they are known by their digest.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import { paramsOf, type RunRecord, type StageRecord } from "../lineage/record.ts"
import type { GraphEntry, LogEntry } from "../lineage/run-log.ts"
import type { Artifact, Blob } from "../operator/artifact.ts"
import { type Entity, makeGraph, type Reference } from "./ro-crate-graph.ts"

/** `data`: the files are in the crate; `agent` (a name, or an address such as an ORCID's) is who ran it; `license` the address of that of the contents. */
export interface CrateOptions {
  readonly run: RunRecord
  readonly entries: ReadonlyArray<LogEntry>
  readonly version: string
  readonly data: boolean
  readonly agent?: string | undefined
  readonly license?: string | undefined
  readonly record: (key: string) => StageRecord | undefined
}

/** The metadata (JSON-LD), and the files that belong beside it. */
export interface Crate {
  readonly metadata: { readonly "@context": ReadonlyArray<string>; readonly "@graph": ReadonlyArray<Entity> }
  readonly texts: ReadonlyArray<readonly [name: string, text: string]>
  readonly blobs: ReadonlyArray<readonly [name: string, blob: Blob]>
}

const PROFILES = ["process", "workflow", "provenance"].map((each) => `https://w3id.org/ro/wfrun/${each}/0.5`)
const WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
const PIPELINE = "pipeline.json"

const NO_LICENSE = "No licence was stated: ask who gave you this crate what you may do with it"

const sha256 = (text: string | Uint8Array): string => createHash("sha256").update(text).digest("hex")

/** A name as that of a file, and in an id: different names are different. */
const safe = (name: string): string =>
  /^[\w-][\w.-]*$/.test(name) ? name : `${name.replace(/[^\w-]/g, "_")}-${sha256(name).slice(0, 8)}`

/** Bytes that are known by their digest alone (RFC 6920). */
const named = (digest: string): string => `ni:///sha-256;${Buffer.from(digest, "hex").toString("base64url")}`

const iso = (time: number): string => new Date(time).toISOString().replace("Z", "+00:00")

const types: { readonly [ending: string]: string } = {
  arrow: "application/vnd.apache.arrow.file",
  json: "application/json",
  jsonl: "application/jsonl",
  md: "text/markdown",
  svg: "image/svg+xml",
  txt: "text/plain"
}

const statusOf = (failed: boolean): string => `http://schema.org/${failed ? "Failed" : "Completed"}ActionStatus`

const valueType = (value: unknown): string =>
  typeof value === "number"
    ? Number.isInteger(value)
      ? "Integer"
      : "Float"
    : typeof value === "boolean"
      ? "Boolean"
      : "Text"
const textOf = (value: unknown): unknown =>
  typeof value === "object" || value === undefined ? JSON.stringify(value) : value

/** What became of a stage, when, and of its result the key. */
interface Ended {
  readonly stage: string
  readonly time: number
  readonly key?: string
  readonly error?: string
}

/** The stages that began, in the order in which they ended. */
const endsOf = (entries: ReadonlyArray<LogEntry>) => {
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

/** The crate of a run. */
export const crateOf = (options: CrateOptions): Crate => {
  const { run, version } = options
  const { add, all, has, link } = makeGraph()
  const entry = options.entries.find(({ _tag }) => _tag === "Graph") as GraphEntry
  const nodes = new Map(entry.stages.map((node) => [node.stage, node]))
  const { began, ends } = endsOf(options.entries)
  const last = options.entries.at(-1)!
  const blobs: Array<readonly [string, Blob]> = []
  const contents: Array<Reference> = []
  const collections: Array<Reference> = []

  const formal = (id: string, name: string, additionalType: string): Reference =>
    has(id)
      ? { "@id": id }
      : add(id, "FormalParameter", {
          name,
          additionalType,
          conformsTo: { "@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE" }
        })
  /** Says that an artifact is what a parameter stands for, and so of which type that is. */
  const exemplify = ({ "@id": id }: Reference, parameter: string): void => {
    link(id, "exampleOfWork", { "@id": parameter })
    add(parameter, "FormalParameter", { additionalType: id.startsWith("#artifact/") ? "Collection" : "File" })
  }
  const property = (id: string, name: string, value: unknown, of?: Reference): Reference =>
    add(id, "PropertyValue", { name, value: textOf(value), ...(of === undefined ? {} : { exampleOfWork: of }) })
  const fileOf = (place: string, name: string, blob: Blob): Reference => {
    const encodingFormat = types[name.split(".").at(-1)!] ?? "application/octet-stream"
    const about = { name, encodingFormat, sha256: blob.digest, contentSize: String(blob.bytes) }
    if (!options.data) return add(named(blob.digest), "File", about)
    blobs.push([place, blob])
    return add(place, "File", about)
  }

  const engine = add("#ptmflow", "SoftwareApplication", {
    name: "ptmflow",
    softwareVersion: version,
    url: `pkg:npm/ptmflow@${version}`
  })
  const language = add("#ptmflow-pipeline", "ComputerLanguage", {
    name: "ptmflow pipeline",
    url: `pkg:npm/ptmflow@${version}`,
    version
  })

  const operatorId = (name: string) => `#operator/${safe(name)}`
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

  const agent = agentOf(options.agent)
  const by = agent === undefined ? {} : { agent: add(agent["@id"], "Person", { name: agent.name }) }

  const steps: Array<Reference> = []
  const controls: Array<Reference> = []
  const actions: Array<Reference> = []
  const sources: Array<Reference> = []
  for (const [position, { inputs, stage }] of entry.stages.entries()) {
    const ended = ends.get(stage)
    const record = ended?.key === undefined ? undefined : options.record(ended.key)
    const tool = toolOf(stage, record)
    const step = add(`#step/${safe(stage)}`, "HowToStep", {
      name: stage,
      position: String(position),
      workExample: tool
    })
    steps.push(step)
    if (ended === undefined) continue
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

  const outputs = Object.entries(run.outputs).flatMap(([name, { port, stage }]) => {
    const made = artifacts.get(`${stage}.${port}`)
    const parameter = formal(`#pipeline/output/${safe(name)}`, name, "File")
    if (made === undefined) return []
    exemplify(made, parameter["@id"])
    return [made]
  })
  const settings = run.settings.map(({ path, value }) =>
    property(`#setting/${safe(path)}`, path, value, formal(`#pipeline/input/${safe(path)}`, path, "Text"))
  )
  const filesRead = formal("#pipeline/input/files", "files", "File")
  for (const { "@id": id } of sources) link(id, "exampleOfWork", filesRead)

  const described = `${JSON.stringify(describe(run, entry, ends, options.record), undefined, 2)}\n`
  const workflow = add(PIPELINE, ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"], {
    name: run.pipeline,
    description: "The stages of the pipeline, as they were in this run",
    encodingFormat: "application/json",
    version: sha256(described).slice(0, 12),
    sha256: sha256(described),
    contentSize: String(Buffer.byteLength(described)),
    programmingLanguage: language,
    conformsTo: { "@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE" },
    hasPart: unique(entry.stages.map(({ operator }) => ({ "@id": operatorId(operator) }))),
    step: steps,
    input: unique([filesRead, ...run.settings.map(({ path }) => ({ "@id": `#pipeline/input/${safe(path)}` }))]),
    output: Object.keys(run.outputs).map((name) => ({ "@id": `#pipeline/output/${safe(name)}` }))
  })
  const failed = last._tag !== "Ended" || last.status !== "succeeded"
  const error = run.failures.map(({ cause, message, stage }) => `${stage}: ${cause}: ${message}`).join("\n")
  const times = { startTime: iso(run.time), endTime: iso(last.time), actionStatus: statusOf(failed) }
  const whole = add("#run", "CreateAction", {
    name: `run ${run.run} of ${run.pipeline}`,
    description: `The pipeline ${run.pipeline}: ${run.stages} stages`,
    instrument: workflow,
    object: [...unique(sources), ...settings],
    result: outputs,
    ...times,
    ...(failed ? { error: error === "" ? "it was interrupted" : error } : {}),
    ...by
  })
  add("#organize", "OrganizeAction", {
    name: `ptmflow ${version} runs ${run.pipeline}`,
    instrument: engine,
    object: controls,
    result: whole,
    ...times,
    ...by
  })

  for (const profile of [...PROFILES, WORKFLOW_CRATE]) {
    add(profile, "CreativeWork", { name: profile.split("/").slice(-2).join(" "), version: profile.split("/").at(-1)! })
  }
  const readme = readmeOf(run, iso(last.time), options.data)
  const about = add("README.md", "File", { name: "README.md", encodingFormat: "text/markdown", about: { "@id": "./" } })
  add("./", "Dataset", {
    name: `Run ${run.run} of ${run.pipeline}`,
    description: `What a run of the ptmflow pipeline ${run.pipeline} used, did and made`,
    datePublished: iso(last.time),
    conformsTo: [...PROFILES, WORKFLOW_CRATE].map((id) => ({ "@id": id })),
    mainEntity: workflow,
    hasPart: unique([workflow, about, ...contents, ...sources]),
    mentions: [whole, ...actions, ...collections],
    license: options.license === undefined ? NO_LICENSE : { "@id": options.license },
    ...(agent === undefined ? {} : { author: by.agent })
  })
  if (options.license !== undefined)
    add(options.license, "CreativeWork", { name: options.license, identifier: options.license })
  add("ro-crate-metadata.json", "CreativeWork", {
    about: { "@id": "./" },
    conformsTo: [{ "@id": "https://w3id.org/ro/crate/1.1" }, { "@id": WORKFLOW_CRATE }]
  })
  return {
    metadata: {
      "@context": ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"],
      "@graph": all()
    },
    texts: [
      [PIPELINE, described],
      ["README.md", readme]
    ],
    blobs
  }
}

const unique = (references: ReadonlyArray<Reference>): ReadonlyArray<Reference> => [
  ...new Map(references.map((reference) => [reference["@id"], reference])).values()
]

/** The part of an artifact that it is for: its largest. */
const largest = ({ parts }: Artifact, files: ReadonlyArray<Reference>): Reference | undefined => {
  const sizes = Object.values(parts).map(({ bytes }) => bytes)
  return files[sizes.indexOf(Math.max(...sizes))]
}

const agentOf = (text: string | undefined): (Reference & { readonly name: string }) | undefined =>
  text === undefined ? undefined : { "@id": /^https?:/.test(text) ? text : `#agent/${safe(text)}`, name: text }

const readmeOf = (run: RunRecord, ended: string, data: boolean): string => `# Run ${run.run} of ${run.pipeline}

A [Workflow Run RO-Crate](https://www.researchobject.org/workflow-run-crate/) of a run of ptmflow that ended at ${ended}, ${run.status}.
\`${PIPELINE}\` has the stages of the pipeline with their parameters and keys, \`ro-crate-metadata.json\` what each stage took, made and measured.
${data ? "`data/` has what the stages made, a folder for each stage and output." : "What the stages made is not in it: it is named by its SHA-256."}
`

/** The pipeline as data: its stages, their operators, inputs, parameters and keys, and what was set. */
const describe = (
  run: RunRecord,
  { stages }: GraphEntry,
  ends: ReadonlyMap<string, Ended>,
  record: CrateOptions["record"]
) => ({
  format: 1,
  pipeline: run.pipeline,
  settings: run.settings,
  outputs: run.outputs,
  stages: stages.map(({ inputs, operator, stage }) => {
    const key = ends.get(stage)?.key
    const made = key === undefined ? undefined : record(key)
    const { code, operator: known, packages } = made?.preimage ?? {}
    return {
      stage,
      operator,
      inputs,
      ...(made === undefined ? {} : { version: known!.version, code, packages, key, params: paramsOf(made.preimage) })
    }
  })
})
