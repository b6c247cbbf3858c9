/**
 * OpenLineage's run events, as far as they are written here: version 2-0-2 of its schema, and of each facet the version that its URL names.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const facet = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct({ _producer: Schema.String, _schemaURL: Schema.String, ...fields })

const Job = { namespace: Schema.String, name: Schema.String }
const RunId = Schema.Struct({ runId: Schema.String })
const Metrics = Schema.Record(Schema.String, Schema.NullOr(Schema.Number))

const ParentFacet = facet({
  run: RunId,
  job: Schema.Struct(Job),
  root: Schema.Struct({ run: RunId, job: Schema.Struct(Job) })
})

/** What ptmflow says of a run beyond the standard: of a stage its key, what became of it, and in which run its result was made. */
const PtmflowFacet = facet({
  run: Schema.String,
  stage: Schema.optionalKey(Schema.String),
  operator: Schema.optionalKey(Schema.String),
  key: Schema.optionalKey(Schema.String),
  status: Schema.optionalKey(Schema.Literals(["ran", "reused", "failed", "skipped", "interrupted"])),
  madeIn: Schema.optionalKey(Schema.String),
  device: Schema.optionalKey(Schema.String),
  reasons: Schema.optionalKey(Schema.Array(Schema.String)),
  because: Schema.optionalKey(Schema.String),
  metrics: Schema.optionalKey(Metrics)
})

const RunFacets = Schema.Struct({
  processing_engine: facet({
    version: Schema.String,
    name: Schema.String,
    openlineageAdapterVersion: Schema.String
  }),
  parent: Schema.optionalKey(ParentFacet),
  executionParameters: Schema.optionalKey(
    facet({ parameters: Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.String })) })
  ),
  errorMessage: Schema.optionalKey(facet({ message: Schema.String, programmingLanguage: Schema.String })),
  ptmflow: PtmflowFacet
})

const JobFacets = Schema.Struct({
  jobType: facet({ processingType: Schema.String, integration: Schema.String, jobType: Schema.String }),
  documentation: Schema.optionalKey(facet({ description: Schema.String })),
  sourceCodeLocation: Schema.optionalKey(
    facet({ type: Schema.String, url: Schema.String, version: Schema.optionalKey(Schema.String) })
  )
})

const InputField = Schema.Struct({
  ...Job,
  field: Schema.String,
  transformations: Schema.optionalKey(Schema.Array(Schema.Struct({ type: Schema.String, subtype: Schema.String })))
})

const DatasetFacets = Schema.Struct({
  dataSource: Schema.optionalKey(facet({ name: Schema.String, uri: Schema.String })),
  version: Schema.optionalKey(facet({ datasetVersion: Schema.String })),
  datasetType: Schema.optionalKey(facet({ datasetType: Schema.String })),
  schema: Schema.optionalKey(
    facet({
      fields: Schema.Array(Schema.Struct({ name: Schema.String, type: Schema.String, ordinal_position: Schema.Number }))
    })
  ),
  columnLineage: Schema.optionalKey(
    facet({
      fields: Schema.Record(Schema.String, Schema.Struct({ inputFields: Schema.Array(InputField) }))
    })
  )
})

/** Rows and bytes, as they are kept. */
const Statistics = { rowCount: Schema.optionalKey(Schema.Number), size: Schema.Number, fileCount: Schema.Number }

export const InputDataset = Schema.Struct({
  ...Job,
  facets: DatasetFacets,
  inputFacets: Schema.optionalKey(Schema.Struct({ inputStatistics: facet(Statistics) }))
})
export type InputDataset = typeof InputDataset.Type

export const OutputDataset = Schema.Struct({
  ...Job,
  facets: DatasetFacets,
  outputFacets: Schema.Struct({ outputStatistics: facet(Statistics) })
})
export type OutputDataset = typeof OutputDataset.Type

/** A change of the state of a run: of a pipeline's, or of a stage's in it, which is a run of its own with that as its parent. */
export const RunEvent = Schema.Struct({
  eventType: Schema.Literals(["START", "COMPLETE", "FAIL", "ABORT"]),
  eventTime: Schema.String,
  run: Schema.Struct({ ...RunId.fields, facets: RunFacets }),
  job: Schema.Struct({ ...Job, facets: JobFacets }),
  inputs: Schema.Array(InputDataset),
  outputs: Schema.Array(OutputDataset),
  producer: Schema.String,
  schemaURL: Schema.String
})
export type RunEvent = typeof RunEvent.Type
