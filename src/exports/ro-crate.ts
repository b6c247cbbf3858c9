/**
 * A run as a Workflow Run RO-Crate, of the profile Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5), on RO-Crate 1.1: the pipeline with
 * its steps, what each stage took, made and measured, when and how it ended, and the files themselves or where they are known by their digest.
 *
 * @since 0.1.0
 */
import { paramsOf, type RunRecord, type StageRecord } from "../lineage/record.ts"
import type { GraphEntry, LogEntry } from "../lineage/run-log.ts"
import type { Blob } from "../operator/artifact.ts"
import { type Entity, iso, makeGraph, makeParameters, type Reference, safe, sha256, unique } from "./ro-crate-graph.ts"
import { addStages, type Ended, endsOf, statusOf } from "./ro-crate-stages.ts"

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

/** The crate of a run. */
export const crateOf = (options: CrateOptions): Crate => {
  const { run, version } = options
  const graph = makeGraph()
  const { add, all, link } = graph
  const entry = options.entries.find(({ _tag }) => _tag === "Graph") as GraphEntry
  const { began, ends } = endsOf(options.entries)
  const last = options.entries.at(-1)!
  const parameters = makeParameters(graph)
  const { exemplify, formal, property } = parameters
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

  const agent = agentOf(options.agent)
  const by = agent === undefined ? {} : { agent: add(agent["@id"], "Person", { name: agent.name }) }

  const { artifacts, actions, blobs, collections, contents, controls, sources, steps, tools } = addStages({
    ...options,
    graph,
    parameters,
    stages: entry,
    ends,
    began,
    by
  })

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
    hasPart: tools,
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
