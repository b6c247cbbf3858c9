/**
 * An artifact as the page shows it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Made } from "../../lineage/ledger.ts"
import { resolve } from "../../lineage/ledger.ts"
import { stageRecord } from "../../lineage/records.ts"
import type { Artifact } from "../../operator/artifact.ts"
import { Store } from "../../store/store.ts"
import type { ArtifactView } from "../answers.ts"
import { missing } from "./refusal.ts"

/** The view of output `port` of the stage with `key`. */
export const artifactView = (artifact: Artifact, stage: string, key: string, port: string): ArtifactView => {
  const { rows, schema } = artifact.meta
  return {
    name: `${stage}.${port}`,
    kind: artifact.kind,
    digest: artifact.digest,
    key,
    port,
    rows: typeof rows === "number" ? rows : null,
    columns:
      artifact.kind === "table" && typeof schema === "object" && schema !== null && !Array.isArray(schema)
        ? Object.keys(schema)
        : [],
    bytes: Object.values(artifact.parts).reduce((sum, { bytes }) => sum + bytes, 0)
  }
}

/**
 * What a reference means: one of `resolve`'s, or `key:port`, which is one output of one stage key and does not change when something is run. Of that
 * kind are the page's own links.
 */
export const findArtifact = Effect.fnUntraced(function* (reference: string) {
  const exact = /^([0-9a-f]{64}):([\w.-]+)$/.exec(reference)
  if (exact === null) return yield* resolve(reference)
  const [, key, port] = exact as unknown as [string, string, string]
  const { journal } = yield* Store
  yield* journal.refresh
  const record = stageRecord(journal, key)
  const artifact = record === undefined || !Object.hasOwn(record.outputs, port) ? undefined : record.outputs[port]
  if (record === undefined || artifact === undefined) {
    return yield* missing(reference, `there is no output ${port} of a stage with key ${key.slice(0, 12)}`)
  }
  const made: Made = { artifact, key, port, stage: record.stage }
  return made
})
