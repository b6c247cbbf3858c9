/**
 * The report port: named figures and texts that a stage wants a person to see.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Artifact, ArtifactError, type BlobSink, type BlobSource } from "../src/operator/artifact.ts"
import { digestOf } from "../src/operator/digest.ts"
import type { Port } from "../src/operator/port.ts"

/** One figure. `unit` is shown after the value; `note` says how it was made. */
export const Figure = Schema.Struct({
  name: Schema.String,
  value: Schema.Number,
  unit: Schema.optionalKey(Schema.String),
  note: Schema.optionalKey(Schema.String)
})
export type Figure = typeof Figure.Type

/** One prompt, answered by several checkpoints. */
export const Sample = Schema.Struct({
  prompt: Schema.String,
  answers: Schema.Array(Schema.Struct({ checkpoint: Schema.String, answer: Schema.String }))
})
export type Sample = typeof Sample.Type

/** Figures in the order they are shown, and samples. */
export const Report = Schema.Struct({
  title: Schema.String,
  figures: Schema.Array(Figure),
  samples: Schema.Array(Sample)
})
export type Report = typeof Report.Type

const ReportFile = Schema.fromJsonString(Report)

const encode = Effect.fnUntraced(function* (report: Report, sink: BlobSink) {
  const blob = yield* sink.put(new TextEncoder().encode(Schema.encodeSync(ReportFile)(report)))
  const artifact: Artifact = {
    kind: "report",
    digest: digestOf("report", blob.digest),
    parts: { "report.json": blob },
    meta: { title: report.title, ...Object.fromEntries(report.figures.map((figure) => [figure.name, figure.value])) }
  }
  return artifact
})

const decode = Effect.fnUntraced(function* (artifact: Artifact, source: BlobSource) {
  const fail = (message: string) => new ArtifactError({ place: `report ${artifact.digest}`, message })
  const blob = artifact.parts["report.json"]
  if (blob === undefined) return yield* fail("it has no part report.json")
  const bytes = yield* source.bytes(blob)
  return yield* Schema.decodeUnknownEffect(ReportFile)(new TextDecoder().decode(bytes)).pipe(
    Effect.mapError((error) => fail(error.message))
  )
})

/** The port of reports. */
export const ReportPort: Port<Report> = { kind: "report", contract: { version: 1 }, encode, decode }
