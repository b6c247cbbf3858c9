/**
 * The report port: named figures, texts and plots that a stage wants a person to see.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Artifact, ArtifactError, type Blob, type BlobSink, type BlobSource } from "../src/operator/artifact.ts"
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

/** A picture: `name` (letters, digits and -) is its file's, `svg` its text. */
export const Plot = Schema.Struct({ name: Schema.String, title: Schema.String, svg: Schema.String })
export type Plot = typeof Plot.Type

/** Figures in the order they are shown, samples and plots. */
export const Report = Schema.Struct({
  title: Schema.String,
  figures: Schema.Array(Figure),
  samples: Schema.Array(Sample),
  plots: Schema.optionalKey(Schema.Array(Plot))
})
export type Report = typeof Report.Type

/** What `report.json` holds: a plot's text is a part of its own, so that it can be looked at. */
const ReportFile = Schema.fromJsonString(
  Schema.Struct({
    ...Report.fields,
    plots: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.String, title: Schema.String })))
  })
)

const fileOf = ({ name }: { readonly name: string }) => `${name}.svg`

const encode = Effect.fnUntraced(function* ({ plots = [], ...report }: Report, sink: BlobSink) {
  const named = plots.map(({ name, title }) => ({ name, title }))
  const file = plots.length === 0 ? report : { ...report, plots: named }
  const blob = yield* sink.put(new TextEncoder().encode(Schema.encodeSync(ReportFile)(file)))
  const pictures: Array<readonly [string, Blob]> = []
  for (const plot of plots) pictures.push([fileOf(plot), yield* sink.put(new TextEncoder().encode(plot.svg))])
  const digests = pictures.map(([name, { digest }]) => [name, digest])
  const artifact: Artifact = {
    kind: "report",
    digest: digestOf("report", plots.length === 0 ? blob.digest : [blob.digest, ...digests]),
    parts: { "report.json": blob, ...Object.fromEntries(pictures) },
    meta: { title: report.title, ...Object.fromEntries(report.figures.map((figure) => [figure.name, figure.value])) }
  }
  return artifact
})

const decode = Effect.fnUntraced(function* (artifact: Artifact, source: BlobSource) {
  const fail = (message: string) => new ArtifactError({ place: `report ${artifact.digest}`, message })
  const text = Effect.fnUntraced(function* (part: string) {
    const blob = artifact.parts[part]
    if (blob === undefined) return yield* fail(`it has no part ${part}`)
    return new TextDecoder().decode(yield* source.bytes(blob))
  })
  const { plots = [], ...report } = yield* Schema.decodeUnknownEffect(ReportFile)(yield* text("report.json")).pipe(
    Effect.mapError((error) => (error instanceof ArtifactError ? error : fail(error.message)))
  )
  if (plots.length === 0) return report
  const drawn = yield* Effect.forEach(plots, (plot) => Effect.map(text(fileOf(plot)), (svg) => ({ ...plot, svg })))
  return { ...report, plots: drawn }
})

/** The port of reports. */
export const ReportPort: Port<Report> = { kind: "report", contract: { version: 1 }, encode, decode }
