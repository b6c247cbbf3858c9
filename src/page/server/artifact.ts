/**
 * An artifact as the page shows it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { exactly, exactReference } from "../../lineage/exact.ts"
import { resolve } from "../../lineage/ledger.ts"
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
  const exact = exactReference(reference)
  if (exact === undefined) return yield* resolve(reference)
  const { journal } = yield* Store
  yield* journal.refresh
  const made = exactly(journal, exact)
  if (made !== undefined) return made
  return yield* missing(reference, `there is no output ${exact.port} of a stage with key ${exact.key.slice(0, 12)}`)
})
