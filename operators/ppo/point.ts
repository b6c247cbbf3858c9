/**
 * A resume point of PPO: the policy and, where there is one, the critic, each with its optimizer's state.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { type Artifact, ArtifactError } from "../../src/operator/artifact.ts"
import { digestOf } from "../../src/operator/digest.ts"
import type { Port } from "../../src/operator/port.ts"
import { type Checkpoint, CheckpointPort } from "../checkpoint.ts"

export interface Point {
  readonly policy: Checkpoint
  readonly critic: Checkpoint | undefined
}

/** The parts of both checkpoints under their names. */
export const PointPort: Port<Point> = {
  kind: "ppo-point",
  contract: { version: 1 },
  encode: Effect.fnUntraced(function* ({ critic, policy }, sink) {
    const parts: Record<string, Artifact["parts"][string]> = {}
    const digests: Record<string, string> = {}
    for (const [name, checkpoint] of Object.entries({ policy, critic })) {
      if (checkpoint === undefined) continue
      const artifact = yield* CheckpointPort.encode(checkpoint, sink)
      digests[name] = artifact.digest
      for (const [part, blob] of Object.entries(artifact.parts)) parts[`${name}/${part}`] = blob
    }
    return { kind: "ppo-point", digest: digestOf("ppo-point", digests), parts, meta: {} }
  }),
  decode: Effect.fnUntraced(function* (artifact, source) {
    const decode = (name: string) => {
      const parts = Object.entries(artifact.parts).flatMap(([part, blob]) =>
        part.startsWith(`${name}/`) ? [[part.slice(name.length + 1), blob] as const] : []
      )
      const digest = `${artifact.digest} (${name})`
      return parts.length === 0
        ? Effect.undefined
        : CheckpointPort.decode({ kind: "checkpoint", digest, parts: Object.fromEntries(parts), meta: {} }, source)
    }
    const policy = yield* decode("policy")
    if (policy === undefined) {
      return yield* new ArtifactError({ place: `resume point ${artifact.digest}`, message: "it has no policy" })
    }
    return { policy, critic: yield* decode("critic") }
  })
}
