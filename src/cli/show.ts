/**
 * `ptmflow show`: an artifact as a person reads it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { resolve } from "../lineage/ledger.ts"
import { placeOf } from "../lineage/record.ts"
import { stageRecord } from "../lineage/records.ts"
import { verifiedOf } from "../lineage/verified.ts"
import type { Artifact } from "../operator/artifact.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { artifactLines } from "./render/artifact.ts"
import { verifiedText } from "./render/verified.ts"

/** Prints the artifact: a table's first rows, a report, or what its metadata says. */
export const show = Effect.fnUntraced(
  function* (input: {
    readonly artifact: string
    readonly rows: number
    readonly asOf: Option.Option<string>
    readonly store: string
    readonly json: boolean
  }) {
    const made = yield* resolve(input.artifact, { asOf: Option.getOrUndefined(input.asOf) })
    const { artifact } = made
    const view = viewOf(process.stdout)
    const { journal } = yield* Store
    const verified = verifiedOf(journal, made)
    const record = stageRecord(journal, made.key)
    const place = record === undefined ? null : placeOf(record)
    const lines = artifactLines(made, view, [
      ...(place === null ? [] : [["made on", place] as const]),
      ...(verified === undefined ? [] : [["verified", verifiedText(verified)] as const])
    ])
    if (artifact.kind === "table") {
      const rows = yield* firstRows(artifact, input.rows)
      if (input.json) return yield* printLines(rows.map((row) => JSON.stringify(row)))
      const { rowLines } = yield* Effect.promise(() => import("./render/rows.ts"))
      return yield* printLines([...lines, "", ...rowLines(rows, view)])
    }
    if (input.json)
      return yield* printJson({
        ...made,
        device: record?.device ?? null,
        ranOn: record?.ranOn ?? null,
        ...(verified === undefined ? {} : { verified })
      })
    yield* printLines(lines)
    if (artifact.kind !== "report") return
    const { ReportPort } = yield* Effect.promise(() => import("../../operators/report.ts"))
    const { reportLines } = yield* Effect.promise(() => import("./render/report.ts"))
    const { source } = yield* Store
    const report = yield* ReportPort.decode(artifact, source)
    yield* printLines(["", ...reportLines(report, view)])
    for (const { name, title } of report.plots ?? []) {
      yield* printLines(["", `  ${title}: ${yield* source.path(artifact.parts[`${name}.svg`]!)}`])
    }
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)

/** Reads no more batches than it needs. */
const firstRows = Effect.fnUntraced(function* (artifact: Artifact, most: number) {
  const { source } = yield* Store
  const { read } = yield* Effect.promise(() => import("../table/ipc.ts"))
  const path = yield* source.path(artifact.parts["table.arrow"]!)
  const rows = read(path, `table ${artifact.digest}`).pipe(
    Stream.flatMap((batch) => Stream.fromIterable(batch)),
    Stream.take(most),
    Stream.map((row) => plain(row.toJSON()) as { readonly [column: string]: unknown })
  )
  return yield* Stream.runCollect(rows)
})

/** Arrow's values as JSON has them. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number(value)
  if (value === null || typeof value !== "object") return value
  if (value instanceof Date) return value.toISOString()
  if (Symbol.iterator in value) return Array.from(value as Iterable<unknown>, plain)
  if ("toJSON" in value && typeof value.toJSON === "function") return plain(value.toJSON())
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]))
}
