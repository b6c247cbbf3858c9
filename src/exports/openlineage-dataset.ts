/**
 * Artifacts and source files as OpenLineage datasets: what they are, their schema, and where the columns of tables come from.
 *
 * @since 0.1.0
 */
import { pathToFileURL } from "node:url"
import type { StageRecord } from "../lineage/record.ts"
import type { Artifact } from "../operator/artifact.ts"
import { columnsOf } from "../operator/column-source.ts"
import type { InputDataset, OutputDataset } from "./openlineage-event.ts"

/** What every facet has: who wrote it, and its schema. */
export type Facets = <Fields>(
  url: string,
  fields: Fields
) => Fields & { readonly _producer: string; readonly _schemaURL: string }

/** Facets by `producer`; `url` is that of the schema of one, beside the specification. */
export const facetsOf =
  (producer: string): Facets =>
  (url, fields) => ({ _producer: producer, _schemaURL: `https://openlineage.io/spec/${url}`, ...fields })

/** An output of a stage of a pipeline, which has one name in all runs; its versions are its contents. */
export interface Named {
  readonly namespace: string
  readonly name: string
  readonly artifact: Artifact
}

const schemaOf = ({ kind, meta }: Artifact): ReadonlyArray<readonly [string, string]> =>
  kind === "table" ? Object.entries((meta["schema"] ?? {}) as { readonly [column: string]: string }) : []

const facetsOfArtifact = (facet: Facets, { artifact }: Named, store: string) => {
  const columns = schemaOf(artifact)
  return {
    dataSource: facet("facets/1-0-1/DatasourceDatasetFacet.json#/$defs/DatasourceDatasetFacet", {
      name: "ptmflow",
      uri: pathToFileURL(store).href
    }),
    version: facet("facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet", {
      datasetVersion: artifact.digest
    }),
    datasetType: facet("facets/1-0-1/DatasetTypeDatasetFacet.json#/$defs/DatasetTypeDatasetFacet", {
      datasetType: artifact.kind === "table" ? "TABLE" : artifact.kind === "checkpoint" ? "MODEL" : "FILE"
    }),
    ...(columns.length === 0
      ? {}
      : {
          schema: facet("facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet", {
            fields: columns.map(([name, type], i) => ({ name, type, ordinal_position: i + 1 }))
          })
        })
  }
}

const statisticsOf = ({ meta, parts }: Artifact) => {
  const blobs = Object.values(parts)
  const { rows } = meta
  return {
    ...(typeof rows === "number" ? { rowCount: rows } : {}),
    size: blobs.reduce((sum, { bytes }) => sum + bytes, 0),
    fileCount: blobs.length
  }
}

/** What a stage takes. */
export const inputOf = (facet: Facets, named: Named, store: string): InputDataset => ({
  namespace: named.namespace,
  name: named.name,
  facets: facetsOfArtifact(facet, named, store),
  inputFacets: {
    inputStatistics: facet(
      "facets/1-0-0/InputStatisticsInputDatasetFacet.json#/$defs/InputStatisticsInputDatasetFacet",
      statisticsOf(named.artifact)
    )
  }
})

/** A file that a stage read: its name as the operator lets it out; its version is the SHA-256 of its bytes. */
export const fileOf = (facet: Facets, { digest, name }: { readonly name: string; readonly digest: string }) => ({
  namespace: "file",
  name,
  facets: {
    version: facet("facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet", {
      datasetVersion: digest
    })
  }
})

/** What a stage gives; `inputs` is what it took, by port. */
export const outputOf = (
  facet: Facets,
  named: Named,
  store: string,
  port: string,
  record: StageRecord,
  inputs: { readonly [port: string]: Named }
): OutputDataset => {
  const fields = columnLineage(named.artifact, port, record, inputs)
  return {
    namespace: named.namespace,
    name: named.name,
    facets: {
      ...facetsOfArtifact(facet, named, store),
      ...(fields === undefined
        ? {}
        : {
            columnLineage: facet("facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet", {
              fields
            })
          })
    },
    outputFacets: {
      outputStatistics: facet(
        "facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet",
        statisticsOf(named.artifact)
      )
    }
  }
}

/**
 * Which columns a table's columns come from: what the operator declares, with how; of a column of which it says nothing every column that it
 * takes, for it sees no others, and not how. Undefined where it is no table, or made from none.
 */
const columnLineage = (
  artifact: Artifact,
  port: string,
  { columns: declared, preimage }: StageRecord,
  inputs: { readonly [port: string]: Named }
) => {
  const taken = Object.entries(preimage.inputs).flatMap(([port, input]) =>
    (columnsOf(input) ?? []).map(([column]) => `${port}.${column}`)
  )
  const columns = schemaOf(artifact)
  if (taken.length === 0 || columns.length === 0) return undefined
  const field = (reference: string, subtype?: string) => {
    const at = reference.lastIndexOf(".")
    const { name, namespace } = inputs[reference.slice(0, at)]!
    const transformations = subtype === undefined ? {} : { transformations: [{ type: "DIRECT", subtype }] }
    return { namespace, name, field: reference.slice(at + 1), ...transformations }
  }
  return Object.fromEntries(
    columns.map(([column]) => {
      const source = declared?.[port]?.[column]
      const { from = [], same = [] } = source ?? {}
      const known = [
        ...same.map((reference) => field(reference, "IDENTITY")),
        ...from.map((reference) => field(reference, "TRANSFORMATION"))
      ]
      return [column, { inputFields: source === undefined ? taken.map((each) => field(each)) : known }]
    })
  )
}
