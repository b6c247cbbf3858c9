/**
 * The trace of a stage: what each update of a training took in, and which rows of its inputs the rows of its tables came from.
 *
 * It is one blob, JSON that is deflated, and the stage's record names it: what is in no record is asked of it, and it is no part of the result.
 *
 * @since 0.1.0
 */
import { deflate, inflate } from "node:zlib"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Blob } from "../operator/artifact.ts"
import type { Origins } from "../operator/origins.ts"
import type { Store } from "../store/store.ts"
import type { StageRecord } from "./record.ts"

/**
 * `losses` of the updates 1, 2, ...; `rows` that each of them learned from, by input, as `rangesText` writes them; `origins` of the rows of tables, by output and
 * input.
 */
export interface StageTrace {
  readonly losses: ReadonlyArray<number>
  readonly rows: { readonly [port: string]: ReadonlyArray<string> }
  readonly origins: { readonly [output: string]: { readonly [input: string]: Origins } }
}

/** A trace that cannot be read: its blob was collected, or is damaged. `place` is its digest. */
export class TraceError extends Schema.TaggedError<TraceError>()("TraceError", {
  place: Schema.String,
  message: Schema.String
}) {}

const zipped = (run: (done: (error: Error | null, bytes: Buffer) => void) => void): Effect.Effect<Buffer, Error> =>
  Effect.callback((resume) => {
    run((error, bytes) => resume(error === null ? Effect.succeed(bytes) : Effect.fail(error)))
  })

/** The bytes of a trace. */
export const encodeTrace = (trace: StageTrace): Effect.Effect<Uint8Array> =>
  Effect.orDie(zipped((done) => deflate(JSON.stringify(trace), { level: 3 }, done)))

/** What is not needed again and again is not looked at: the bytes have been compared with their digest. */
const isTrace = (value: unknown): value is StageTrace => {
  const { losses, origins, rows } = (value ?? {}) as Partial<StageTrace>
  const isObject = (each: unknown) => typeof each === "object" && each !== null
  return Array.isArray(losses) && isObject(rows) && isObject(origins) && Object.values(rows ?? {}).every(Array.isArray)
}

/** The trace that `encodeTrace` wrote; `place` is what errors call it. */
export const decodeTrace = (bytes: Uint8Array, place: string): Effect.Effect<StageTrace, TraceError> =>
  zipped((done) => inflate(bytes, done)).pipe(
    Effect.flatMap((text) => Effect.try({ try: () => JSON.parse(text.toString("utf8")) as unknown, catch: String })),
    Effect.option,
    Effect.flatMap((value) =>
      Option.isSome(value) && isTrace(value.value)
        ? Effect.succeed(value.value)
        : Effect.fail(new TraceError({ place, message: `${place} is not the trace of a stage` }))
    )
  )

/** The trace of a stage; undefined where nothing was traced. */
export const traceOf = Effect.fnUntraced(function* (
  { blobs }: Store["Service"],
  { stage, trace }: Pick<StageRecord, "stage" | "trace">
): Effect.fn.Return<StageTrace | undefined, TraceError> {
  if (trace === undefined) return undefined
  const bytes = yield* Effect.mapError(
    blobs.bytes(trace),
    ({ message }) =>
      new TraceError({ place: trace.digest, message: `which rows stage ${stage} took is lost: ${message}` })
  )
  return yield* decodeTrace(bytes, `trace ${trace.digest}`)
})

/** All blobs that a record names: those of its outputs, its trace, and the resume points that were kept. */
export const blobsOf = ({
  outputs,
  points = [],
  trace
}: Pick<StageRecord, "outputs" | "points" | "trace">): ReadonlyArray<Blob> => [
  ...new Map(
    [
      ...[...Object.values(outputs), ...points.map(({ artifact }) => artifact)].flatMap(({ parts }) =>
        Object.values(parts)
      ),
      ...(trace === undefined ? [] : [trace])
    ].map((blob) => [blob.digest, blob])
  ).values()
]
