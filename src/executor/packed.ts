/**
 * A stage's record as it travels between machines: with the trees behind its digests, and a digest of the whole.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { StageRecord } from "../lineage/record.ts"
import { decodeRecord } from "../lineage/records.ts"
import { Blob } from "../operator/artifact.ts"
import type { NewBatch } from "../store/batches.ts"
import { sha256 } from "../store/digest.ts"
import { frame, type NewEntry, unframe } from "../store/journal.ts"
import { RemoteError } from "../store/remote/remote.ts"
import type { Store } from "../store/store.ts"
import { keyOf } from "./key.ts"

/** What batches of its inputs gave: rows of one of its blobs. */
const Batches = Schema.Struct({
  scope: Schema.String,
  blob: Blob,
  batches: Schema.Array(
    Schema.Struct({
      batch: Schema.String,
      digest: Schema.String,
      first: Schema.Number,
      rows: Schema.Number,
      origins: Schema.optionalKey(
        Schema.Array(Schema.Tuple([Schema.Number, Schema.Number, Schema.Number, Schema.Number]))
      )
    })
  )
})
const decodeBatches = Schema.decodeUnknownOption(Batches)

/** A record, the journal entries that it travels as, and the batches that its tables were made of. */
export interface Packed {
  readonly record: StageRecord
  readonly entries: ReadonlyArray<NewEntry>
  readonly batches: ReadonlyArray<(typeof Batches)["Type"]>
}

const inWords = ({ origins, ...batch }: NewBatch) => (origins === undefined ? batch : { ...batch, origins })

/** A table of more batches travels without them. */
const MOST_BATCHES = 100_000

const TITLE = "ptmflow-record/1"

/** The text of a record that is in the journal. */
export const pack = (
  { batches, journal }: Pick<Store["Service"], "batches" | "journal">,
  { key, outputs, preimage, ...record }: StageRecord
): string => {
  const wanted = [
    ["code", preimage.code],
    ["packages", preimage.packages],
    ["stage", key]
  ] as const
  const lines = wanted.flatMap(([kind, key]) => {
    const entry = journal.newest(kind, key)
    return entry === undefined ? [] : [frame({ kind, key, value: entry.value() })]
  })
  const blobs = record.batches === undefined ? [] : Object.values(outputs).flatMap(({ parts }) => Object.values(parts))
  for (const blob of blobs) {
    for (const [scope, members] of batches.of(blob, MOST_BATCHES)) {
      lines.unshift(frame({ kind: "batches", key: scope, value: { scope, blob, batches: members.map(inWords) } }))
    }
  }
  const text = lines.join("")
  return `${TITLE} ${sha256(text)}\n${text}`
}

/** What a text holds, if it is whole and its stage's key is that of its preimage. `place` is what it is called. */
export const unpack = (bytes: Buffer, place: string): Effect.Effect<Packed, RemoteError> => {
  const damaged = (words: string) =>
    Effect.fail(new RemoteError({ reason: "damaged", place, message: `${place} ${words}` }))
  const end = bytes.indexOf(10)
  const [title, digest] = bytes.toString("latin1", 0, Math.max(end, 0)).split(" ")
  if (title !== TITLE) return damaged("is damaged, or of another version of ptmflow")
  const text = bytes.subarray(end + 1)
  if (sha256(text) !== digest) return damaged("is damaged")
  const entries: Array<NewEntry> = []
  const batches: Array<(typeof Batches)["Type"]> = []
  for (let start = 0; start < text.byteLength; ) {
    const next = text.indexOf(10, start)
    const entry = unframe(text.subarray(start, next), start)
    if (next < 0 || entry === undefined) return damaged("is damaged")
    start = next + 1
    if (entry.kind === "batches") {
      const decoded = decodeBatches(entry.value())
      if (Option.isSome(decoded)) batches.push(decoded.value)
    } else entries.push({ kind: entry.kind, key: entry.key, value: entry.value() })
  }
  const stage = entries.at(-1)
  const record = stage?.kind === "stage" ? decodeRecord(stage.value) : undefined
  if (record === undefined || record.key !== stage?.key || keyOf(record.preimage) !== record.key) {
    return damaged("is no record of a stage")
  }
  return Effect.succeed({ record, entries, batches })
}
