/**
 * What verifications found, as the page shows it.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { type Verified, verificationsOf } from "../../lineage/verified.ts"
import { Store } from "../../store/store.ts"
import type { Verifications, VerifiedView } from "../answers.ts"
import { artifactView, findArtifact } from "./artifact.ts"

/** One of them. */
export const verifiedView = (verified: Verified): VerifiedView => {
  const {
    device,
    failure,
    numerics,
    operator,
    outputs,
    reasons,
    sampled,
    seconds,
    stage,
    time,
    update,
    user,
    verdict
  } = verified
  return {
    stage,
    operator,
    verdict,
    time,
    seconds,
    device,
    numerics,
    user,
    sampled:
      sampled === undefined
        ? null
        : sampled.ranges === undefined
          ? `${sampled.made} of ${sampled.total} ${sampled.of}`
          : `${sampled.of} ${sampled.ranges} of ${sampled.total}`,
    outputs: outputs.map(({ difference, found, port, recorded }) => ({
      port,
      recorded,
      found,
      difference: difference?.message ?? null
    })),
    difference: update?.message ?? null,
    reasons: reasons.map(({ message }) => message),
    failure: failure === undefined ? null : `${failure.cause}: ${failure.message}`
  }
}

/** Verifications of an answer at most. */
const MOST = 100

/** Those of the stage that gave an artifact, newest first. */
export const verifications = Effect.fnUntraced(function* (reference: string) {
  const { folder, journal } = yield* Store
  const made = yield* findArtifact(reference)
  const all = [...verificationsOf(journal, made)]
  const near = path.relative("", folder)
  const store = near.startsWith("..") ? folder : near
  const view: Verifications = {
    of: artifactView(made.artifact, made.stage, made.key, made.port),
    total: all.length,
    verified: all.slice(0, MOST).map(verifiedView),
    command: `ptmflow verify ${made.artifact.digest.slice(0, 12)}${store === ".ptmflow" ? "" : ` --store ${store}`}`
  }
  return view
})
