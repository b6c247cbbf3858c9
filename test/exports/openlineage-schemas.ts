/**
 * OpenLineage events against JSON schemas: always the formats, and that each facet has the version that was compared; where
 * `PTMFLOW_OPENLINEAGE_SPEC` names a folder with the specification's schemas, every event and every facet against its own.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Ajv2020, type AnySchemaObject } from "ajv/dist/2020.js"
import formats from "ajv-formats"
import type { RunEvent } from "../../src/exports/openlineage-event.ts"

const SITE = "https://openlineage.io/spec/"

/** The versions of facets that were compared with their schemas or with the classes that are made of them; another is compared again first. */
const COMPARED: { readonly [facet: string]: string } = {
  OpenLineage: "2-0-2",
  ColumnLineageDatasetFacet: "1-2-0",
  DatasetTypeDatasetFacet: "1-0-1",
  DatasetVersionDatasetFacet: "1-0-1",
  DatasourceDatasetFacet: "1-0-1",
  DocumentationJobFacet: "1-1-0",
  ErrorMessageRunFacet: "1-0-1",
  ExecutionParametersRunFacet: "1-0-0",
  InputStatisticsInputDatasetFacet: "1-0-0",
  JobTypeJobFacet: "2-0-4",
  OutputStatisticsOutputDatasetFacet: "1-0-2",
  ParentRunFacet: "1-2-0",
  ProcessingEngineRunFacet: "1-1-1",
  SchemaDatasetFacet: "1-2-0",
  SourceCodeLocationJobFacet: "1-1-0"
}

/** Values that the specification gives a format, by the name of their property. */
const FORMATS: { readonly [property: string]: AnySchemaObject } = {
  eventTime: { type: "string", format: "date-time" },
  eventType: { enum: ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"] },
  runId: { type: "string", format: "uuid" },
  ...Object.fromEntries(
    ["producer", "schemaURL", "_producer", "_schemaURL", "url", "uri"].map((name) => [
      name,
      { type: "string", format: "uri" }
    ])
  ),
  ...Object.fromEntries(["rowCount", "size", "fileCount"].map((name) => [name, { type: "integer", minimum: 0 }]))
}

/** Schemas say more than Ajv knows (`example`), which is no error. */
const make = () => formats.default(new Ajv2020({ strict: false, allErrors: true }))

/** Every object of a value, with its place. */
const objectsOf = (
  value: unknown,
  place: string
): ReadonlyArray<readonly [string, { readonly [name: string]: unknown }]> => {
  if (typeof value !== "object" || value === null) return []
  const inside = Object.entries(value).flatMap(([name, each]) => objectsOf(each, `${place}/${name}`))
  return Array.isArray(value) ? inside : [[place, value as { readonly [name: string]: unknown }], ...inside]
}

const partsOf = (url: string) => {
  const [, version, name] = /^(?:facets\/)?(\d+-\d+-\d+)\/(\w+)\.json#\/\$defs\/\w+$/.exec(url.slice(SITE.length)) ?? []
  return { version, name: name ?? url }
}

const urlOf = (object: { readonly [name: string]: unknown }) => object["_schemaURL"] ?? object["schemaURL"]

/** What is wrong with events as far as it shows without the schemas. */
export const formProblems = (events: ReadonlyArray<typeof RunEvent.Type>): ReadonlyArray<string> => {
  const ajv = make()
  const checks = Object.entries(FORMATS).map(([name, schema]) => [name, ajv.compile(schema)] as const)
  return events.flatMap((event, i) =>
    objectsOf(JSON.parse(JSON.stringify(event)), `event ${i}`).flatMap(([place, object]) => {
      const url = urlOf(object)
      const { name, version } = partsOf(String(url))
      return [
        ...checks.flatMap(([property, check]) =>
          property in object && !check(object[property])
            ? [`${place}/${property}: ${ajv.errorsText(check.errors)}: ${String(object[property])}`]
            : []
        ),
        ...(url === undefined || COMPARED[name] === version ? [] : [`${place}: ${String(url)} was not compared`])
      ]
    })
  )
}

/**
 * What is wrong with events by the schemas of a folder, and which schemas they name, with those that were taken: the same version, else the newest
 * that the folder has (older than what an event names it may ask for more), or undefined.
 */
export const schemaProblems = (folder: string, events: ReadonlyArray<typeof RunEvent.Type>) => {
  const ajv = make()
  const files = fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".json"))
  const schemas = files.map((file) => JSON.parse(fs.readFileSync(path.join(folder, file), "utf8")) as AnySchemaObject)
  const ids = schemas.map(({ $id }) => String($id))
  for (const schema of schemas) ajv.addSchema(schema)
  const core = schemas.find(({ $id }) => /\/OpenLineage\.json$/.test(String($id)))
  if (core === undefined) throw new Error(`${folder} has no OpenLineage.json`)
  // Old facets refer to older versions of the same definitions.
  const named = JSON.stringify(schemas).match(/https:\/\/openlineage\.io\/spec\/[\d-]+\/OpenLineage\.json/g) ?? []
  for (const id of new Set(named)) if (!ids.includes(id)) ajv.addSchema({ ...core, $id: id })

  const versions = (url: string) => {
    const [id = "", definition = ""] = url.split("#")
    const file = path.posix.basename(id)
    const others = ids.filter((each) => path.posix.basename(each) === file).sort()
    const taken = ids.includes(id) ? id : others.at(-1)
    return taken === undefined ? undefined : `${taken}#${definition}`
  }
  const taken = new Map<string, string | undefined>()
  const problems = events.flatMap((event, i) =>
    objectsOf(JSON.parse(JSON.stringify(event)), `event ${i}`).flatMap(([place, object]) => {
      const url = urlOf(object)
      if (typeof url !== "string") return []
      const schema = versions(url)
      taken.set(url, schema)
      const check = schema === undefined ? undefined : ajv.getSchema(schema)
      if (schema !== undefined && check === undefined) return [`${place}: there is no ${schema}`]
      return check === undefined || check(object) ? [] : [`${place}: ${schema}: ${ajv.errorsText(check.errors)}`]
    })
  )
  return { problems, taken }
}
